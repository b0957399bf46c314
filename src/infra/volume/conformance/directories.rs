//! What volumes promise that have directories, modes and a capacity.

use super::{at, names, put, suite};
use crate::infra::volume::{Durable, EntryKind, Source, SubPath, Volume, VolumeErrorKind as Kind};
use std::io;

suite! {
    a_file_is_no_directory_and_a_directory_no_file,
    making_a_directory_twice_is_fine,
    a_sealed_tree_shows_it_and_can_be_repaired,
    many_trees_are_sealed_together,
    free_space_is_told,
    a_write_can_be_tried_and_leaves_nothing,
}

fn a_file_is_no_directory_and_a_directory_no_file(volume: &Volume) {
    put(volume, "a/b", b"");
    assert_eq!(volume.list(&at("a/b")).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(volume.make_dir(&at("a/b")).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(volume.make_dir(&at("a/b/c")).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(volume.open_file(&at("a")).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(volume.remove_file(&at("a")).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(volume.remove_tree(&at("a/b")).unwrap_err().kind, Kind::Corrupt);
}

fn making_a_directory_twice_is_fine(volume: &Volume) {
    for _ in 0..2 {
        volume.make_dir(&at("a/b/c")).unwrap();
    }
    assert_eq!(volume.stat(&at("a/b/c")).unwrap().kind, EntryKind::Dir);
}

fn a_sealed_tree_shows_it_and_can_be_repaired(volume: &Volume) {
    put(volume, "t/a", b"1");
    put(volume, "t/sub/b", b"2");
    volume.seal(&[at("t")]).unwrap();
    for path in ["t", "t/a", "t/sub", "t/sub/b"] {
        assert!(volume.stat(&at(path)).unwrap().sealed, "{path}");
    }
    volume.seal(&[at("t")]).unwrap();
    volume.unseal(&at("t")).unwrap();
    assert!(!volume.stat(&at("t/sub/b")).unwrap().sealed);
    assert!(volume.remove_file(&at("t/a")).unwrap());
    put(volume, "t/a", b"3");
}

fn many_trees_are_sealed_together(volume: &Volume) {
    let trees: Vec<_> = (0..5).map(|i| at(&format!("c/d/{i}"))).collect();
    for tree in &trees {
        put(volume, tree.join("f").unwrap().as_str(), b"x");
    }
    volume.seal(&trees).unwrap();
    assert!(trees.iter().all(|tree| volume.stat(tree).unwrap().sealed));
    assert!(!volume.stat(&at("c/d")).unwrap().sealed);
    volume.seal(&[]).unwrap();
}

fn free_space_is_told(volume: &Volume) {
    let free = volume.free().unwrap();
    assert!(free.bytes > 0 && free.inodes > 0);
}

fn a_write_can_be_tried_and_leaves_nothing(volume: &Volume) {
    let before = volume.list(&SubPath::root()).unwrap();
    volume.try_write().unwrap();
    assert_eq!(volume.list(&SubPath::root()).unwrap(), before);
}

#[test]
fn what_is_in_the_way_of_a_directory_is_named_until_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open("inbox", dir.path(), None).unwrap();
    put(&volume, "bobs/a/f", b"1");
    let places = |paths: &[&str]| {
        let found = volume.damage(paths.iter().map(|path| at(path)));
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(places(&["bobs/x", "new/x"]), [""; 0]);
    std::fs::rename(dir.path().join("bobs"), dir.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", dir.path().join("bobs")).unwrap();
    assert_eq!(places(&["bobs/x"]), ["bobs"], "it is looked for");
    std::os::unix::fs::symlink("nowhere", dir.path().join("moved/link")).unwrap();
    volume.read(&at("moved/link/f"), 1).unwrap_err();
    assert_eq!(places(&[]), ["moved/link"], "it was met");
    std::fs::remove_file(dir.path().join("moved/link")).unwrap();
    std::fs::remove_file(dir.path().join("bobs")).unwrap();
    assert_eq!(places(&["bobs/x"]), [""; 0]);
}

#[test]
fn a_full_volume_refuses_and_keeps_what_it_has() {
    let volume = Volume::memory("tmp", 10);
    put(&volume, "a", b"12345678");
    let error = volume.put(&at("b"), Source::Bytes(b"123"), Durable::Now).unwrap_err();
    assert_eq!(error.kind, Kind::Full);
    let error = volume.put(&at("b"), Source::Reader(&mut io::repeat(1)), Durable::Now).unwrap_err();
    assert_eq!(error.kind, Kind::Full);
    assert_eq!(volume.free().unwrap().bytes, 2);
    assert_eq!(volume.try_write().unwrap_err().kind, Kind::Full);
    assert_eq!(names(&volume, ""), ["a"]);
}

#[test]
fn a_planted_link_is_neither_followed_nor_sealed_and_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open("inbox", &dir.path().join("v"), None).unwrap();
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    std::fs::write(dir.path().join("outside/secret"), "s").unwrap();
    volume.make_dir(&at("t")).unwrap();
    std::os::unix::fs::symlink("../../outside", dir.path().join("v/t/link")).unwrap();
    assert_eq!(volume.read(&at("t/link/secret"), 9).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(volume.list(&at("t/link")).unwrap_err().kind, Kind::Corrupt);
    let new = volume.put(&at("t/link/new"), Source::Bytes(b""), Durable::Now).unwrap_err();
    assert_eq!(new.kind, Kind::Corrupt);
    assert_eq!(volume.list(&at("t")).unwrap()[0].kind, EntryKind::Foreign);
    let error = volume.seal(&[at("t")]).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (Kind::Corrupt, "t/link"));
    assert!(volume.remove_tree(&at("t")).unwrap());
    assert_eq!(std::fs::read_dir(dir.path().join("outside")).unwrap().count(), 1);
}

#[test]
fn a_sealed_tree_has_the_modes_the_contract_names_and_drops_staged_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open("inbox", dir.path(), None).unwrap();
    put(&volume, "t/a", b"1");
    std::fs::write(dir.path().join("t/.headworks-stage-0"), "half").unwrap();
    volume.seal(&[at("t")]).unwrap();
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("t"), mode("t/a")), (0o550, 0o440));
    assert!(!dir.path().join("t/.headworks-stage-0").exists());
}
