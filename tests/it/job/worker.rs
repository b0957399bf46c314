//! Rows of processes: kept while somebody is there or a lease is theirs.

use super::*;
use crate::stores::each_store;
use headworks::ids::Timestamp;

#[tokio::test]
async fn the_row_of_a_process_goes_when_it_is_silent_and_holds_no_lease() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let (alive, gone, holder) = (BootId::fresh(), BootId::fresh(), BootId::fresh());
        for boot in [alive, gone] {
            commit!(db, tx => store::register_worker(&mut tx, boot, "there")).unwrap();
        }
        let worker = commit!(db, tx => store::register_worker(&mut tx, holder, "there")).unwrap();
        let holding = Jobs { worker, ..jobs.clone() };
        let job = holding.running().await;
        assert!(holding.renew(&job, GONE).await);
        let past = if db.is_pg() { "now() - interval '1 day'" } else { "1" };
        crate::execute(&db, &format!("UPDATE worker SET seen_at = {past}")).await;
        commit!(db, tx => store::see_worker(&mut tx, alive)).unwrap();
        let before = Timestamp::now().before(LONG);
        let prune = async || commit!(db, tx => store::prune_workers(&mut tx, before)).unwrap();
        assert_eq!(prune().await, 2, "the silent one, and that of this test");
        assert_eq!(number(&db, "SELECT count(*) FROM worker").await, 2);

        assert!(jobs.end(&job, Ended::Completed).await, "nobody has taken it over");
        assert_eq!(prune().await, 1);
        assert_eq!(number(&db, "SELECT count(*) FROM worker").await, 1);
    })
    .await;
}
