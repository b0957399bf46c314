//! The directory: creating, opening, locking, linking, taking out.

use std::fs;
use std::time::Duration;

use headworks_spool::{Damage, Deposited, EntryName, Envelope, Kind, Sealed, Spool, State};
use uuid::Uuid;

use crate::format::envelope;
use crate::harness::{Bench, read};

/// A complete entry with this message under this receipt, not linked yet.
fn sealed(bench: &Bench, receipt: u128, message: &[u8]) -> Sealed {
    let envelope = Envelope { receipt_id: Uuid::from_u128(receipt), ..envelope() };
    let mut draft = bench.spool.draft().unwrap();
    draft.write(message).unwrap();
    draft.seal(&envelope).unwrap()
}

#[test]
fn creating_twice_keeps_the_id() {
    let bench = Bench::new();
    assert_eq!(Spool::create(&bench.path()).unwrap().id(), bench.spool.id());
    assert_eq!(fs::read_to_string(bench.path().join("id")).unwrap(), format!("{}\n", bench.spool.id()));
    assert_eq!(fs::read_dir(bench.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_is_not_the_expected_spool_is_not_opened() {
    let bench = Bench::new();
    let kind = |dir: &str, id| {
        Spool::open(&bench.dir.path().join(dir), id).map_err(|error| error.kind()).unwrap_err()
    };
    assert_eq!(kind("nowhere", None), Kind::NoSpool);
    assert_eq!(kind("", None), Kind::NoSpool);
    assert_eq!(kind("spool/id", None), Kind::NoSpool);
    assert_eq!(kind("spool", Some(Uuid::nil())), Kind::Foreign);
    fs::write(bench.path().join("id"), "not a uuid\n").unwrap();
    assert_eq!(kind("spool", Some(bench.spool.id())), Kind::NoSpool);
}

#[test]
fn one_holder_at_a_time_has_the_lock() {
    let bench = Bench::new();
    let held = bench.spool.lock().unwrap();
    let second = Spool::open(&bench.path(), None).unwrap();
    assert_eq!(second.lock().unwrap_err().kind(), Kind::InUse);
    drop(held);
    second.lock().unwrap();
}

#[test]
fn free_space_is_compared_with_what_is_wanted() {
    let spool = Bench::new().spool;
    let free = spool.free().unwrap();
    assert!(free.bytes > 0);
    spool.require_free(1, 1).unwrap();
    assert_eq!(spool.require_free(u64::MAX, 1).unwrap_err().kind(), Kind::Full);
    assert_eq!(spool.require_free(1, u64::MAX).is_err(), free.inodes.is_some());
}

#[test]
fn a_dropped_draft_and_an_unlinked_entry_leave_nothing() {
    let bench = Bench::new();
    bench.spool.draft().unwrap().write(b"x").unwrap();
    drop(sealed(&bench, 1, b"x"));
    assert_eq!(bench.spool.list().unwrap(), []);
    assert_eq!(fs::read_dir(bench.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn the_same_entry_twice_is_a_duplicate_and_short_ones_are_apart() {
    let bench = Bench::new();
    assert_eq!(sealed(&bench, 1, b"x").deposit_short().unwrap(), Deposited::New);
    assert_eq!(sealed(&bench, 1, b"x").deposit_short().unwrap(), Deposited::Duplicate);
    assert_eq!(sealed(&bench, 1, b"x").deposit().unwrap(), Deposited::New);
    assert_eq!(sealed(&bench, 1, b"x").deposit().unwrap(), Deposited::Duplicate);
    let mut names = bench.spool.list().unwrap();
    names.sort();
    let receipt = Uuid::from_u128(1);
    assert_eq!(names, [EntryName::whole(receipt), EntryName::short(receipt)]);
    bench.spool.remove(names[0]).unwrap();
    assert_eq!(bench.spool.remove(names[0]).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(bench.spool.read(names[0]).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_damaged_entry_makes_room_for_a_good_one_and_is_kept() {
    let bench = Bench::new();
    let name = EntryName::whole(Uuid::from_u128(1));
    sealed(&bench, 1, b"message").deposit().unwrap();
    let file = bench.path().join("new").join(name.to_string());
    let mut bytes = fs::read(&file).unwrap();
    bytes[0] ^= 1;
    fs::write(&file, bytes).unwrap();

    assert_eq!(sealed(&bench, 1, b"message").deposit().unwrap(), Deposited::New);
    assert_eq!(read(&bench.spool, name).1, b"message");
    assert_eq!(bench.names(State::Damaged), [EntryName::damaged(name.receipt_id)]);
}

#[test]
fn an_entry_under_a_foreign_name_is_damaged() {
    let bench = Bench::new();
    sealed(&bench, 1, b"x").deposit().unwrap();
    let new = bench.path().join("new");
    let wrong = EntryName::whole(Uuid::from_u128(2));
    fs::rename(new.join(EntryName::whole(Uuid::from_u128(1)).to_string()), new.join(wrong.to_string()))
        .unwrap();
    assert_eq!(bench.spool.read(wrong).unwrap_err().kind(), Kind::Damaged(Damage::Name));
}

#[test]
fn what_is_no_entry_is_not_listed_and_a_link_is_not_followed() {
    let bench = Bench::new();
    let new = bench.path().join("new");
    fs::write(new.join("README"), "x").unwrap();
    let name = EntryName::whole(Uuid::from_u128(1));
    std::os::unix::fs::symlink("/etc/passwd", new.join(name.to_string())).unwrap();
    assert_eq!(bench.spool.list().unwrap(), [name]);
    assert_eq!(bench.spool.read(name).unwrap_err().kind(), Kind::Damaged(Damage::NotAFile));
}

#[test]
fn what_is_no_file_is_damaged_and_makes_way_for_a_mail() {
    let bench = Bench::new();
    let new = bench.path().join("new");
    let path = |receipt| new.join(EntryName::whole(Uuid::from_u128(receipt)).to_string());
    std::os::unix::fs::symlink("nowhere", path(1)).unwrap();
    fs::create_dir(path(2)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(path(3)).unwrap());
    let pipe = std::process::Command::new("mkfifo").arg(path(4)).status().unwrap();
    assert!(pipe.success());
    for receipt in 1..=4 {
        let name = EntryName::whole(Uuid::from_u128(receipt));
        assert_eq!(bench.spool.read(name).unwrap_err().kind(), Kind::Damaged(Damage::NotAFile), "{receipt}");
        assert_eq!(sealed(&bench, receipt, b"message").deposit().unwrap(), Deposited::New);
        assert_eq!(read(&bench.spool, name).1, b"message");
    }
    assert_eq!(bench.names(State::Damaged).len(), 4);
}

#[test]
fn sweeping_takes_only_old_drafts() {
    let bench = Bench::new();
    let tmp = bench.path().join("tmp");
    let (old, young) = (tmp.join(Uuid::from_u128(1).to_string()), tmp.join(Uuid::from_u128(2).to_string()));
    for file in [&old, &young, &tmp.join("other")] {
        fs::write(file, "x").unwrap();
    }
    let hour = Duration::from_secs(3600);
    for file in [&old, &tmp.join("other")] {
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(std::time::SystemTime::now() - 2 * hour)
            .unwrap();
    }
    assert_eq!(bench.spool.sweep(hour).unwrap(), 1);
    assert!(!old.exists() && young.exists() && tmp.join("other").exists());
}
