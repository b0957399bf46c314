//! What handlers may rely on, and what clients see when it does not hold.

use super::client::{
    BODY_BYTES, LIMITS, PACE, get, json, key, kit, problem, register, request, send, serve, slug,
};
use crate::appliance::metrics;
use crate::stores::{each_store, open_lite};
use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::routing::put;
use headworks::ids::{Grant, Scope};
use headworks::web::health::{self, Check, Health};
use headworks::web::permit::{Ingest, Operate, Read};
use headworks::web::{
    Cap, Decoded, Json, Kind, Kit, Listing, May, MayAll, Paged, Path, Problem, Since, openapi,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Clone)]
struct Ctx(Kit);

impl FromRef<Ctx> for Kit {
    fn from_ref(ctx: &Ctx) -> Self {
        ctx.0.clone()
    }
}

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
struct Thing {
    id: i64,
    owner: String,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ThingFilter {
    owner: Option<String>,
    since: Option<Since>,
}

/// Five things of alpha and beta in turn.
fn things(scope: &Scope) -> impl Iterator<Item = Thing> {
    let owner = scope.customer().map(str::to_owned);
    let all = (1..=5).map(|id| Thing { id, owner: if id % 2 == 1 { "alpha" } else { "beta" }.to_owned() });
    all.filter(move |thing| owner.as_ref().is_none_or(|owner| *owner == thing.owner))
}

#[utoipa::path(get, path = "/things", params(ThingFilter, headworks::web::page::PageQuery),
    responses((status = 200, body = Paged<Thing>)))]
async fn list(may: May<Read>, Listing { filter, page }: Listing<ThingFilter, i64>) -> Paged<Thing> {
    let wanted = |thing: &Thing| filter.owner.as_ref().is_none_or(|owner| *owner == thing.owner);
    let late = filter.since.is_none_or(|since| since.0.0 < 0);
    let after = page.after().copied().unwrap_or(0);
    let found = things(may.scope()).filter(|t| late && wanted(t) && t.id > after);
    page.of(found.take(usize::try_from(page.fetch()).unwrap()).collect(), |thing| thing.id)
}

#[utoipa::path(get, path = "/things/{id}", responses((status = 200, body = Thing)))]
async fn show(may: May<Read>, Path(id): Path<i64>) -> Result<Json<Thing>, Problem> {
    things(may.scope()).find(|thing| thing.id == id).map(Json).ok_or_else(Problem::not_found)
}

#[utoipa::path(post, path = "/things", request_body = Thing, responses((status = 200, body = str)))]
async fn add(may: May<Ingest>, Json(thing): Json<Thing>) -> String {
    format!("{} by {}", thing.id, may.caller().name)
}

#[utoipa::path(post, path = "/pause", responses((status = 200)))]
async fn pause(_may: MayAll<Operate>) {}

#[utoipa::path(get, path = "/panic", responses((status = 200)))]
async fn panic() {
    panic!("on purpose");
}

async fn upload(State(_): State<Ctx>, request: Request) -> Result<String, Problem> {
    let cap = Cap { bytes: 1000, pace: PACE, decoder_bytes: 0 };
    let (parts, body) = request.into_parts();
    let taken = Decoded::new(&parts.headers, body, cap)?.bytes().await?;
    Ok(taken.len().to_string())
}

fn api(kit: Kit) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(show))
        .routes(routes!(pause))
        .routes(routes!(panic));
    let (router, document) = routes.split_for_parts();
    let router: Router = router.route("/upload", put(upload)).with_state(Ctx(kit));
    router.merge(openapi::routes(document).unwrap())
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_the_request_id() {
    let directory = tempfile::tempdir().unwrap();
    let kit = kit(&open_lite(directory.path()).await);
    let all = key(&kit.keys, "all", &[Grant::Admin], Scope::All).await;
    let (_serving, address) = serve(api(kit), LIMITS).await;
    let long = format!("{{\"id\":1,\"owner\":\"{}\"}}", "x".repeat(usize::try_from(BODY_BYTES).unwrap()));
    let refusals = [
        ("GET", "/nowhere", "", 404, "not-found"),
        ("DELETE", "/things", "", 405, "method-not-allowed"),
        ("GET", "/things/9", "", 404, "not-found"),
        ("GET", "/things/one", "", 400, "malformed"),
        ("GET", "/things?onwer=alpha", "", 400, "malformed"),
        ("GET", "/things?owner=alpha&owner=beta", "", 400, "malformed"),
        ("GET", "/things?limit=0", "", 400, "malformed"),
        ("GET", "/things?limit=many", "", 400, "malformed"),
        ("GET", "/things?cursor=made-up", "", 400, "malformed"),
        ("GET", "/things?since=yesterday", "", 400, "malformed"),
        ("POST", "/things", "", 415, "unsupported-type"),
        ("POST", "/things", "{", 400, "malformed"),
        ("POST", "/things", r#"{"id":"one"}"#, 422, "invalid"),
        ("POST", "/things", &long, 413, "too-large"),
        ("GET", "/panic", "", 500, "internal"),
    ];
    for (method, path, body, status, slug) in refusals {
        let response = send(address, request(method, path, &all, body)).await;
        problem(&response, status, slug);
    }
    let unknown = send(address, get("/things?onwer=alpha", &all)).await;
    assert_eq!(json(&unknown)["errors"][0]["parameter"], "onwer");
    let path = send(address, get("/things/one", &all)).await;
    assert!(
        json(&path)["errors"][0]["detail"].as_str().unwrap().starts_with("is not a whole number"),
        "{path:?}"
    );
    let wrong = send(address, request("POST", "/things", &all, r#"{"id":"one"}"#)).await;
    assert_eq!(json(&wrong)["errors"][0]["pointer"], "/id");
    let method = send(address, request("DELETE", "/things", &all, "")).await;
    assert_eq!(method.headers()["allow"], "GET,HEAD,POST");
    let post = send(address, request("POST", "/things", &all, r#"{"id":1,"owner":"a"}"#)).await;
    assert_eq!(post.body(), "1 by all");
}

#[tokio::test]
async fn no_key_is_401_no_permission_is_403_and_other_customers_things_are_404() {
    each_store(|db| async move {
        register(&db, "alpha").await;
        let kit = kit(&db);
        let reader = key(&kit.keys, "reader", &[Grant::Read], Scope::All).await;
        let door = key(&kit.keys, "door", &[Grant::Ingest], Scope::All).await;
        let operator = key(&kit.keys, "operator", &[Grant::Operate], Scope::All).await;
        let alpha = key(&kit.keys, "alpha", &[Grant::Admin], Scope::Customer(slug("alpha"))).await;
        let (_serving, address) = serve(api(kit), LIMITS).await;
        let cases = [
            ("GET", "/things/1", "", 401),
            ("GET", "/things/1", "hw_wrong", 401),
            ("GET", "/things/1", &reader, 200),
            ("GET", "/things/1", &operator, 200),
            ("GET", "/things/1", &door, 403),
            ("GET", "/things/1", &alpha, 200),
            ("GET", "/things/2", &alpha, 404),
            ("POST", "/pause", &operator, 200),
            ("POST", "/pause", &reader, 403),
            ("POST", "/pause", &alpha, 404),
        ];
        for (method, path, key, status) in cases {
            let response = send(address, request(method, path, key, "")).await;
            assert_eq!(response.status(), status, "{method} {path} {key}");
            if status == 401 {
                assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"headworks\"");
            }
        }
        let mut bearer = get("/things/1", "");
        bearer.headers_mut().insert("authorization", format!("Bearer {reader}").parse().unwrap());
        assert_eq!(send(address, bearer).await.status(), 200);
        let listed = json(&send(address, get("/things", &alpha)).await);
        assert!(listed["items"].as_array().unwrap().iter().all(|thing| thing["owner"] == "alpha"));
    })
    .await;
}

#[tokio::test]
async fn a_list_is_walked_by_its_links_without_gap_or_repetition() {
    let directory = tempfile::tempdir().unwrap();
    let kit = kit(&open_lite(directory.path()).await);
    let all = key(&kit.keys, "all", &[Grant::Read], Scope::All).await;
    let (_serving, address) = serve(Router::new().nest("/api", api(kit)), LIMITS).await;
    let (mut seen, mut url) = (vec![], "/api/things?owner=alpha".to_owned());
    loop {
        let page = send(address, get(&url, &all)).await;
        let body = json(&page);
        seen.extend(body["items"].as_array().unwrap().iter().map(|thing| thing["id"].as_i64().unwrap()));
        let Some(link) = page.headers().get("link") else {
            assert!(body["next"].is_null());
            break;
        };
        let link = link.to_str().unwrap().strip_suffix(">; rel=\"next\"").unwrap().strip_prefix('<').unwrap();
        assert!(link.ends_with(body["next"].as_str().unwrap()), "{link}");
        url = link.to_owned();
    }
    assert_eq!(seen, [1, 3, 5]);
}

#[tokio::test]
async fn a_larger_page_than_the_server_allows_is_refused_and_a_page_says_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let kit = kit(&open_lite(directory.path()).await);
    let all = key(&kit.keys, "all", &[Grant::Read], Scope::All).await;
    let (_serving, address) = serve(api(kit), LIMITS).await;
    for limit in ["4", "4000000000", "0", "many"] {
        let refused = send(address, get(&format!("/things?limit={limit}"), &all)).await;
        let said = problem(&refused, 400, "malformed");
        assert_eq!(said["errors"][0]["parameter"], "limit");
        assert_eq!(said["errors"][0]["detail"], "is not a whole number from 1 to 3");
    }
    let page = json(&send(address, get("/things?limit=3", &all)).await);
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let rest = format!("/things?limit=3&cursor={}", page["next"].as_str().unwrap());
    let rest = json(&send(address, get(&rest, &all)).await);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (2, &serde_json::Value::Null));
}

#[tokio::test]
async fn a_request_keeps_its_plain_id_and_is_given_one_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let (_serving, address) = serve(api(kit(&open_lite(directory.path()).await)), LIMITS).await;
    let with_id = |id: &str| {
        let mut request = get("/things", "");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        request
    };
    let kept = send(address, with_id("trace-1")).await;
    assert_eq!(problem(&kept, 401, "unauthorized")["instance"], "trace-1");
    let odd = send(address, with_id("<script>")).await;
    assert_ne!(problem(&odd, 401, "unauthorized")["instance"], "<script>");
    assert_ne!(
        send(address, get("/", "")).await.headers()["x-request-id"],
        send(address, get("/", "")).await.headers()["x-request-id"]
    );
}

#[tokio::test]
async fn a_streamed_body_is_cut_at_its_cap() {
    let directory = tempfile::tempdir().unwrap();
    let (_serving, address) = serve(api(kit(&open_lite(directory.path()).await)), LIMITS).await;
    let put = |bytes: usize| request("PUT", "/upload", "", &"x".repeat(bytes));
    assert_eq!(send(address, put(1000)).await.body(), "1000");
    problem(&send(address, put(1001)).await, 413, "too-large");
}

#[tokio::test]
async fn the_document_holds_the_routes_and_every_type_of_problem_has_its_page() {
    let directory = tempfile::tempdir().unwrap();
    let (_serving, address) = serve(api(kit(&open_lite(directory.path()).await)), LIMITS).await;
    let document = json(&send(address, get("/openapi.json", "")).await);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let parameters = document["paths"]["/things"]["get"]["parameters"].as_array().unwrap();
    let names: Vec<_> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["owner", "since", "limit", "cursor"]);
    for kind in Kind::ALL {
        let page = send(address, get(&format!("/errors/{}", kind.facts().1), "")).await;
        assert_eq!(page.status(), 200, "{kind:?}");
    }
    problem(&send(address, get("/errors/nonsense", "")).await, 404, "not-found");
}

#[tokio::test]
async fn readiness_names_dependencies_to_those_with_a_key_only() {
    let directory = tempfile::tempdir().unwrap();
    let kit = kit(&open_lite(directory.path()).await);
    let reader = key(&kit.keys, "reader", &[Grant::Read], Scope::All).await;
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let good = Check::new("store", || async {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    });
    let bad = Check::new("kafka", || async { Err("no broker answers".to_owned()) });
    let health = Health::new(kit, metrics(), vec![good, bad]);
    let (_serving, address) = serve(health::routes(health).into(), LIMITS).await;
    let open = send(address, get("/readyz?verbose", "")).await;
    assert_eq!(open.status(), 503);
    assert_eq!(json(&open), serde_json::json!({ "ready": false }));
    let named = json(&send(address, get("/readyz?verbose", &reader)).await);
    assert_eq!(named["dependencies"][0], serde_json::json!({ "name": "store", "ready": true }));
    assert_eq!(named["dependencies"][1]["wrong"], "no broker answers");
    assert_eq!(json(&send(address, get("/readyz", &reader)).await), serde_json::json!({ "ready": false }));
    assert_eq!(ASKED.load(Ordering::Relaxed), 1, "one round of questions a second");
    assert_eq!(send(address, get("/healthz", "")).await.status(), 200);
    let version = json(&send(address, get("/version", "")).await);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn metrics_need_a_key_for_the_whole_installation() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    register(&db, "alpha").await;
    let kit = kit(&db);
    let reader = key(&kit.keys, "reader", &[Grant::Read], Scope::All).await;
    let alpha = key(&kit.keys, "alpha", &[Grant::Read], Scope::Customer(slug("alpha"))).await;
    let (_serving, address) = serve(health::routes(Health::new(kit, metrics(), vec![])).into(), LIMITS).await;
    problem(&send(address, get("/metrics", "")).await, 401, "unauthorized");
    problem(&send(address, get("/metrics", &alpha)).await, 404, "not-found");
    assert_eq!(send(address, get("/readyz", "")).await.status(), 200);
    let scrape = send(address, get("/metrics", &reader)).await;
    let text = String::from_utf8(scrape.body().to_vec()).unwrap();
    assert!(
        text.contains("headworks_http_requests_total{method=\"GET\",route=\"/readyz\",status=\"200\"}"),
        "{text}"
    );
}
