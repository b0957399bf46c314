//! Lists cost their page: however many jobs and deliveries there are, each filter finds its index.

use super::*;
use crate::processes::is_soak;
use crate::stores::each_store;
use headworks::delivery::store::{self as deliveries, Filter as DeliveryFilter};
use headworks::ids::Slug;
use headworks::infra::db::View;
use headworks::job::State;
use headworks::job::store::Filter;
use std::fmt::Write;

/// Rows of each table; more with `HEADWORKS_TEST_SOAK`.
const ROWS: i64 = 150_000;
const ROWS_SOAK: i64 = 1_000_000;
/// One of so many is of a rare source, customer, category, type, group, queue, state.
const RARE: i64 = 30_000;
/// 2026-01-01T00:00:00Z; number `n` is a second younger than number `n - 1`.
const BEGAN: i64 = 1_767_225_600_000_000;

/// How many jobs some filters find among all.
const FOUND: [(&str, usize); 7] = [
    ("rare queue", 10),
    ("queue that is not there", 0),
    ("rare source", 10),
    ("rare group", 10),
    ("since lately", 4),
    ("until long ago", 2),
    ("held of a rare source", 0),
];

fn rows() -> i64 {
    if is_soak() { ROWS_SOAK } else { ROWS }
}

/// Instant of row `n`.
const fn at(n: i64) -> Timestamp {
    Timestamp(BEGAN + n * 1_000_000)
}

/// The same history on both stores: of each number a receipt and a live and a finished job, and a delivery, but for the last
/// tenth of the numbers.
async fn fill(db: &Db) {
    let rows = rows();
    let (numbers, uuid, time, bytes) = if db.is_pg() {
        (
            format!("generate_series(1, {rows}) AS n(n)"),
            "lpad(to_hex(n), 32, '0')::uuid",
            format!("to_timestamp({BEGAN} / 1000000 + n)"),
            "decode(repeat('00', 32), 'hex')",
        )
    } else {
        let numbers = format!(
            "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c) AS n"
        );
        (numbers, "unhex(printf('%032x', n))", format!("{BEGAN} + n * 1000000"), "zeroblob(32)")
    };
    // Ids are given in the order of time: those of live jobs come after those of finished ones.
    let later = if db.is_pg() {
        format!("to_timestamp({BEGAN} / 1000000 + n + {rows})")
    } else {
        format!("{BEGAN} + (n + {rows}) * 1000000")
    };
    let word = format!("CASE WHEN n % {RARE} = 7 THEN 'rare' ELSE 'usual' END");
    let owner = format!("CASE WHEN n <= {rows} * 9 / 10 THEN {uuid} END");
    let queue = format!("CASE WHEN n % {RARE} = 7 THEN 2 ELSE 1 END");
    let envelope = serde_json::to_string(&new_delivery().envelope).unwrap();
    commit!(db, tx => store::make_days(&mut tx)).unwrap();
    for name in ["parse:usual/usual", "parse:rare/rare"] {
        commit!(db, tx => store::queue_row(&mut tx, &name.parse().unwrap())).unwrap();
    }
    let outcome = format!("CASE n % {RARE} WHEN 7 THEN 1 WHEN 8 THEN 2 WHEN 9 THEN 3 ELSE 0 END");
    let lane = format!("CASE n % {RARE} WHEN 7 THEN 1 WHEN 8 THEN 2 WHEN 9 THEN 3 ELSE 0 END");
    let reason = format!("CASE WHEN n % {RARE} = 9 THEN 'no_rule' END");
    for statement in [
        format!("INSERT INTO receipt (id, source, customer, accepted_at) SELECT {uuid}, {word}, {word}, {time} FROM {numbers}"),
        format!(
            "INSERT INTO delivery (id, receipt_id, source, customer, category, type, grp, held_reason, received_at, digest, bytes, envelope)
             SELECT {uuid}, {uuid}, {word}, {word}, {word}, {word}, {word}, {reason}, {time}, {bytes}, 1, '{envelope}'
             FROM {numbers} WHERE n <= {rows} * 9 / 10"
        ),
        format!(
            "INSERT INTO job_done (id, queue, kind, priority, outcome, attempt, crashes, lost, max_attempts, args, receipt_id, delivery_id, created_at)
             SELECT n, {queue}, 2, 1, {outcome}, 0, 0, 0, 3, '{{}}', {uuid}, {owner}, {time} FROM {numbers}"
        ),
        format!(
            "INSERT INTO job (id, pos, queue, kind, lane, wait_reason, max_attempts, receipt_id, delivery_id, created_at)
             SELECT n + {rows}, n, {queue}, 2, {lane}, {reason}, 3, {uuid}, {owner}, {later} FROM {numbers}"
        ),
    ] {
        crate::execute(db, &statement).await;
    }
    if db.is_pg() {
        // As autovacuum does. SQLite has no statistics in service either.
        crate::execute(db, "ANALYZE").await;
    }
}

fn rare() -> Option<String> {
    Some("rare".into())
}

fn usual() -> Option<String> {
    Some("usual".into())
}

/// Every filter of `/jobs` and `/held`, and of how many jobs of the last `RARE` numbers there are for it.
fn job_filters() -> Vec<(&'static str, Filter)> {
    let none = Filter::default;
    let state = |state| Filter { state: Some(state), ..none() };
    let mut all = vec![
        ("nothing", none()),
        ("queue", Filter { queue: Some("parse:usual/usual".into()), ..none() }),
        ("rare queue", Filter { queue: Some("parse:rare/rare".into()), ..none() }),
        ("queue that is not there", Filter { queue: Some("parse:none".into()), ..none() }),
        ("source", Filter { source: usual(), ..none() }),
        ("rare source", Filter { source: rare(), ..none() }),
        ("source that is not there", Filter { source: Some("none".into()), ..none() }),
        ("customer", Filter { customer: usual(), ..none() }),
        ("rare customer", Filter { customer: rare(), ..none() }),
        ("category", Filter { category: usual(), ..none() }),
        ("rare category", Filter { category: rare(), ..none() }),
        ("type", Filter { type_: usual(), ..none() }),
        ("rare type", Filter { type_: rare(), ..none() }),
        ("group", Filter { group: usual(), ..none() }),
        ("rare group", Filter { group: rare(), ..none() }),
        ("since", Filter { since: Some(at(100)), ..none() }),
        ("since lately", Filter { since: Some(at(2 * rows() - 3)), ..none() }),
        ("until", Filter { until: Some(at(rows())), ..none() }),
        ("until long ago", Filter { until: Some(at(3)), ..none() }),
        ("delivery", Filter { delivery_id: Some(DeliveryId(uuid::Uuid::from_u128(7))), ..none() }),
        ("receipt", Filter { receipt_id: Some(ReceiptId(uuid::Uuid::from_u128(7))), ..none() }),
        ("number", Filter { id: Some(JobId(7)), ..none() }),
        ("cursor", Filter { before: Some(JobId(rows() / 2)), ..none() }),
        ("held of a source", Filter { source: usual(), ..state(State::Held) }),
        ("held of a rare source", Filter { source: rare(), ..state(State::Held) }),
        ("held since", Filter { since: Some(at(100)), ..state(State::Held) }),
        ("held until", Filter { until: Some(at(rows() * 3 / 2)), ..state(State::Held) }),
    ];
    all.extend(State::ALL.map(|of| (of.word(), state(of))));
    all
}

/// Every filter of `/deliveries`.
fn delivery_filters() -> Vec<(&'static str, DeliveryFilter)> {
    let none = DeliveryFilter::default;
    let id = uuid::Uuid::from_u128(rows().unsigned_abs().into());
    vec![
        ("nothing", none()),
        ("source", DeliveryFilter { source: usual(), ..none() }),
        ("rare source", DeliveryFilter { source: rare(), ..none() }),
        ("customer", DeliveryFilter { customer: usual(), ..none() }),
        ("rare customer", DeliveryFilter { customer: rare(), ..none() }),
        ("category", DeliveryFilter { category: usual(), ..none() }),
        ("rare category", DeliveryFilter { category: rare(), ..none() }),
        ("type", DeliveryFilter { type_: usual(), ..none() }),
        ("rare type", DeliveryFilter { type_: rare(), ..none() }),
        ("group", DeliveryFilter { group: usual(), ..none() }),
        ("rare group", DeliveryFilter { group: rare(), ..none() }),
        ("held", DeliveryFilter { held: true, ..none() }),
        ("held of a source", DeliveryFilter { held: true, source: usual(), ..none() }),
        ("usual source and rare type", DeliveryFilter { source: usual(), type_: rare(), ..none() }),
        ("receipt", DeliveryFilter { receipt: Some(ReceiptId(uuid::Uuid::from_u128(7))), ..none() }),
        ("since", DeliveryFilter { since: Some(at(100)), ..none() }),
        ("since lately", DeliveryFilter { since: Some(at(rows() - 3)), ..none() }),
        ("until", DeliveryFilter { until: Some(at(rows() / 2)), ..none() }),
        ("cursor", DeliveryFilter { before: Some((at(rows() / 2), DeliveryId(id))), ..none() }),
    ]
}

fn scopes() -> [Scope; 3] {
    ["rare", "usual"]
        .map(|customer| Scope::Customer(Slug::of(customer)))
        .into_iter()
        .chain([Scope::All])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// Notes a plan that reads a whole table otherwise than in the order of the list.
fn assert_indexed(plan: &[String], what: &str, problems: &mut String) {
    let lines: Vec<&str> = plan.iter().map(|line| line.trim_start_matches([' ', '-', '>'])).collect();
    let whole = |at: usize| {
        let line = lines[at];
        // A day of the history without jobs.
        if line.contains("(cost=0.00..0.00 ") {
            return false;
        }
        // Each branch of SQLite ends where its rows are gathered. `SCAN j` is a walk by number unless they are sorted first.
        let rest = lines[at + 1..].iter().take_while(|line| !["SCAN live", "SCAN done"].contains(*line));
        let sorted = rest.clone().any(|line| line.starts_with("USE TEMP B-TREE"));
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["SCAN", "j"] => sorted,
            ["SCAN", "d" | "r" | "delivery" | "receipt"] => true,
            ["Seq", "Scan", "on", table, ..] => {
                ["job", "delivery", "receipt"].iter().any(|of| table.starts_with(of))
            }
            _ => false,
        }
    };
    // A filter that contradicts the scope finds nothing, and reads nothing for it.
    let nothing = lines.iter().any(|line| line.contains("One-Time Filter: false"));
    if !nothing && (0..lines.len()).any(whole) {
        writeln!(problems, "{what}:\n  {}", plan.join("\n  ")).unwrap();
    }
}

#[tokio::test]
async fn every_list_of_jobs_and_deliveries_finds_an_index_for_each_filter() {
    each_store(|db| async move {
        fill(&db).await;
        let mut problems = String::new();
        for scope in scopes() {
            for (name, filter) in job_filters() {
                let mut reader = db.reader(View::State).await.unwrap();
                let plan = store::plan_of_list(&scope, &mut reader.tx(), &filter, 101).await.unwrap();
                let what = format!("jobs by {name} for {scope:?}");
                assert_indexed(&plan, &what, &mut problems);
                let began = std::time::Instant::now();
                let found = store::list(&scope, &mut reader.tx(), &filter, 101).await.unwrap();
                if let Some((_, count)) = FOUND.iter().find(|(of, _)| *of == name && scope == Scope::All) {
                    assert!(found.len() == *count || is_soak(), "{what}: {}", found.len());
                }
                eprintln!("{:>7} us {:>4} {what}", began.elapsed().as_micros(), found.len());
            }
            for (name, filter) in delivery_filters() {
                let mut reader = db.reader(View::State).await.unwrap();
                let plan = deliveries::plan_of_list(&scope, &mut reader.tx(), &filter, 101).await.unwrap();
                let what = format!("deliveries by {name} for {scope:?}");
                assert_indexed(&plan, &what, &mut problems);
                let began = std::time::Instant::now();
                let found = deliveries::list(&scope, &mut reader.tx(), &filter, 101).await.unwrap();
                eprintln!("{:>7} us {:>4} {what}", began.elapsed().as_micros(), found.len());
            }
        }
        assert!(problems.is_empty(), "{problems}");
    })
    .await;
}
