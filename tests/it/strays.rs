//! Trees of files whose acceptance was cut off: a tree stays exactly if its delivery has a record.

use crate::processes::{self, Installation, Server, each_store, is_soak, post};
use crate::programs;
use headworks::delivery::tree_path::each_tree;
use headworks::infra::volume::Volume;
use rustix::process::{Signal, kill_process};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Senders that post at once.
const SENDERS: usize = 4;
/// Longest time that a kill waits after the first answer of its round.
const MOMENT: Duration = Duration::from_millis(150);
/// Nothing is to be read of what is posted.
const PAUSED: &str = "[queue.parse]\npaused = true\n";

/// Paths of the trees on a volume.
fn trees(installation: &Installation) -> BTreeSet<String> {
    let inbox = Volume::open("inbox", &installation.state().join("inbox"), None).unwrap();
    let mut found = BTreeSet::new();
    each_tree(&inbox, &mut |path| {
        found.insert(path.to_string());
        Ok(())
    })
    .unwrap();
    found
}

/// Paths and receipts in the store.
fn records(installation: &Installation) -> (BTreeSet<String>, BTreeSet<Uuid>) {
    installation.store.all::<(String, Uuid)>("SELECT path, receipt_id FROM delivery").into_iter().unzip()
}

fn notes(state: &Path) -> usize {
    std::fs::read_dir(state.join("tmp/pending")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_server_is_killed_no_tree_without_a_record_stays_and_no_record_lacks_its_tree() {
    let kills = if is_soak() { 25 } else { 6 };
    each_store(|postgres| {
        let installation = Installation::new(postgres, PAUSED, &programs::modules());
        let mut server = installation.start();
        let mut promised = BTreeSet::new();
        let (mut round, mut cut_off) = (0, 0);
        while round < kills || cut_off == 0 {
            assert!(round < 10 * kills, "no kill cut off a post");
            promised.extend(posted_until_killed(&server, round));
            drop(server);
            cut_off += usize::from(notes(&installation.state()) > 0);
            server = installation.start();
            round += 1;
        }
        installation
            .wait_for("every note to be decided", || (notes(&installation.state()) == 0).then_some(()));
        let (paths, receipts) = records(&installation);
        assert_eq!(trees(&installation), paths);
        assert!(promised.is_subset(&receipts), "{:?}", promised.difference(&receipts));
        assert!(!promised.is_empty());
        server.stop();
    })
    .await;
}

/// Posts small and large files until the server is killed; the receipts that it gave.
fn posted_until_killed(server: &Server, round: usize) -> Vec<Uuid> {
    let (control, pid) = (server.control(), server.pid());
    let answered = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    let mut receipts = Vec::new();
                    for number in 0.. {
                        let mut body = format!("{round} {sender} {number}\n").into_bytes();
                        body.resize(if sender == 0 { 2 << 20 } else { 2_000 }, b'.');
                        let Some((status, receipt)) = post(control, &body) else { break };
                        assert_eq!(status, 202);
                        answered.store(true, Ordering::SeqCst);
                        receipts.extend(receipt);
                    }
                    receipts
                })
            })
            .collect();
        let luck = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        processes::wait(|| answered.load(Ordering::SeqCst).then_some(())).expect("no post was answered");
        // Any moment of a post: that is what is tried.
        std::thread::sleep(MOMENT.mul_f64(luck));
        kill_process(pid, Signal::KILL).unwrap();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}
