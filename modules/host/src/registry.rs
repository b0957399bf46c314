//! The modules of this program, in one table.

use module_api::Module;

/// Every module, by crate.
#[must_use]
pub fn modules() -> Vec<&'static dyn Module> {
    [module_hydrastor::modules()].concat()
}
