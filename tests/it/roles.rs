//! What the roles of a process decide: what it builds, which volumes it needs, which roles there are.

use crate::appliance::{Site, each_site, metrics};
use crate::number;
use headworks::app::{App, BuildError};
use headworks::config::{Live, load};

/// Builds an app of one role.
async fn build(site: &Site, role: &str) -> Result<App, BuildError> {
    let mut sources = site.layers();
    sources.flags.push(format!("server.roles=[{role:?}]"));
    App::build(Live::new(load(&sources).unwrap()), metrics()).await
}

#[tokio::test]
async fn the_relay_alone_is_refused_without_a_kafka_before_anything_is_made() {
    let site = Site::new(None, "");
    let refused = build(&site, "relay").await.err().unwrap();
    assert!(matches!(refused, BuildError::Idle), "{refused}");
    assert!(!site.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_makes_and_registers_the_volumes_of_its_roles_and_no_others() {
    each_site(|site| async move {
        let names = "SELECT count(*) FROM volume WHERE name";
        for (role, inbox, archive) in [("keeper", 0, 0), ("http", 1, 0), ("mail", 1, 1)] {
            let app = build(&site, role).await.unwrap();
            assert_eq!(number(&app.core.db, &format!("{names} = 'inbox'")).await, inbox, "{role}");
            assert_eq!(number(&app.core.db, &format!("{names} = 'archive'")).await, archive, "{role}");
            assert_eq!(site.state().join("archive").exists(), archive == 1, "{role}");
            app.core.db.close().await;
        }
    })
    .await;
}
