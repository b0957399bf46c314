//! The volumes of a process, by name.

use super::Volume;
use crate::ids::VolumeName;
use std::sync::Arc;

/// One volume for every name; cheap to clone. Those that this process does not use are [away](Volume::away).
#[derive(Debug, Clone)]
pub struct Volumes(Arc<[Arc<Volume>]>);

impl Volumes {
    /// Opens a volume for every name, in the order of [`VolumeName::ALL`].
    ///
    /// # Errors
    /// The first that `open` returns.
    pub async fn open<E>(mut open: impl AsyncFnMut(VolumeName) -> Result<Volume, E>) -> Result<Self, E> {
        let mut volumes = Vec::with_capacity(VolumeName::ALL.len());
        for &name in VolumeName::ALL {
            volumes.push(Arc::new(open(name).await?));
        }
        Ok(Self(volumes.into()))
    }

    /// The volume of a name.
    #[must_use]
    pub fn get(&self, name: VolumeName) -> &Arc<Volume> {
        &self.0[name as usize]
    }
}
