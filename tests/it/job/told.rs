//! What the log says of runs that do not end well.

use super::working::{RULES, SETTINGS, Working, handler, obey};
use super::*;
use crate::page::Page;
use crate::stores::open_lite;
use headworks::infra::telemetry::log;
use tracing::level_filters::LevelFilter;

/// Messages and reasons.
type Said = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn failed_held_and_crashed_jobs_are_told_once_each_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = Jobs::on(open_lite(directory.path()).await).await;
    let page = Page::default();
    let listener = || tracing::Dispatch::new(log::subscriber(LevelFilter::INFO, true, page.clone()));
    // Of a lone listener `tracing` asks the thread that comes by a line first whether anybody listens, and keeps that answer
    // for all; of two it asks both. Only one hears: runs are on this thread, as everything of this test's runtime is.
    let (first, _second) = (listener(), listener());
    let listening = tracing::dispatcher::set_default(&first);
    let shared = jobs.clone();
    let perform = handler(move |mut run| {
        let jobs = shared.clone();
        async move {
            let word = run.job.args["do"].as_str().unwrap().to_owned();
            if let Some(word) = word.strip_suffix(", called off") {
                assert_eq!(jobs.cancel(run.job.id).await, Act::Requested);
                run.job.args["do"] = word.into();
            }
            obey(run).await
        }
    });
    let working = Working::start(&jobs, SETTINGS, RULES, perform);
    let table: [(&str, State, Said); 9] = [
        ("done", State::Completed, &[]),
        ("retry once", State::Completed, &[]),
        ("snooze once", State::Completed, &[]),
        ("fail", State::Failed, &[("a job failed for good", "fail at attempt 0")]),
        ("retry", State::Failed, &[("a job failed for good", "retry at attempt 2")]),
        ("hold", State::Held, &[("a job is held", "no_rule")]),
        ("crash", State::Held, &[("a job crashed", "crash at attempt 0"), ("a job is held", "poisoned")]),
        ("hold, called off", State::Cancelled, &[]),
        ("crash, called off", State::Cancelled, &[("a job crashed", "crash at attempt 0")]),
    ];
    let ids = jobs.insert(table.iter().map(|(word, ..)| jobs.job_that(word)).collect()).await;
    for (id, (_, state, _)) in ids.iter().zip(&table) {
        jobs.wait_for(*id, *state).await;
    }
    // A crash ends in the state that is waited for before it is told; a stop waits for the run.
    working.stop().await;
    drop(listening);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (id, (word, _, expected)) in ids.iter().zip(&table) {
        let mine: Vec<_> = lines.iter().filter(|line| line["job_id"] == id.to_string()).collect();
        let said: Vec<_> = mine
            .iter()
            .map(|line| (line["msg"].as_str().unwrap(), line["reason"].as_str().unwrap()))
            .collect();
        assert_eq!(said, *expected, "{word}");
        assert!(mine.iter().all(|line| line["kind"] == "parse" && line["module"] == "test"), "{mine:?}");
    }
}
