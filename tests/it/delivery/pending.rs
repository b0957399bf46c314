//! Trees that are made before their delivery has a row: whatever happens between note, tree and accept, a tree stays exactly
//! if there is a row.

use super::{Doors, new_delivery, new_receipt, queue, writers};
use crate::stores::{self, each_store};
use headworks::delivery::envelope::{Envelope, RawText, RestEnvelope};
use headworks::delivery::manifest::About;
use headworks::delivery::pending::LeftOver;
use headworks::delivery::store::{self, DeliveryRecord};
use headworks::delivery::tree::{self, Contents};
use headworks::delivery::tree_path::{Place, each_tree};
use headworks::delivery::{
    AcceptError, Acceptor, BatchSettings, NewReceipt, Pending, PendingTree, RowWriters, receipt_id,
};
use headworks::ids::{Coordinates, DeliveryId, Digest, Slug, Timestamp, VolumeName};
use headworks::infra::db::{Db, DbErrorKind, Lane, Pg, PgSettings, Tx};
use headworks::infra::volume::{Durable, FileRange, Source, Stored, SubPath, Volume, VolumeError, Volumes};
use headworks::job::{Queues, Wake};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A volume on disk, and notes.
struct Files {
    directory: tempfile::TempDir,
    volumes: Volumes,
    pending: Pending,
}

impl Files {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tmp = directory.path().join("tmp");
        fs::create_dir(&tmp).unwrap();
        let open =
            async |name: VolumeName| Volume::open(name.word(), &directory.path().join(name.word()), None);
        let volumes = Volumes::open(open).await.unwrap();
        Self { volumes, pending: Pending::below(&tmp), directory }
    }

    fn inbox(&self) -> Arc<Volume> {
        Arc::clone(self.volumes.get(VolumeName::Inbox))
    }

    async fn make(&self, id: DeliveryId) -> PendingTree {
        self.pending
            .make(self.inbox(), path(id), id, move |volume, path| write(volume, path, id))
            .await
            .unwrap()
    }

    /// What a killed process leaves that had noted a tree.
    async fn note_as_left(&self, id: DeliveryId) {
        let tree = self.make(id).await;
        let note = self.note(id);
        let text = fs::read(&note).unwrap();
        drop(tree);
        crate::processes::wait(|| (!note.exists()).then_some(())).unwrap();
        fs::write(note, text).unwrap();
    }

    fn note(&self, id: DeliveryId) -> std::path::PathBuf {
        self.directory.path().join("tmp/pending").join(id.to_string())
    }

    async fn decide(&self, left_over: &LeftOver, db: &Db) {
        left_over.decide(&self.pending, db, &self.volumes).await.unwrap();
    }

    /// Turn after turn until so many notes are left: tests on other databases of the server have transactions too.
    async fn decide_until(&self, notes: usize, left_over: &LeftOver, db: &Db) {
        for _ in 0..3_000 {
            self.decide(left_over, db).await;
            if self.notes() == notes {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} notes are left, not {notes}", self.notes());
    }

    fn notes(&self) -> usize {
        fs::read_dir(self.directory.path().join("tmp/pending")).map_or(0, Iterator::count)
    }

    fn trees(&self) -> Vec<String> {
        let mut found = Vec::new();
        each_tree(&self.inbox(), &mut |path| {
            found.push(path.to_string());
            Ok(())
        })
        .unwrap();
        found
    }
}

fn path(id: DeliveryId) -> SubPath {
    format!("bobs/test/report/none/{id}").parse().unwrap()
}

fn about(id: DeliveryId) -> About {
    let slug = |text: &str| text.parse::<Slug>().unwrap();
    About {
        delivery: id,
        receipt: receipt_id(&[0; 32], &Digest::of(b"")),
        place: Place::Delivered(Coordinates {
            customer: slug("bobs"),
            category: slug("test"),
            type_: slug("report"),
            group: slug("none"),
        }),
        rule: None,
        envelope: Envelope::Rest(RestEnvelope {
            principal: RawText::of(b"test"),
            customer: RawText::of(b"bobs"),
            received_at: Timestamp::now(),
        }),
        headers: Vec::new(),
        problems: Vec::new(),
        software: BTreeMap::new(),
        split_limits: None,
    }
}

fn write(volume: &Volume, path: &SubPath, id: DeliveryId) -> Result<tree::Written, VolumeError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"mail").unwrap();
    let message = FileRange { file: &file, offset: 0, stored: Stored::of(b"mail") };
    tree::write(volume, path, &Contents { about: about(id), message: Some(message), parts: Vec::new() })
}

/// A receipt whose delivery has a tree.
fn receipt(key: u8, id: DeliveryId) -> NewReceipt {
    let mut receipt = new_receipt(key, key);
    receipt.delivery = Some(headworks::delivery::NewDelivery { id, ..new_delivery() });
    receipt
}

async fn has_row(db: &Db, id: DeliveryId) -> bool {
    let ids = [id];
    commit!(db, tx => store::recorded(&mut tx, &ids)).unwrap().ids.contains(&id)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_a_kill_came_after_the_next_process_keeps_a_tree_exactly_if_it_has_a_row() {
    each_store(|db| async move {
        let (place, doors) = (Files::new().await, Doors::open(&db, 1).await);
        let ids: Vec<DeliveryId> = (0..5).map(|_| DeliveryId::fresh()).collect();
        let [noted, begun, made, sealed, accepted] = ids[..] else { unreachable!("five ids") };
        for id in [noted, begun, made, sealed] {
            place.note_as_left(id).await;
        }
        let inbox = place.inbox();
        let message = tree::message(&path(begun));
        inbox.put(&message, Source::Bytes(b"mail"), Durable::AtSeal).unwrap();
        write(&inbox, &path(made), made).unwrap();
        write(&inbox, &path(sealed), sealed).unwrap();
        inbox.seal(&[path(sealed)]).unwrap();
        let tree = place.make(accepted).await;
        let note = fs::read(place.note(accepted)).unwrap();
        doors.acceptor.accept_tree(receipt(1, accepted), tree).await.unwrap();
        assert!(!place.note(accepted).exists(), "an answer ends a note");
        fs::write(place.note(accepted), note).unwrap();
        // Nobody has noted this one.
        let stranger = DeliveryId::fresh();
        write(&inbox, &path(stranger), stranger).unwrap();
        assert_eq!((place.notes(), place.trees().len()), (5, 5));

        place.decide_until(0, &LeftOver::default(), &db).await;
        let mut kept = [path(accepted).to_string(), path(stranger).to_string()];
        kept.sort();
        assert_eq!(place.trees(), kept);
        assert!(has_row(&db, accepted).await);
        // A second turn finds nothing to do.
        place.decide(&LeftOver::default(), &db).await;
        assert_eq!(place.trees().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_names_another_deliverys_tree_or_is_no_note_removes_nothing() {
    each_store(|db| async move {
        let (place, _doors) = (Files::new().await, Doors::open(&db, 1).await);
        let (owner, other) = (DeliveryId::fresh(), DeliveryId::fresh());
        write(&place.inbox(), &path(owner), owner).unwrap();
        let text = format!("headworks-pending/1\ninbox\n{}\n", path(owner));
        fs::create_dir_all(place.note(other).parent().unwrap()).unwrap();
        fs::write(place.note(other), text).unwrap();
        fs::write(place.note(DeliveryId::fresh()), "").unwrap();
        place.decide_until(1, &LeftOver::default(), &db).await;
        assert_eq!(place.trees(), [path(owner).to_string()]);
    })
    .await;
}

/// Keeps every commit waiting until the returned end is used.
async fn hold_commits(db: &Db) -> oneshot::Sender<()> {
    let (held, is_held) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let db = db.clone();
    tokio::spawn(async move {
        db.write(Lane::State, move |mut tx| {
            Box::pin(async move {
                if let Tx::Pg(connection) = &mut tx {
                    connection.execute("LOCK TABLE receipt IN ACCESS EXCLUSIVE MODE").await?;
                }
                held.send(()).unwrap();
                drop(released.await);
                Ok(())
            })
        })
        .await
        .unwrap();
    });
    is_held.await.unwrap();
    release
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_loses_nothing_that_is_being_accepted_and_leaves_nothing_else() {
    each_store(|db| async move {
        let (place, doors) = (Files::new().await, Doors::open(&db, 1).await);
        let (asked, unasked) = (DeliveryId::fresh(), DeliveryId::fresh());
        let tree = place.make(asked).await;
        drop(place.make(unasked).await);
        // The note goes after its tree.
        crate::processes::wait(|| (place.trees().len() == 1 && place.notes() == 1).then_some(())).unwrap();

        let release = hold_commits(&db).await;
        let accepting = doors.acceptor.accept_tree(receipt(1, asked), tree);
        let gone = tokio::time::timeout(Duration::from_millis(200), accepting).await;
        assert!(gone.is_err(), "it was answered");
        place.decide(&LeftOver::default(), &db).await;
        assert_eq!((place.notes(), place.trees().len()), (1, 1), "its commit is under way");
        release.send(()).unwrap();
        crate::processes::wait(|| (place.notes() == 0).then_some(())).unwrap();
        assert!(has_row(&db, asked).await);
        assert_eq!(place.trees(), [path(asked).to_string()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_place_in_the_queue_leaves_nothing() {
    each_store(|db| async move {
        let (place, doors) = (Files::new().await, Doors::open(&db, 1).await);
        let settings = BatchSettings { items: 1, linger: Duration::ZERO, bound: 1, parallel: 1 };
        let queues = Queues::new(db.clone());
        queues.row(&queue()).await.unwrap();
        let acceptor = Acceptor::start(db.clone(), queues, Wake::default(), writers(), settings);
        let release = hold_commits(&db).await;
        let mut accepting = Vec::new();
        let mut refused = 0;
        for number in 0..8 {
            let id = DeliveryId::fresh();
            let tree = place.make(id).await;
            let acceptor = acceptor.clone();
            let mut call = tokio::spawn(async move { acceptor.accept_tree(receipt(number, id), tree).await });
            match tokio::time::timeout(Duration::from_millis(100), &mut call).await {
                Err(_) => accepting.push(call),
                Ok(answer) => {
                    assert!(matches!(answer.unwrap(), Err(AcceptError::Busy)));
                    refused += 1;
                    assert_eq!((place.notes(), place.trees().len()), (accepting.len(), accepting.len()));
                }
            }
        }
        assert!(refused >= 4, "{refused}");
        release.send(()).unwrap();
        let accepted = accepting.len();
        for call in accepting {
            call.await.unwrap().unwrap();
        }
        assert_eq!((place.notes(), place.trees().len()), (0, accepted));
        assert_eq!(doors.count("delivery").await, accepted as i64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_waits_until_a_commit_that_may_still_bring_its_row_has_ended() {
    let Some(server) = stores::postgres() else { return };
    stores::with_database(&server, |url| async move {
        let db = Db::Pg(Pg::open(&settings(&url)).unwrap());
        let place = Files::new().await;
        let (left_over, mut kept) = (LeftOver::default(), 0);
        for commits in [false, true] {
            let id = DeliveryId::fresh();
            place.note_as_left(id).await;
            write(&place.inbox(), &path(id), id).unwrap();
            // A server that goes on where a killed process left it.
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            let new = headworks::delivery::NewDelivery { id, ..new_delivery() };
            let path = path(id);
            let record = DeliveryRecord {
                delivery: &new,
                path: Some(&path),
                receipt_id: receipt_id(&[0; 32], &Digest::of(b"")),
                source: "test",
                received_at: Timestamp::now(),
                created_by: None,
            };
            store::insert_deliveries(&mut Tx::Pg(&mut transaction), &[record]).await.unwrap();
            for _ in 0..3 {
                place.decide(&left_over, &db).await;
            }
            assert_eq!((place.notes(), place.trees().len()), (1, 1), "nobody knows yet");
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            place.decide_until(0, &left_over, &db).await;
            kept += usize::from(commits);
            assert_eq!(place.trees().len(), kept);
        }
        db.close().await;
    })
    .await;
}

fn settings(url: &str) -> PgSettings {
    PgSettings {
        url: url.to_owned(),
        queue_connections: 2,
        bulk_connections: 1,
        read_connections: 1,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
    }
}

/// What a proxy does with the next COMMIT.
const PASS: u8 = 0;
/// It arrives, its answer does not.
const LOSE_THE_ANSWER: u8 = 1;
/// It does not arrive.
const LOSE_THE_COMMIT: u8 = 2;

/// A proxy in front of a Postgres server, and its URL.
async fn proxy(url: &str, next: Arc<AtomicU8>) -> String {
    let options = PgConnectOptions::from_str(url).unwrap();
    let server = (options.get_host().to_owned(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass(client, server, Arc::clone(&next)));
        }
    });
    let (head, rest) = url.rsplit_once('@').unwrap();
    let (_, rest) = rest.split_once('/').unwrap();
    format!("{head}@127.0.0.1:{port}/{rest}")
}

async fn pass(mut client: TcpStream, mut server: TcpStream, next: Arc<AtomicU8>) {
    let (mut from_client, mut from_server) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(bytes @ 1..) = read else { return };
                let is_commit = from_client[..bytes].windows(6).any(|word| word == b"COMMIT");
                let act = if is_commit { next.swap(PASS, Ordering::SeqCst) } else { PASS };
                if act == LOSE_THE_COMMIT {
                    return;
                }
                server.write_all(&from_client[..bytes]).await.unwrap();
                if act == LOSE_THE_ANSWER {
                    assert!(server.read(&mut from_server).await.unwrap() > 0);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(bytes @ 1..) = read else { return };
                if client.write_all(&from_server[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_leaves_its_tree_until_the_store_says_what_became_of_it() {
    let Some(server) = stores::postgres() else { return };
    stores::with_database(&server, |url| async move {
        let direct = Db::Pg(Pg::open(&settings(&url)).unwrap());
        let next = Arc::new(AtomicU8::new(PASS));
        let db = Db::Pg(Pg::open(&settings(&proxy(&url, Arc::clone(&next)).await)).unwrap());
        let (place, queues) = (Files::new().await, Queues::new(db.clone()));
        queues.row(&queue()).await.unwrap();
        let settings = BatchSettings { items: 1, linger: Duration::ZERO, bound: 9, parallel: 1 };
        let acceptor = Acceptor::start(db.clone(), queues, Wake::default(), RowWriters::default(), settings);
        for (key, act) in [(1, LOSE_THE_ANSWER), (2, LOSE_THE_COMMIT)] {
            let id = DeliveryId::fresh();
            let tree = place.make(id).await;
            let before = place.trees();
            next.store(act, Ordering::SeqCst);
            match acceptor.accept_tree(receipt(key, id), tree).await {
                Err(AcceptError::Store(error)) => assert_eq!(error.kind(), DbErrorKind::Undecided, "{error}"),
                other => panic!("{other:?}"),
            }
            assert_eq!((place.notes(), place.trees()), (1, before));
            // The server may still have to notice that its client is gone.
            place.decide_until(0, &LeftOver::default(), &direct).await;
            let is_there = act == LOSE_THE_ANSWER;
            assert_eq!(has_row(&direct, id).await, is_there);
            assert_eq!(place.trees().contains(&path(id).to_string()), is_there);
            // The sender comes again: with its row it is a repeat, without one it is new.
            let again = DeliveryId::fresh();
            let tree = place.make(again).await;
            let answer = acceptor.accept_tree(receipt(key, again), tree).await;
            assert_eq!(answer.unwrap().duplicate, is_there);
            assert_eq!(place.notes(), 0);
            assert_eq!(place.trees().contains(&path(again).to_string()), !is_there);
        }
        db.close().await;
        direct.close().await;
    })
    .await;
}
