//! A door with a dialect answers everything below its paths in it, also what no handler of it answered.

use super::client::{LIMITS, PACE, get, request, send};
use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get as on_get, post};
use headworks::web::edge::{finish, timed};
use headworks::web::listen::{Listen, start};
use headworks::web::problem::Body;
use headworks::web::{Cap, Decoded, Dialect, Problem};
use std::time::Duration;

const THEIRS: Dialect = Dialect { owns: |path| path.starts_with("/theirs"), answer: say };

/// `NO <status>`, and for a path that does not exist another status than ours.
fn say(problem: &Body) -> Response {
    let status = if problem.status() == 404 { 400 } else { problem.status() };
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let kind = HeaderValue::from_static("text/x-theirs");
    (status, [(header::CONTENT_TYPE, kind)], format!("NO {}", problem.status())).into_response()
}

async fn take(headers: HeaderMap, body: axum::body::Body) -> Result<String, Problem> {
    let cap = Cap { bytes: 4, pace: PACE, decoder_bytes: 0 };
    let bytes = Decoded::new(&headers, body, cap)?.bytes().await?;
    Ok(format!("{} bytes", bytes.len()))
}

#[tokio::test]
async fn refusals_below_the_paths_of_a_door_have_its_shape_and_no_others() {
    let never = || async { std::future::pending::<String>().await };
    let broken = || async { panic!("on purpose") as String };
    let mut router = Router::new();
    for base in ["/theirs", "/ours"] {
        router = router
            .route(&format!("{base}/take"), post(take))
            .route(&format!("{base}/never"), on_get(never))
            .route(&format!("{base}/broken"), on_get(broken));
    }
    let router = finish(timed(router, Duration::from_millis(300), Duration::ZERO, Vec::new()), vec![THEIRS]);
    let address = "127.0.0.1:0".parse().unwrap();
    let serving = start(vec![Listen { address, router, tls: None }], None, LIMITS).await.unwrap();
    let address = serving.addresses()[0];

    let answered = send(address, request("POST", "/theirs/take", "", "abc")).await;
    assert_eq!(answered.body(), "3 bytes", "what a handler answers is left alone");
    for (method, path, body, status, theirs) in [
        ("GET", "/nowhere", "", 404, 400),
        ("GET", "/take", "", 405, 405),
        ("POST", "/take", "abcde", 413, 413),
        ("GET", "/never", "", 503, 503),
        ("GET", "/broken", "", 500, 500),
    ] {
        let ours = send(address, request(method, &format!("/ours{path}"), "", body)).await;
        assert_eq!(ours.status(), status, "{path}");
        assert_eq!(ours.headers()["content-type"], "application/problem+json", "{path}");
        let said = send(address, request(method, &format!("/theirs{path}"), "", body)).await;
        assert_eq!((said.status().as_u16(), said.body()), (theirs, &format!("NO {status}").into()), "{path}");
        assert_eq!(said.headers()["content-type"], "text/x-theirs", "{path}");
        for name in ["allow", "retry-after"] {
            assert_eq!(said.headers().get(name), ours.headers().get(name), "{path}");
        }
        assert!(said.headers().contains_key("x-request-id"), "{path}");
    }
    assert_eq!(send(address, get("/theirsnot", "")).await.body(), "NO 404", "the door says what is its own");
}
