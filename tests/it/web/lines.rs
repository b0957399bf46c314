//! What a request leaves in the log.

use super::client::{LIMITS, get, key, kit, send, serve};
use crate::page::Page;
use crate::stores::open_lite;
use axum::Router;
use axum::routing::get as on_get;
use headworks::ids::{Grant, Scope};
use headworks::infra::telemetry::log::subscriber;
use headworks::web::permit::{Admin, Read};
use headworks::web::{Kit, May, Problem};
use serde_json::Value;
use tracing::level_filters::LevelFilter;

impl Page {
    /// The lines so far, which are then forgotten.
    fn take(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn fail(_may: May<Read>) -> Problem {
    Problem::internal("disk on fire")
}

async fn refuse(_may: May<Admin>) {}

#[tokio::test]
async fn a_failure_is_told_once_and_each_line_names_request_and_caller_but_no_url() {
    let directory = tempfile::tempdir().unwrap();
    let kit: Kit = kit(&open_lite(directory.path()).await);
    let reader = key(&kit.keys, "reader", &[Grant::Read], Scope::All).await;
    let routes = Router::new().route("/fail/{who}", on_get(fail)).route("/refuse", on_get(refuse));
    // The test's runtime has one thread, so the server's tasks log here as well.
    let page = Page::default();
    let _logging = tracing::subscriber::set_default(subscriber(LevelFilter::INFO, true, page.clone()));
    let (_serving, address) = serve(routes.with_state(kit), LIMITS).await;
    page.take();

    let mut request = get("/fail/someone@example.com?secret=1", &reader);
    request.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
    assert_eq!(send(address, request).await.status(), 500);
    let lines = page.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        assert_eq!((line["request_id"].as_str(), line["caller"].as_str()), (Some("r-1"), Some("reader")));
        assert!(!line.to_string().contains("someone") && !line.to_string().contains("secret"), "{line}");
    }
    assert_eq!(
        (lines[0]["level"].as_str(), lines[0]["error"].as_str()),
        (Some("ERROR"), Some("disk on fire"))
    );
    assert_eq!((lines[1]["route"].as_str(), lines[1]["status"].as_u64()), (Some("/fail/{who}"), Some(500)));

    assert_eq!(send(address, get("/refuse", &reader)).await.status(), 403);
    let lines = page.take();
    assert_eq!((lines.len(), lines[0]["level"].as_str()), (1, Some("INFO")), "{lines:?}");
}
