//! The log on both stores: the order of a topic is the order of its commits, and nobody misses an entry.

use crate::stores::{READERS, each_store};
use headworks::infra::db::{Db, DbError, DbErrorKind, View};
use headworks::log::{self, Entry, Page, Position, TopicId, Topics};
use headworks::{job, on_either};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn entry(topic: TopicId, body: &str) -> Entry {
    let headers = BTreeMap::from([("type".to_owned(), "text/ß \"quoted\"".to_owned())]);
    Entry { topic, key: Some(vec![0, 255]), headers, body: body.as_bytes().to_vec() }
}

async fn append(db: &Db, entries: Vec<Entry>) -> Result<(), DbError> {
    commit!(db, tx => log::append(&mut tx, &entries))
}

async fn page(db: &Db, topic: TopicId, after: Position, limit: u32) -> Page {
    look!(db, tx => log::read(&mut tx, topic, after, limit)).unwrap()
}

async fn bodies(db: &Db, topic: TopicId) -> Vec<String> {
    let page = page(db, topic, Position::START, 1_000_000).await;
    page.entries.into_iter().map(|entry| String::from_utf8(entry.body).unwrap()).collect()
}

async fn two_topics(db: &Db) -> (TopicId, TopicId) {
    commit!(db, tx => job::store::make_days(&mut tx)).unwrap();
    let topics = Topics::new(db.clone());
    (topics.id("first").await.unwrap(), topics.id("second").await.unwrap())
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was_appended() {
    each_store(|db| async move {
        let (topic, other) = two_topics(&db).await;
        let bare = Entry { topic, key: None, headers: BTreeMap::new(), body: Vec::new() };
        let sent = [entry(topic, "one"), bare, entry(other, "elsewhere"), entry(topic, "three")];
        append(&db, sent.to_vec()).await.unwrap();
        append(&db, Vec::new()).await.unwrap();

        let got = page(&db, topic, Position::START, 10).await;
        assert!(!got.gap);
        let expected = sent.iter().filter(|entry| entry.topic == topic);
        assert_eq!(got.entries.len(), 3);
        for (got, sent) in got.entries.iter().zip(expected) {
            assert_eq!((&got.key, &got.headers, &got.body), (&sent.key, &sent.headers, &sent.body));
        }
        assert_eq!(got.next, got.entries[2].position);
        assert_eq!(page(&db, topic, got.next, 10).await.entries, []);
        assert_eq!(page(&db, topic, got.next, 10).await.next, got.next);
        let topics = look!(db, tx => log::topics(&mut tx)).unwrap();
        assert_eq!(topics, [(topic, "first".to_owned()), (other, "second".to_owned())]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tailing_reader_sees_every_committed_entry_once_and_in_order() {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 60;
    each_store(|db| async move {
        let (first, second) = two_topics(&db).await;
        if !db.is_pg() {
            // A connection cannot be opened during a write: all are open before the first commit waits for reads.
            let open = (0..READERS).map(|_| db.reader(View::State));
            drop(futures_util::future::try_join_all(open).await.unwrap());
        }
        let looks = Looks::default();
        let writer = |n| tokio::spawn(write_rounds(db.clone(), n, ROUNDS, [first, second], looks.clone()));
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let committed = ROUNDS - ROUNDS.div_ceil(5);
        let tails: Vec<_> = [first, second]
            .into_iter()
            .enumerate()
            .map(|(n, topic)| tokio::spawn(tail(db.clone(), topic, WRITERS * committed, looks.clone(), n)))
            .collect();
        let mut contested = 0;
        for writer in writers {
            contested += writer.await.unwrap();
        }
        assert!(contested > 0, "nobody looked while an entry was not committed");
        for tail in tails {
            let seen = tokio::time::timeout(Duration::from_secs(30), tail).await;
            let seen = seen.expect("a tailing reader missed an entry").unwrap();
            for writer in 0..WRITERS {
                let rounds: Vec<usize> =
                    seen.iter().filter(|(w, _)| *w == writer).map(|(_, round)| *round).collect();
                let expected: Vec<usize> = (0..ROUNDS).filter(|round| round % 5 != 0).collect();
                assert_eq!(rounds, expected, "entries of writer {writer}");
            }
        }
    })
    .await;
}

/// How often each of two topics was read; clones share it.
#[derive(Clone, Default)]
struct Looks(Arc<[AtomicUsize; 2]>);

/// Beyond every count of looks: the reader has ended.
const A_DAY: log::Retention = log::Retention { keep: Duration::from_secs(86_400), unrelayed: None };
const ENDED: usize = usize::MAX / 2;

impl Looks {
    /// Waits until each topic was read from begin to end; `false` if one is not read any more.
    async fn come(&self) -> bool {
        // Of two reads that end, the second has begun after now.
        let wanted = self.counts().map(|count| count + 2);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.counts().iter().zip(wanted).any(|(count, wanted)| *count < wanted) {
            if self.counts().iter().any(|count| *count >= ENDED) || Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        true
    }

    fn counts(&self) -> [usize; 2] {
        self.0.each_ref().map(|count| count.load(Ordering::SeqCst))
    }
}

/// Each round appends to both topics, half of the writers naming them in the other order; every third commits only after both
/// were read, and every fifth is rolled back. Returns how many were read between append and commit.
async fn write_rounds(
    db: Db,
    writer: usize,
    rounds: usize,
    [first, second]: [TopicId; 2],
    looks: Looks,
) -> usize {
    let contested = Arc::new(AtomicUsize::new(0));
    for round in 0..rounds {
        let body = format!("{writer} {round}");
        let mut entries = vec![entry(first, &body), entry(second, &body)];
        if writer % 2 == 1 {
            entries.reverse();
        }
        let (looks, seen) = (looks.clone(), Arc::clone(&contested));
        let done: Result<(), DbError> = commit!(db, tx => async {
            log::append(&mut tx, &entries).await?;
            if round % 3 == 0 && looks.come().await {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            match round % 5 {
                0 => Err(DbError::new(DbErrorKind::Content, "rolled back")),
                _ => Ok(()),
            }
        });
        assert_eq!(done.is_ok(), round % 5 != 0, "{done:?}");
    }
    contested.load(Ordering::SeqCst)
}

/// Reads from the start until `count` entries were seen, and returns their writers and rounds. Its reads are those of topic
/// `number` in `looks`.
async fn tail(db: Db, topic: TopicId, count: usize, looks: Looks, number: usize) -> Vec<(usize, usize)> {
    let mut seen = Vec::new();
    let mut position = Position::START;
    while seen.len() < count {
        let page = page(&db, topic, position, 7).await;
        looks.0[number].fetch_add(1, Ordering::SeqCst);
        assert!(!page.gap);
        for entry in page.entries {
            assert!(entry.position > position, "positions only grow");
            position = entry.position;
            let body = String::from_utf8(entry.body).unwrap();
            let (writer, round) = body.split_once(' ').unwrap();
            seen.push((writer.parse().unwrap(), round.parse().unwrap()));
        }
        assert_eq!(page.next, position);
        tokio::task::yield_now().await;
    }
    looks.0[number].store(ENDED, Ordering::SeqCst);
    seen
}

#[tokio::test]
async fn a_reader_behind_what_was_pruned_hears_of_a_gap() {
    each_store(|db| async move {
        let (topic, other) = two_topics(&db).await;
        append(&db, vec![entry(topic, "old"), entry(topic, "older than it looks")]).await.unwrap();
        let at_old = page(&db, topic, Position::START, 1).await.next;
        let at_end = page(&db, topic, Position::START, 9).await.next;
        append(&db, vec![entry(other, "young")]).await.unwrap();
        age_everything_in(&db, topic).await;
        append(&db, vec![entry(topic, "young")]).await.unwrap();

        let pruned = commit!(db, tx => log::prune(&mut tx, A_DAY, 100)).unwrap();
        assert!(pruned > 0);
        assert_eq!(bodies(&db, topic).await, ["young"]);
        for behind in [Position::START, at_old] {
            let page = page(&db, topic, behind, 9).await;
            assert!(page.gap);
            assert_eq!(page.entries.len(), 1);
        }
        assert!(!page(&db, topic, at_end, 9).await.gap, "a reader that had seen all of it missed nothing");
        assert!(!page(&db, other, Position::START, 9).await.gap, "nothing of the other topic was pruned");
        let empty = page(&db, topic, Position::START, 0).await;
        assert!(empty.gap && !page(&db, topic, empty.next, 9).await.gap, "a gap is told once");
    })
    .await;
}

#[tokio::test]
async fn entries_that_the_relay_has_not_copied_are_kept_up_to_their_own_limit() {
    each_store(|db| async move {
        let (topic, other) = two_topics(&db).await;
        append(&db, vec![entry(topic, "copied"), entry(topic, "not copied")]).await.unwrap();
        append(&db, vec![entry(other, "nobody exports it")]).await.unwrap();
        let at_first = page(&db, topic, Position::START, 1).await.next.number();
        crate::execute(&db, &format!("INSERT INTO relay (topic, seq) VALUES ({}, {at_first})", topic.0))
            .await;
        for topic in [topic, other] {
            age_everything_in(&db, topic).await;
        }
        let unrelayed =
            |keep| log::Retention { unrelayed: Some(log::Unrelayed { keep, excess: None }), ..A_DAY };
        commit!(db, tx => log::prune(&mut tx, unrelayed(Duration::from_secs(30 * 86_400)), 100)).unwrap();
        // A day of Postgres goes as a whole.
        let kept: &[&str] = if db.is_pg() { &["copied", "not copied"] } else { &["not copied"] };
        assert_eq!(bodies(&db, topic).await, kept);
        assert_eq!(bodies(&db, other).await.len(), usize::from(db.is_pg()));

        commit!(db, tx => log::prune(&mut tx, unrelayed(Duration::from_secs(2 * 86_400)), 100)).unwrap();
        assert_eq!(bodies(&db, topic).await, [""; 0]);
        let behind: Position = format!("{at_first:016x}").parse().unwrap();
        assert!(page(&db, topic, behind, 9).await.gap, "what was lost is told");
    })
    .await;
}

#[tokio::test]
async fn what_the_relay_holds_back_is_kept_up_to_so_many_bytes() {
    each_store(|db| async move {
        let (topic, other) = two_topics(&db).await;
        for number in 0..20 {
            append(&db, vec![entry(topic, &format!("{number:01000}"))]).await.unwrap();
        }
        crate::execute(&db, &format!("INSERT INTO relay (topic) VALUES ({})", topic.0)).await;
        let held_back = |keep, most| {
            let db = db.clone();
            async move {
                let mut reader = db.reader(View::State).await.unwrap();
                log::held_back(&mut reader.tx(), keep, most).await.unwrap()
            }
        };
        assert_eq!(held_back(A_DAY.keep, 1).await, log::HeldBack { bytes: 0, excess: None }, "none is old");
        age_everything_in(&db, topic).await;
        append(&db, vec![entry(topic, "young"), entry(other, "nobody exports it")]).await.unwrap();
        let all = held_back(A_DAY.keep, u64::MAX).await;
        assert!((20_000..200_000).contains(&all.bytes) && all.excess.is_none(), "{all:?}");
        let excess = held_back(A_DAY.keep, all.bytes / 2).await.excess;
        assert!(excess.is_some());
        let unrelayed = Some(log::Unrelayed { keep: Duration::from_secs(30 * 86_400), excess });
        commit!(db, tx => log::prune(&mut tx, log::Retention { unrelayed, ..A_DAY }, 100)).unwrap();
        // A day of Postgres goes as a whole.
        assert_eq!(bodies(&db, topic).await.len(), if db.is_pg() { 1 } else { 11 });
        assert_eq!(bodies(&db, topic).await.last().unwrap(), "young");
        assert!(page(&db, topic, Position::START, 9).await.gap, "what was lost is told");
        let left = held_back(A_DAY.keep, all.bytes / 2).await;
        assert!(left.bytes <= all.bytes / 2 && left.excess.is_none(), "{left:?}");

        crate::execute(&db, "UPDATE relay SET exported = false").await;
        assert_eq!(held_back(A_DAY.keep, 1).await.bytes, 0, "nothing is kept for what nobody exports");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_an_entry_names_counts_as_held_back_too() {
    each_store(|db| async move {
        let (topic, _) = two_topics(&db).await;
        let sealed = |bytes: u64| {
            let headers =
                [("file", "log/a/1.jsonl"), ("entries", "1"), ("sha256", "0"), ("bytes", &bytes.to_string())]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
            Entry { topic, key: None, headers: headers.into(), body: Vec::new() }
        };
        append(&db, vec![sealed(3 << 30), entry(topic, "not a file")]).await.unwrap();
        crate::execute(&db, &format!("INSERT INTO relay (topic) VALUES ({})", topic.0)).await;
        age_everything_in(&db, topic).await;
        let mut reader = db.reader(View::State).await.unwrap();
        let all = log::held_back(&mut reader.tx(), A_DAY.keep, 2 << 30).await.unwrap();
        assert!(((3 << 30)..(3 << 30) + 1_000_000).contains(&all.bytes) && all.excess.is_some(), "{all:?}");
    })
    .await;
}

/// Moves the entries of a topic three days back; on Postgres into a partition of that day.
async fn age_everything_in(db: &Db, topic: TopicId) {
    let day = Duration::from_secs(24 * 3600);
    let back = i64::try_from((day * 3).as_micros()).unwrap();
    if db.is_pg() {
        let make = "DO $$ DECLARE d date := (now() AT TIME ZONE 'UTC')::date - 3; BEGIN
            EXECUTE format('CREATE TABLE IF NOT EXISTS log_%s PARTITION OF log FOR VALUES FROM (%L) TO (%L)',
                           to_char(d, 'YYYYMMDD'), d || ' 00:00+00', d + 1 || ' 00:00+00'); END $$";
        crate::execute(db, make).await;
        let text =
            format!("UPDATE log SET at = at - {back} * interval '1 microsecond' WHERE topic = {}", topic.0);
        crate::execute(db, &text).await;
    } else {
        crate::execute(db, &format!("UPDATE log SET at = at - {back} WHERE topic = {}", topic.0)).await;
    }
}

#[tokio::test]
async fn a_missing_day_is_named_and_can_be_made() {
    each_store(|db| async move {
        let topic = Topics::new(db.clone()).id("first").await.unwrap();
        let refused = append(&db, vec![entry(topic, "early")]).await;
        if db.is_pg() {
            assert_eq!(refused.unwrap_err().kind(), DbErrorKind::MissingPartition);
            commit!(db, tx => job::store::make_days(&mut tx)).unwrap();
            append(&db, vec![entry(topic, "early")]).await.unwrap();
        }
        assert_eq!(bodies(&db, topic).await, ["early"]);
    })
    .await;
}

#[tokio::test]
async fn an_entry_leaves_only_if_its_transaction_commits() {
    each_store(|db| async move {
        let (topic, _) = two_topics(&db).await;
        append(&db, vec![entry(topic, "before")]).await.unwrap();
        let lost = entry(topic, "of a transaction that fails later");
        let refused: Result<(), DbError> = commit!(db, tx => async {
            log::append(&mut tx, &[lost]).await?;
            let text = "INSERT INTO topic (name) VALUES ('first')";
            on_either!(&mut tx, c => { sqlx::query(text).execute(c).await?; });
            Ok(())
        });
        assert_eq!(refused.unwrap_err().kind(), DbErrorKind::Conflict);
        append(&db, vec![entry(topic, "after")]).await.unwrap();
        assert_eq!(bodies(&db, topic).await, ["before", "after"]);
    })
    .await;
}
