//! What headworks promises of every mail it said yes to, as data: read from its store and its files, without asking it.

use crate::appliance::fixture;
use crate::processes::{Installation, Store, wait};
use headworks::delivery::tree::{self, Found};
use headworks::ids::{DeliveryId, Digest};
use headworks::infra::volume::{SubPath, Volume};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use uuid::Uuid;

/// Every so many mails one is a system report, the others are alerts.
const REPORT_EVERY: usize = 4;
/// Rows a system report has in each table of its module.
const ROWS_OF_A_REPORT: [(&str, usize); 4] = [
    ("hydrastor_grid_snapshot", 1),
    ("hydrastor_node_snapshot", 2),
    ("hydrastor_fs_snapshot", 2),
    ("hydrastor_replication_snapshot", 1),
];

/// Mail number `number`: its rows have keys that no other mail's have.
pub fn mail(number: usize) -> Vec<u8> {
    let of = |case: &str| String::from_utf8(fixture(case)).unwrap();
    let text = if is_report(number) {
        let text = of("system_report/01_happy_path").replace("icecream_machine", &format!("grid_{number}"));
        text.replace("HS8-0000417", &format!("HS8-{number:07}"))
    } else {
        let text = of("alert/01_warning").replace("0x00A1204", &event_id(number));
        text.replace("hn002", &format!("hn{:03}", number % 8))
    };
    text.into_bytes()
}

fn is_report(number: usize) -> bool {
    number % REPORT_EVERY == 0
}

fn event_id(number: usize) -> String {
    format!("0x{number:07X}")
}

/// What was said yes to.
#[derive(Debug, Default, Clone)]
pub struct Promised {
    /// Numbers of the mails, all to one customer.
    pub mails: BTreeSet<usize>,
    /// Receipts of all of them.
    pub receipts: BTreeSet<Uuid>,
}

/// A delivery as stored.
#[derive(Debug, FromRow)]
pub struct Kept {
    pub id: DeliveryId,
    pub receipt_id: Uuid,
    pub digest: Vec<u8>,
    pub path: Option<String>,
    pub is_sealed: bool,
    pub held_reason: Option<String>,
}

/// Waits until everything is done, then checks every promise.
pub fn are_kept(installation: &Installation, promised: &Promised) {
    let settled = wait(|| is_settled(installation, promised).then_some(()));
    let broken = broken(installation, promised);
    if settled.is_none() || !broken.is_empty() {
        let live = installation.store.all::<(i64, i16, i16, String, String)>(
            "SELECT id, kind, lane, coalesce(wait_reason, ''), coalesce(last_error, '') FROM job",
        );
        panic!(
            "settled: {}\nbroken: {broken:#?}\nlive jobs: {live:?}\n{}",
            settled.is_some(),
            installation.last_words()
        );
    }
}

fn is_settled(installation: &Installation, promised: &Promised) -> bool {
    let store = &installation.store;
    store.count("SELECT count(*) FROM delivery") >= promised.receipts.len() as i64
        && store.count("SELECT count(*) FROM job") == 0
        && store.count("SELECT count(*) FROM delivery WHERE sealed_at IS NULL") == 0
        && names(&installation.spool().join("new")).is_empty()
}

/// Every promise that is not kept.
fn broken(installation: &Installation, promised: &Promised) -> Vec<String> {
    let kept = installation.store.deliveries();
    [
        of_deliveries(&kept, promised),
        of_jobs(&installation.store, &kept),
        of_loads(&installation.store, &kept),
        of_rows(&installation.store, promised),
        of_trees(&installation.state().join("inbox"), &kept),
        of_leftovers(installation),
    ]
    .concat()
}

/// One delivery per receipt, none without, sealed, not held.
fn of_deliveries(kept: &[Kept], promised: &Promised) -> Vec<String> {
    let mut broken = Vec::new();
    let mut per_receipt: BTreeMap<Uuid, usize> =
        promised.receipts.iter().map(|receipt| (*receipt, 0)).collect();
    for delivery in kept {
        *per_receipt.entry(delivery.receipt_id).or_default() += 1;
        if !delivery.is_sealed || delivery.held_reason.is_some() {
            broken.push(format!("not sealed, or held: {delivery:?}"));
        }
    }
    let odd =
        per_receipt.iter().filter(|(receipt, count)| **count != 1 || !promised.receipts.contains(*receipt));
    broken.extend(odd.map(|(receipt, count)| format!("receipt {receipt} has {count} deliveries")));
    if promised.receipts.len() != promised.mails.len() {
        broken.push(format!("{} receipts of {} mails", promised.receipts.len(), promised.mails.len()));
    }
    broken
}

/// Nothing live, and of each delivery one completed `sort` and one completed `parse`.
fn of_jobs(store: &Store, kept: &[Kept]) -> Vec<String> {
    let live: Vec<(i64, i16, Option<String>)> = store.all("SELECT id, lane, wait_reason FROM job");
    let mut broken: Vec<_> = live.iter().map(|job| format!("still live: {job:?}")).collect();
    let mut done: Vec<(DeliveryId, i16, i16)> = store.all("SELECT delivery_id, kind, outcome FROM job_done");
    let mut expected: Vec<_> =
        kept.iter().flat_map(|delivery| [(delivery.id, 1, 0), (delivery.id, 2, 0)]).collect();
    done.sort_unstable();
    expected.sort_unstable();
    if done != expected {
        let odd: Vec<_> = done.iter().filter(|job| !expected.contains(job)).collect();
        broken.push(format!("{} ends of jobs, {} expected, odd: {odd:?}", done.len(), expected.len()));
    }
    broken
}

/// One load per delivery.
fn of_loads(store: &Store, kept: &[Kept]) -> Vec<String> {
    let mut loads: Vec<DeliveryId> =
        store.all::<(DeliveryId,)>("SELECT delivery_id FROM load").into_iter().map(|(id,)| id).collect();
    let mut expected: Vec<_> = kept.iter().map(|delivery| delivery.id).collect();
    loads.sort_unstable();
    expected.sort_unstable();
    if loads == expected {
        Vec::new()
    } else {
        vec![format!("{} loads of {} deliveries", loads.len(), expected.len())]
    }
}

/// The rows of every mail, each once, and none that lost to another.
fn of_rows(store: &Store, promised: &Promised) -> Vec<String> {
    let mut broken = Vec::new();
    let (reports, alerts): (Vec<usize>, Vec<usize>) =
        promised.mails.iter().partition(|number| is_report(**number));
    for (table, rows) in ROWS_OF_A_REPORT {
        let found = store.count(&format!("SELECT count(*) FROM {}", store.table(table)));
        if found != (reports.len() * rows) as i64 {
            broken.push(format!("{found} rows in {table} of {} reports", reports.len()));
        }
    }
    let text = format!("SELECT event_id FROM {} ORDER BY event_id", store.table("hydrastor_alert"));
    let found: Vec<String> = store.all::<(String,)>(&text).into_iter().map(|(id,)| id).collect();
    if found != alerts.into_iter().map(event_id).collect::<Vec<_>>() {
        broken.push(format!("these alerts: {found:?}"));
    }
    if store.count("SELECT count(*) FROM superseded") != 0 {
        broken.push("rows were superseded".to_owned());
    }
    broken
}

/// Every tree is its delivery's, holds what its manifest says, and cannot be written; there is no other file.
fn of_trees(inbox: &Path, kept: &[Kept]) -> Vec<String> {
    let volume = Volume::open("inbox", inbox, None).unwrap();
    let mut broken = Vec::new();
    let mut expected = BTreeSet::new();
    for delivery in kept {
        let Some(path) = &delivery.path else {
            broken.push(format!("no tree: {delivery:?}"));
            continue;
        };
        expected.insert(path.clone());
        let path: SubPath = path.parse().unwrap();
        let Found::Manifest(manifest) = tree::read_manifest(&volume, &path).unwrap() else {
            broken.push(format!("{path} has no manifest"));
            continue;
        };
        let differences = tree::check(&volume, &path, &manifest).unwrap();
        let digest = Digest::from_slice(&delivery.digest);
        if manifest.about.delivery != delivery.id
            || manifest.message.map(|message| message.sha256) != digest
            || !differences.is_empty()
        {
            broken.push(format!("{path} is not the tree of {delivery:?}: {differences:?}"));
        }
    }
    let mut found = BTreeSet::new();
    find_trees(inbox, inbox, &mut found, &mut broken);
    broken.extend(
        found.symmetric_difference(&expected).map(|path| format!("a tree or a record alone: {path}")),
    );
    broken
}

/// Directories below `inbox` that hold files; those and the files must be read-only.
fn find_trees(inbox: &Path, directory: &Path, found: &mut BTreeSet<String>, broken: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            find_trees(inbox, &entry.path(), found, broken);
        } else if directory != inbox {
            found.insert(directory.strip_prefix(inbox).unwrap().display().to_string());
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            if (mode(directory), mode(&entry.path())) != (0o550, 0o440) {
                broken.push(format!("{} can be written", entry.path().display()));
            }
        }
    }
}

/// Nothing in the spool or in a scratch directory.
fn of_leftovers(installation: &Installation) -> Vec<String> {
    let directories = [
        installation.spool().join("new"),
        installation.spool().join("tmp"),
        installation.state().join("tmp"),
    ];
    let left = directories.iter().flat_map(|directory| names(directory));
    left.map(|path| format!("left over: {path}")).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).map(|entries| entries.map(|entry| entry.unwrap().path()));
    entries.into_iter().flatten().map(|path| path.display().to_string()).collect()
}

impl Store {
    /// All deliveries.
    pub fn deliveries(&self) -> Vec<Kept> {
        self.all("SELECT id, receipt_id, digest, path, sealed_at IS NOT NULL AS is_sealed, held_reason FROM delivery")
    }

    pub fn count(&self, text: &str) -> i64 {
        self.all::<(i64,)>(text)[0].0
    }

    /// A declared table as it is called there.
    pub fn table(&self, name: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("rows_{name}"),
            Self::Postgres(_) => format!("rows.{name}"),
        }
    }

    /// Asks the store itself; with SQLite both files at once.
    pub fn all<T>(&self, text: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let asked = async {
            let text = AssertSqlSafe(text.to_owned());
            match self {
                Self::Sqlite(state) => {
                    let file = |name: &str| state.join(name);
                    let options = SqliteConnectOptions::new().filename(file("state.db")).read_only(true);
                    let mut connection: SqliteConnection = options.connect().await?;
                    let attach = format!("ATTACH '{}' AS results", file("results.db").display());
                    sqlx::query(AssertSqlSafe(attach)).execute(&mut connection).await?;
                    let rows = sqlx::query_as(text).fetch_all(&mut connection).await;
                    connection.close().await?;
                    rows
                }
                Self::Postgres(url) => {
                    let mut connection = PgConnection::connect(url).await?;
                    let rows = sqlx::query_as(text).fetch_all(&mut connection).await;
                    connection.close().await?;
                    rows
                }
            }
        };
        let rows = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asked));
        rows.unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}
