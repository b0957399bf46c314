//! Object stores that speak S3: where they are, how to log in, and what they can do.
//!
//! A section is flat: its login decides which of the fields it needs and refuses (`check_s3`).

use super::Secret;
use super::source::Fields;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// One object store that speaks S3. Volumes name it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Its address. Default: that of AWS in `region`.
    pub endpoint: Option<String>,
    /// Region for which requests are signed. Default: us-east-1.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of a URL and not in its host name. Default: true with `endpoint`, else false.
    pub path_style: Option<bool>,
    /// TLS: file of the CA certificates, PEM. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// How to log in: key, profile, environment, web_identity, instance_role. The last three take what AWS's own programs take. Default: key.
    pub login: Option<S3Login>,
    /// Login key: the id of the key.
    pub access_key: Option<String>,
    /// Login key: its secret; or give `secret_key_file` or `secret_key_credential`.
    pub secret_key: Option<Secret>,
    /// Login key: the session token of a temporary key. Default: none.
    pub session_token: Option<Secret>,
    /// Login profile: its name.
    pub profile: Option<String>,
    /// Login profile: the file that has it. Default: those that AWS's own programs read.
    pub profiles: Option<PathBuf>,
    /// Checksums in requests and answers: always, or when_required for a store that knows none. Default: always.
    pub checksums: Option<S3Checksums>,
    /// Encryption that is asked of the store: none, "AES256", "aws:kms". Default: none.
    pub sse: Option<S3Encryption>,
    /// With `sse = "aws:kms"`: id of the key there. Default: that of the bucket.
    pub sse_key: Option<String>,
}

impl S3 {
    /// How to log in.
    #[must_use]
    pub fn login(&self) -> S3Login {
        self.login.unwrap_or(S3Login::Key)
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    /// Whether the bucket stands in the path of a URL.
    #[must_use]
    pub fn has_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }
}

/// How to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum S3Login {
    /// With a key of the configuration.
    Key,
    /// With a profile of a file, as AWS's own programs have.
    Profile,
    /// With the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    Environment,
    /// With the token in file `AWS_WEB_IDENTITY_TOKEN_FILE`, for role `AWS_ROLE_ARN`.
    WebIdentity,
    /// With the role of this machine or container.
    InstanceRole,
}

impl S3Login {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Profile => "profile",
            Self::Environment => "environment",
            Self::WebIdentity => "web_identity",
            Self::InstanceRole => "instance_role",
        }
    }

    /// The fields that only this login has.
    pub(super) const fn fields(self) -> Fields {
        match self {
            Self::Key => Fields { needed: &["access_key", "secret_key"], optional: &["session_token"] },
            Self::Profile => Fields { needed: &["profile"], optional: &["profiles"] },
            Self::Environment | Self::WebIdentity | Self::InstanceRole => {
                Fields { needed: &[], optional: &[] }
            }
        }
    }
}

/// Checksums in requests and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum S3Checksums {
    /// With each object.
    #[default]
    Always,
    /// Only where S3 demands one.
    WhenRequired,
}

/// Encryption that is asked of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum S3Encryption {
    /// None: whatever the bucket does.
    #[default]
    #[serde(rename = "none")]
    None,
    /// With keys of the store.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of the key service.
    #[serde(rename = "aws:kms")]
    Kms,
}
