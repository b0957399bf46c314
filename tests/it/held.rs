//! Mail that waits for an operator: why, where its tree is meanwhile, and where it goes when it is let go on.

use crate::appliance::{Appliance, Site, delivery, each_site, fixture};
use crate::stores::jobs_of;
use headworks::app::App;
use headworks::delivery::store::DeliveryRow;
use headworks::delivery::tree::{self, Found};
use headworks::delivery::{Operator, ReceiptState};
use headworks::ids::VolumeName;
use headworks::ids::{Coordinates, JobId, ReceiptId, Scope, SpoolId};
use headworks::infra::volume::SubPath;
use headworks::job::store::{Claim, PutBack, Want, set_paused};
use headworks::job::{self, Priority, QueueName, State};
use std::fs;
use std::path::Path;
use std::time::Duration;

const TO: &str = "bobs@ingest.example.com";
/// The pattern of the rule for alerts, and one that matches none.
const ALERTS: &str = r"\[HYDRAstor\] ALERT";
const NOTHING: &str = "no such subject";

#[tokio::test(flavor = "multi_thread")]
async fn released_mail_moves_to_where_the_rules_of_now_say() {
    each_site(|site| async move {
        site.edit(ALERTS, NOTHING);
        let appliance = site.start().await;
        let (receipt, held) = held_mail(&appliance, "no_rule").await;
        site.edit(NOTHING, ALERTS);
        appliance.app.core.live.reload(&site.layers()).unwrap();

        operator(&appliance).release(job_of(&appliance, receipt).await).await.unwrap();
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Completed);
        let moved = has_moved(&site, &appliance, &held).await;
        assert_eq!(moved.rule.as_deref(), Some("hydrastor-alert"));
        assert_eq!(appliance.rows("hydrastor_alert").await.len(), 1);
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_tree_that_a_crash_left_beside_its_sealed_successor_goes_at_the_next_start() {
    each_site(|site| async move {
        site.edit(ALERTS, NOTHING);
        let first = site.start().await;
        let (receipt, held) = held_mail(&first, "no_rule").await;
        site.edit(NOTHING, ALERTS);
        first.app.core.live.reload(&site.layers()).unwrap();
        let left = site.state().join("inbox").join(held.path.as_ref().unwrap());
        let aside = site.directory.path().join("aside");
        copy_tree(&left, &aside);
        operator(&first).release(job_of(&first, receipt).await).await.unwrap();
        assert_eq!(first.settled(receipt).await, ReceiptState::Completed);
        has_moved(&site, &first, &held).await;
        // As it was between the commit of the seal and the removal.
        let path = held.path.as_ref().unwrap();
        crate::execute(&first.app.core.db, &format!("UPDATE delivery SET stale_path = '{path}'")).await;
        first.stop().await;
        copy_tree(&aside, &left);

        let second = site.start().await;
        has_moved(&site, &second, &held).await;
        second.stop().await;
    })
    .await;
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assigned_mail_moves_to_where_the_operator_said() {
    each_site(|site| async move {
        site.edit(ALERTS, NOTHING);
        let appliance = site.start().await;
        let (receipt, held) = held_mail(&appliance, "no_rule").await;

        let coordinates = Coordinates {
            customer: "bobs".parse().unwrap(),
            category: "hydrastor".parse().unwrap(),
            type_: "alert".parse().unwrap(),
            group: "by-hand".parse().unwrap(),
        };
        operator(&appliance).assign(job_of(&appliance, receipt).await, coordinates).await.unwrap();
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Completed);
        let moved = has_moved(&site, &appliance, &held).await;
        assert!(moved.path.unwrap().starts_with("bobs/hydrastor/alert/by-hand/"));
        assert_eq!(moved.rule, None);
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_no_module_reads_is_held_where_it_belongs() {
    each_site(|site| async move {
        site.edit("type = \"alert\"", "type = \"unheard_of\"");
        let appliance = site.start().await;
        let receipt = appliance.deposit("4H1", TO, &fixture("alert/01_warning"));
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Held);
        let row = appliance.delivery(receipt, |row| row.sealed_at.is_some()).await;
        assert_eq!(row.held_reason.as_deref(), Some("no_module"));
        assert!(row.path.as_ref().unwrap().starts_with("bobs/hydrastor/unheard_of/"), "{row:?}");
        is_whole(&appliance, &row);
        appliance.spool_is_empty().await;
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_cannot_be_sorted_is_held_after_its_last_attempt_and_can_be_released() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let obstacle = site.state().join("inbox/bobs");
        fs::write(&obstacle, "a file where a directory should be").unwrap();
        let receipt = appliance.deposit("4H2", TO, &fixture("alert/01_warning"));
        let settled = appliance.keep_until(appliance.settled(receipt)).await;
        assert_eq!(settled, ReceiptState::Held);
        fs::remove_file(obstacle).unwrap();
        let held = kept(&appliance, receipt, "out_of_attempts").await;

        operator(&appliance).release(job_of(&appliance, receipt).await).await.unwrap();
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Completed);
        has_moved(&site, &appliance, &held).await;
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_on_which_a_module_process_died_too_often_is_kept_untouched() {
    each_site(|site| async move {
        let first = site.start().await;
        let queue = QueueName::sort(SpoolId(first.spool().id())).to_string();
        pause(&first.app, &queue, true).await;
        let receipt = first.deposit("4H3", TO, &fixture("alert/01_warning"));
        while delivery(&first.app.core.db, receipt).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        first.stop().await;

        let idle = site.build().await;
        pause(&idle, &queue, false).await;
        let worker = idle.core.worker.unwrap();
        let poisoned = commit!(idle.core.db, tx => async {
            let queue = job::store::queue_row(&mut tx, &queue.parse().unwrap()).await?.id;
            let want = Want { queue, priority: Priority::Normal as i16, floor: 0, count: 1 };
            let lease = Duration::from_secs(600);
            let claim = Claim { wants: vec![want], worker, lease, take_expired: false };
            let job = job::store::claim(&mut tx, &claim).await?.pop().expect("one job");
            let how = PutBack::Crash { how: "killed".into(), limit: 1 };
            job::store::put_back(&mut tx, job.id, job.lease_token, &how).await
        });
        assert_eq!(poisoned.unwrap(), job::Became::Held);
        idle.core.db.close().await;
        drop(idle);

        let second = site.start().await;
        let held = kept(&second, receipt, "poisoned").await;
        let files: Vec<_> =
            fs::read_dir(site.state().join("inbox").join(held.path.unwrap())).unwrap().collect();
        assert_eq!(files.len(), 2, "the message and the manifest: {files:?}");
        second.spool_is_empty().await;
        second.stop().await;
    })
    .await;
}

/// An alert that was held, sealed and gone from the spool.
async fn held_mail(appliance: &Appliance, reason: &str) -> (ReceiptId, DeliveryRow) {
    let receipt = appliance.deposit("4H0", TO, &fixture("alert/01_warning"));
    assert_eq!(appliance.settled(receipt).await, ReceiptState::Held);
    appliance.spool_is_empty().await;
    let row = appliance.delivery(receipt, |row| row.sealed_at.is_some()).await;
    is_held(appliance, &row, reason);
    (receipt, row)
}

/// Waits for the periodic duty that keeps mail whose job was held before it made a tree.
async fn kept(appliance: &Appliance, receipt: ReceiptId, reason: &str) -> DeliveryRow {
    let is_kept = |row: &DeliveryRow| {
        row.held_reason.as_deref() == Some(reason) && row.sealed_at.is_some() && row.stale_path.is_none()
    };
    let row = appliance.keep_until(appliance.delivery(receipt, is_kept)).await;
    is_held(appliance, &row, reason);
    row
}

fn is_held(appliance: &Appliance, row: &DeliveryRow, reason: &str) {
    assert_eq!(row.held_reason.as_deref(), Some(reason));
    assert!(row.path.as_ref().unwrap().starts_with(&format!("_held/mail/{reason}/")), "{row:?}");
    is_whole(appliance, row);
}

fn is_whole(appliance: &Appliance, row: &DeliveryRow) {
    let path: SubPath = row.path.as_ref().unwrap().parse().unwrap();
    let Found::Manifest(manifest) =
        tree::read_manifest(appliance.app.core.volumes.get(VolumeName::Inbox), &path).unwrap()
    else {
        panic!("{path} has no manifest");
    };
    assert_eq!(manifest.about.delivery, row.id);
    assert_eq!(tree::check(appliance.app.core.volumes.get(VolumeName::Inbox), &path, &manifest).unwrap(), []);
}

/// Waits until the new tree is sealed and the held one is gone and forgotten.
async fn has_moved(site: &Site, appliance: &Appliance, held: &DeliveryRow) -> DeliveryRow {
    let moved = |row: &DeliveryRow| row.sealed_at.is_some() && row.stale_path.is_none();
    let row = appliance.delivery(held.receipt_id, moved).await;
    assert!(row.path.as_ref().unwrap().starts_with("bobs/hydrastor/alert/"), "{row:?}");
    assert_eq!(row.held_reason, None);
    is_whole(appliance, &row);
    let left = site.state().join("inbox").join(held.path.as_ref().unwrap());
    assert!(!left.exists(), "{} is still there", left.display());
    row
}

fn operator(appliance: &Appliance) -> Operator {
    let (db, wake) = (appliance.app.core.db.clone(), appliance.app.core.wake.clone());
    Operator { db, wake, scope: Scope::All, actor: "test".into() }
}

/// The held job of a receipt.
async fn job_of(appliance: &Appliance, receipt: ReceiptId) -> JobId {
    let jobs = jobs_of(&appliance.app.core.db, receipt).await;
    jobs.iter().find(|job| job.state == State::Held).unwrap().id
}

async fn pause(app: &App, queue: &str, paused: bool) {
    let queue = queue.to_owned();
    let known = commit!(app.core.db, tx => async {
        job::store::queue_row(&mut tx, &queue.parse().unwrap()).await?;
        set_paused(&mut tx, &queue, paused).await
    });
    assert!(known.unwrap());
}
