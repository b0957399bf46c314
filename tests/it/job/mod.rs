//! The job core on both stores.
