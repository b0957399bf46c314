//! Whose words an event came in.

/// The program that made an event. How it writes keys and places differs, and is said in its file of `dialects/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// Amazon S3, or a test server that speaks like it.
    Aws,
    /// MinIO.
    Minio,
    /// RustFS.
    Rustfs,
    /// NetApp StorageGRID.
    Storagegrid,
    /// Ceph RGW.
    Ceph,
    /// VersityGW.
    Versitygw,
    /// NooBaa, or another whose source ends in `:s3`.
    Noobaa,
    /// Zenko CloudServer.
    Zenko,
    /// SeaweedFS.
    Seaweedfs,
    /// Backblaze B2.
    B2,
    /// Somebody who does not say.
    Unknown,
}
