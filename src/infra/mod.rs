//! Floor 2: what headworks stands on. Nothing here knows of jobs, mails or customers.

pub mod host;
