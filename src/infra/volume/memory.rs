//! A volume in memory: real, gone with the process, and held to the same conformance suite as a directory.

use super::error::{Fault, VolumeErrorKind};
use super::{Durable, Entry, EntryKind, Free, Placed, Source, Stored, SubPath, TRIAL_BYTES};
use crate::ids::Timestamp;
use rustix::fs::MemfdFlags;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Files and directories by path.
#[derive(Debug)]
pub struct Memory {
    name: String,
    id: Uuid,
    capacity_bytes: u64,
    nodes: Mutex<BTreeMap<SubPath, Node>>,
}

#[derive(Debug, Clone)]
struct Node {
    /// The bytes of a file; a directory has none.
    bytes: Option<Arc<[u8]>>,
    sealed: bool,
    modified_at: Timestamp,
}

impl Node {
    fn new(bytes: Option<Arc<[u8]>>) -> Self {
        Self { bytes, sealed: false, modified_at: Timestamp::now() }
    }

    fn len_bytes(&self) -> u64 {
        self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }

    fn entry(&self, name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            kind: if self.bytes.is_some() { EntryKind::File } else { EntryKind::Dir },
            len_bytes: self.len_bytes(),
            sealed: self.sealed,
            modified_at: self.modified_at,
        }
    }
}

impl Memory {
    pub(super) fn new(name: &str, capacity_bytes: u64) -> Self {
        let nodes = Mutex::new(BTreeMap::from([(SubPath::root(), Node::new(None))]));
        Self { name: name.to_owned(), id: Uuid::new_v4(), capacity_bytes, nodes }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn make_dir(&self, dir: &SubPath) -> Result<(), Fault> {
        make_dir(&mut self.nodes(), dir)
    }

    pub(super) fn put(&self, path: &SubPath, source: Source<'_>, _: Durable) -> Result<Placed, Fault> {
        let Some(parent) = path.parent() else {
            return Err(Fault::new(VolumeErrorKind::AlreadyExists, "the root is a directory"));
        };
        let bytes = self.gather(source)?;
        let offered = Stored::of(&bytes);
        let mut nodes = self.nodes();
        make_dir(&mut nodes, &parent)?;
        if let Some(node) = nodes.get(path) {
            let found = Stored::of(file_bytes(node)?);
            return Ok(if found == offered {
                Placed::Same(offered)
            } else {
                Placed::Other { offered, found }
            });
        }
        if offered.len_bytes > self.left(&nodes) {
            return Err(self.full());
        }
        nodes.insert(path.clone(), Node::new(Some(bytes.into())));
        Ok(Placed::New(offered))
    }

    pub(super) fn open_file(&self, path: &SubPath) -> Result<File, Fault> {
        let bytes = self.bytes(path)?;
        let file = File::from(rustix::fs::memfd_create("headworks-volume", MemfdFlags::CLOEXEC)?);
        file.write_all_at(&bytes, 0)?;
        Ok(file)
    }

    pub(super) fn read(&self, path: &SubPath, limit_bytes: u64) -> Result<Vec<u8>, Fault> {
        let bytes = self.bytes(path)?;
        if bytes.len() as u64 <= limit_bytes {
            return Ok(bytes.to_vec());
        }
        Err(Fault::new(VolumeErrorKind::TooLarge, format!("more than {limit_bytes} bytes")))
    }

    pub(super) fn read_range(&self, path: &SubPath, offset: u64, len_bytes: u64) -> Result<Vec<u8>, Fault> {
        let bytes = self.bytes(path)?;
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[at(offset)..at(offset.saturating_add(len_bytes))].to_vec())
    }

    pub(super) fn digest(&self, path: &SubPath) -> Result<Stored, Fault> {
        Ok(Stored::of(&self.bytes(path)?))
    }

    pub(super) fn list(&self, dir: &SubPath) -> Result<Vec<Entry>, Fault> {
        let nodes = self.nodes();
        expect_dir(lookup(&nodes, dir)?)?;
        let inside = nodes.iter().filter(|(path, _)| path.parent().as_ref() == Some(dir));
        Ok(inside.map(|(path, node)| node.entry(path.name())).collect())
    }

    pub(super) fn stat(&self, path: &SubPath) -> Result<Entry, Fault> {
        Ok(lookup(&self.nodes(), path)?.entry(path.name()))
    }

    pub(super) fn seal(&self, dirs: &[SubPath]) -> Result<(), Fault> {
        dirs.iter().try_for_each(|dir| self.set_sealed(dir, true))
    }

    pub(super) fn unseal(&self, dir: &SubPath) -> Result<(), Fault> {
        self.set_sealed(dir, false)
    }

    pub(super) fn remove_file(&self, path: &SubPath) -> Result<bool, Fault> {
        let mut nodes = self.nodes();
        let Some(node) = nodes.get(path) else { return Ok(false) };
        file_bytes(node)?;
        Ok(nodes.remove(path).is_some())
    }

    pub(super) fn remove_tree(&self, dir: &SubPath) -> Result<bool, Fault> {
        if dir.is_root() {
            return Err(Fault::new(VolumeErrorKind::Denied, "the volume itself is not removed"));
        }
        let mut nodes = self.nodes();
        let Some(node) = nodes.get(dir) else { return Ok(false) };
        expect_dir(node)?;
        nodes.retain(|path, _| path != dir && !path.is_below(dir));
        Ok(true)
    }

    pub(super) fn free(&self) -> Result<Free, Fault> {
        Ok(Free { bytes: self.left(&self.nodes()), inodes: u64::MAX })
    }

    pub(super) fn try_write(&self) -> Result<(), Fault> {
        if self.left(&self.nodes()) < TRIAL_BYTES as u64 { Err(self.full()) } else { Ok(()) }
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<SubPath, Node>> {
        // Every change of the map is one call, so a panic elsewhere cannot have left it half changed.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self, nodes: &BTreeMap<SubPath, Node>) -> u64 {
        self.capacity_bytes.saturating_sub(nodes.values().map(Node::len_bytes).sum())
    }

    fn full(&self) -> Fault {
        Fault::new(VolumeErrorKind::Full, format!("capacity is {} bytes", self.capacity_bytes))
    }

    fn bytes(&self, path: &SubPath) -> Result<Arc<[u8]>, Fault> {
        Ok(Arc::clone(file_bytes(lookup(&self.nodes(), path)?)?))
    }

    /// All bytes of `source`, or `Full` when they are more than this volume could ever hold.
    fn gather(&self, source: Source<'_>) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        match source {
            Source::Bytes(all) => bytes.extend_from_slice(all),
            Source::Reader(reader) => {
                reader
                    .take(self.capacity_bytes.saturating_add(1))
                    .read_to_end(&mut bytes)
                    .map_err(Fault::input)?;
            }
            Source::Range(range) if range.stored.len_bytes > self.capacity_bytes => return Err(self.full()),
            Source::Range(range) => {
                bytes.resize(usize::try_from(range.stored.len_bytes).unwrap_or(usize::MAX), 0);
                range.file.read_exact_at(&mut bytes, range.offset).map_err(Fault::input)?;
            }
        }
        Ok(bytes)
    }

    fn set_sealed(&self, dir: &SubPath, sealed: bool) -> Result<(), Fault> {
        let mut nodes = self.nodes();
        expect_dir(lookup(&nodes, dir)?)?;
        for (path, node) in nodes.iter_mut() {
            if path == dir || path.is_below(dir) {
                node.sealed = sealed;
            }
        }
        Ok(())
    }
}

fn lookup<'n>(nodes: &'n BTreeMap<SubPath, Node>, path: &SubPath) -> Result<&'n Node, Fault> {
    nodes.get(path).ok_or_else(|| Fault::new(VolumeErrorKind::NotFound, "nothing has this path"))
}

fn make_dir(nodes: &mut BTreeMap<SubPath, Node>, dir: &SubPath) -> Result<(), Fault> {
    for place in std::iter::once(dir.clone()).chain(dir.ancestors()) {
        match nodes.get(&place) {
            Some(node) => return expect_dir(node),
            None => {
                nodes.insert(place, Node::new(None));
            }
        }
    }
    Ok(())
}

fn expect_dir(node: &Node) -> Result<(), Fault> {
    match node.bytes {
        None => Ok(()),
        Some(_) => Err(Fault::new(VolumeErrorKind::Corrupt, "a file, not a directory")),
    }
}

fn file_bytes(node: &Node) -> Result<&Arc<[u8]>, Fault> {
    node.bytes.as_ref().ok_or_else(|| Fault::new(VolumeErrorKind::Corrupt, "not a regular file"))
}
