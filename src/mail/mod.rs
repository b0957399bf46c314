//! Mail: from the spool to a sealed tree and the jobs that parse it.

pub mod rules;
