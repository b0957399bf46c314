//! Against a real MinIO where there is one, and against answers that no MinIO gives when asked.

mod answers;
pub mod minio;
mod real;
pub mod stub;
mod tls;
