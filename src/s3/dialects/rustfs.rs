//! RustFS (contract 5.10): as MinIO.

use super::vendor::Rules;

pub(super) const RULES: Rules = super::minio::RULES;
