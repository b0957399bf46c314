//! What can be asked of a job while its module runs, and how a run ends that goes on for too long.

use crate::appliance::{Appliance, each_site};
use crate::programs::hostile_modules;
use crate::stores::jobs_of;
use headworks::ids::ReceiptId;
use headworks::job::State;
use headworks::job::store::JobView;
use std::time::Duration;

/// A rule for a module that never returns, and limits that make it end soon.
const ENDLESS: &str = r#"
[queue.parse]
soft_timeout = "3s"
max_attempts = 1

[[rule]]
name = "endless"
when = { subject = 'endless' }
set = { category = "hostile", type = "wait", group = "none" }

[[rule]]
name = "hydrastor-report""#;

/// Waits until the parse job of a receipt is as `wanted`.
async fn parse_job(running: &Appliance, receipt: ReceiptId, wanted: impl Fn(&JobView) -> bool) -> JobView {
    let mut last = None;
    for _ in 0..600 {
        let jobs = jobs_of(&running.app.core.db, receipt).await;
        last = jobs.into_iter().find(|job| job.queue.starts_with("parse:")).or(last);
        if let Some(job) = last.take_if(|job| wanted(job)) {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not as wanted: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_run_says_where_it_is_and_ends_there_at_its_soft_deadline() {
    each_site(|site| async move {
        let program = crate::programs::modules();
        site.edit(&format!("{program:?}"), &format!("{:?}", hostile_modules()));
        site.edit("lease = \"5s\"", "lease = \"1s\"");
        site.edit("\n[[rule]]\nname = \"hydrastor-report\"", ENDLESS);
        let running = site.start().await;
        let mail = b"From: a@example.com\nSubject: endless\n\nhello\n";
        let receipt = running.deposit("Q1", "bobs@ingest.example.com", mail);

        let at_work = parse_job(&running, receipt, |job| job.progress.is_some()).await;
        assert_eq!(at_work.state, State::Running);
        assert_eq!(at_work.progress.unwrap()["step"], "module");
        let ended = parse_job(&running, receipt, |job| job.state == State::Failed).await;
        let error = ended.last_error.unwrap_or_default();
        assert_eq!(error, r#"stopped after soft_timeout of 3s at {"step":"module"}"#);
        assert_eq!((ended.attempt, ended.crashes, ended.progress), (1, 0, None));
        running.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_the_walls_around_the_module_processes() {
    each_site(|site| async move {
        let running = site.start().await;
        let (_, ready) = running.ask("GET", "/readyz?verbose", "").await;
        let all = ready["dependencies"].as_array().unwrap();
        let modules = all.iter().find(|it| it["name"] == "modules").unwrap();
        let note = modules["note"].as_str().unwrap();
        assert_eq!(modules["ready"], true);
        assert!(note.contains("seccomp") && note.contains("Landlock"), "{note}");
        running.stop().await;
    })
    .await;
}
