//! What every volume promises.

use super::{at, names, put, suite};
use crate::infra::volume::{
    Durable, EntryKind, FileRange, Placed, Source, Stored, SubPath, Volume, VolumeErrorKind as Kind,
};
use std::io::{self, Read};

suite! {
    in_a_bucket_too:
    what_was_put_is_read_back,
    a_reader_is_hashed_on_its_way,
    a_range_of_a_file_arrives_whole,
    a_file_of_a_volume_can_be_copied_within_it,
    putting_the_same_again_is_harmless,
    a_file_is_never_replaced,
    one_of_many_racing_puts_wins,
    a_failing_reader_leaves_nothing,
    a_range_past_the_end_leaves_nothing,
    a_file_longer_than_the_limit_is_refused,
    missing_things_are_not_found,
    a_listing_is_sorted_and_hides_what_is_the_volumes_own,
    sealing_what_is_missing_is_an_error,
    a_removed_tree_is_gone_sealed_or_not,
    the_volume_itself_is_not_removed,
    removing_one_file_leaves_its_neighbours,
}

fn what_was_put_is_read_back(volume: &Volume) {
    for (path, durable) in [("a/b/c", Durable::Now), ("top", Durable::Now), ("a/d", Durable::AtSeal)] {
        let placed = volume.put(&at(path), Source::Bytes(b"0123456789"), durable).unwrap();
        assert_eq!(placed, Placed::New(Stored::of(b"0123456789")));
        assert_eq!(volume.read(&at(path), 10).unwrap(), b"0123456789");
        assert_eq!(volume.read_range(&at(path), 3, 4).unwrap(), b"3456");
        assert_eq!(volume.read_range(&at(path), 8, 40).unwrap(), b"89");
        assert_eq!(volume.read_range(&at(path), 80, 1).unwrap(), b"");
        assert_eq!(volume.digest(&at(path)).unwrap(), Stored::of(b"0123456789"));
        let mut text = String::new();
        volume.open_range(&at(path), 3, 4).unwrap().take(4).read_to_string(&mut text).unwrap();
        assert_eq!(text, "3456");
        text.clear();
        volume.open_file(&at(path)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123456789");
    }
    assert_eq!(put(volume, "empty", b""), Placed::New(Stored::of(b"")));
    assert_eq!(volume.read(&at("empty"), 0).unwrap(), b"");
}

fn a_reader_is_hashed_on_its_way(volume: &Volume) {
    let bytes: Vec<u8> = (0..500_000u32).map(|i| (i % 253) as u8).collect();
    let placed = volume.put(&at("big"), Source::Reader(&mut bytes.as_slice()), Durable::Now).unwrap();
    assert_eq!(placed, Placed::New(Stored::of(&bytes)));
    assert_eq!(volume.digest(&at("big")).unwrap(), Stored::of(&bytes));
}

fn a_range_of_a_file_arrives_whole(volume: &Volume) {
    let mut file = tempfile::tempfile().unwrap();
    io::copy(&mut io::repeat(7).take(300_000), &mut file).unwrap();
    let stored = Stored::of(&vec![7; 200_000]);
    let range = FileRange { file: &file, offset: 100_000, stored };
    assert_eq!(volume.put(&at("r"), Source::Range(range), Durable::AtSeal).unwrap(), Placed::New(stored));
    assert_eq!(volume.digest(&at("r")).unwrap(), stored);
}

fn a_file_of_a_volume_can_be_copied_within_it(volume: &Volume) {
    put(volume, "from", b"the same bytes");
    let file = volume.open_file(&at("from")).unwrap();
    let stored = Stored::of(b"same");
    let range = FileRange { file: &file, offset: 4, stored };
    volume.put(&at("to"), Source::Range(range), Durable::AtSeal).unwrap();
    assert_eq!(volume.read(&at("to"), 100).unwrap(), b"same");
}

fn putting_the_same_again_is_harmless(volume: &Volume) {
    put(volume, "a/b", b"one");
    for durable in [Durable::AtSeal, Durable::Now] {
        let again = volume.put(&at("a/b"), Source::Reader(&mut &b"one"[..]), durable).unwrap();
        assert_eq!(again, Placed::Same(Stored::of(b"one")));
    }
    assert_eq!(names(volume, "a"), ["b"]);
}

fn a_file_is_never_replaced(volume: &Volume) {
    put(volume, "a/b", b"one");
    let placed = volume.put(&at("a/b"), Source::Bytes(b"two"), Durable::Now).unwrap();
    assert_eq!(placed, Placed::Other { offered: Stored::of(b"two"), found: Stored::of(b"one") });
    assert_eq!(volume.read(&at("a/b"), 10).unwrap(), b"one");
    assert_eq!(names(volume, "a"), ["b"]);
}

fn one_of_many_racing_puts_wins(volume: &Volume) {
    for round in 0..20 {
        let path = format!("race/{round}/file");
        let placed: Vec<Placed> = std::thread::scope(|scope| {
            let path = &path;
            let threads: Vec<_> =
                (0..4u8).map(|i| scope.spawn(move || put(volume, path, &[i; 1000]))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let won: Vec<_> = placed.iter().filter(|p| matches!(p, Placed::New(_))).collect();
        assert_eq!(won, [&Placed::New(volume.digest(&at(&path)).unwrap())]);
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the client went away"))
    }
}

fn a_failing_reader_leaves_nothing(volume: &Volume) {
    let mut reader = (&b"first half"[..]).chain(Broken);
    let error = volume.put(&at("a/b"), Source::Reader(&mut reader), Durable::Now).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    assert_eq!(volume.stat(&at("a/b")).unwrap_err().kind, Kind::NotFound);
    assert_eq!(put(volume, "a/b", b"whole"), Placed::New(Stored::of(b"whole")));
}

fn a_range_past_the_end_leaves_nothing(volume: &Volume) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(10).unwrap();
    let range = FileRange { file: &file, offset: 5, stored: Stored::of(&[0; 6]) };
    let error = volume.put(&at("a/b"), Source::Range(range), Durable::AtSeal).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    assert_eq!(volume.stat(&at("a/b")).unwrap_err().kind, Kind::NotFound);
}

fn a_file_longer_than_the_limit_is_refused(volume: &Volume) {
    put(volume, "a", b"0123456789");
    assert_eq!(volume.read(&at("a"), 9).unwrap_err().kind, Kind::TooLarge);
}

fn missing_things_are_not_found(volume: &Volume) {
    put(volume, "a/b", b"");
    for path in ["x", "a/x", "x/y/z"] {
        assert_eq!(volume.read(&at(path), 1).unwrap_err().kind, Kind::NotFound);
        assert_eq!(volume.list(&at(path)).unwrap_err().kind, Kind::NotFound);
        assert_eq!(volume.stat(&at(path)).unwrap_err().kind, Kind::NotFound);
        assert!(!volume.remove_file(&at(path)).unwrap());
        assert!(!volume.remove_tree(&at(path)).unwrap());
    }
}

fn a_listing_is_sorted_and_hides_what_is_the_volumes_own(volume: &Volume) {
    for path in ["b/z", "b/a", "a", "c"] {
        put(volume, path, b"xyz");
    }
    assert_eq!(names(volume, ""), ["a", "b", "c"]);
    assert_eq!(names(volume, "b"), ["a", "z"]);
    let entries = volume.list(&SubPath::root()).unwrap();
    assert_eq!((entries[0].kind, entries[0].len_bytes), (EntryKind::File, 3));
    assert_eq!((entries[1].kind, entries[1].len_bytes), (EntryKind::Dir, 0));
    assert_eq!(volume.stat(&at("a")).unwrap(), entries[0]);
}

fn sealing_what_is_missing_is_an_error(volume: &Volume) {
    put(volume, "t/a", b"1");
    assert_eq!(volume.seal(&[at("t"), at("u")]).unwrap_err().kind, Kind::NotFound);
}

fn a_removed_tree_is_gone_sealed_or_not(volume: &Volume) {
    for sealed in [false, true] {
        put(volume, "c/t/a", b"1");
        put(volume, "c/t/sub/b", b"2");
        put(volume, "c/tt", b"3");
        if sealed {
            volume.seal(&[at("c/t")]).unwrap();
        }
        assert!(volume.remove_tree(&at("c/t")).unwrap());
        assert_eq!(names(volume, "c"), ["tt"]);
    }
}

fn the_volume_itself_is_not_removed(volume: &Volume) {
    put(volume, "a", b"1");
    assert_eq!(volume.remove_tree(&SubPath::root()).unwrap_err().kind, Kind::Denied);
    assert_eq!(names(volume, ""), ["a"]);
}

fn removing_one_file_leaves_its_neighbours(volume: &Volume) {
    put(volume, "d/a", b"1");
    put(volume, "d/b", b"1");
    assert!(volume.remove_file(&at("d/a")).unwrap());
    assert!(!volume.remove_file(&at("d/a")).unwrap());
    assert_eq!(names(volume, "d"), ["b"]);
}
