//! Every 400 names its parameter and what is allowed, in words of the API.

use super::Server;
use crate::stores::each_store;
use crate::web::client::{json, problem};
use uuid::Uuid;

/// What says more of our program than of the API.
const FOREIGN: [&str; 8] =
    ["deserialize", "query string", "i64", "u32", "UUID parsing", "expected type", "variant", "struct"];

#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_named_with_what_is_allowed() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let id = Uuid::from_u128(7);
        let part = format!("/deliveries/{id}/parts/one");
        let trace = "/deliveries/7/trace";
        let cases = [
            ("/jobs?state=lost", "state", "available, running, orphaned"),
            ("/jobs?since=once", "since", "2026-01-02"),
            ("/jobs?until=2026-13-01", "until", "2026-01-02"),
            ("/jobs?limit=0", "limit", "from 1 to 1000"),
            ("/jobs?limit=1001", "limit", "from 1 to 1000"),
            ("/jobs?limit=ten", "limit", "from 1 to 1000"),
            ("/jobs?limit=5&limit=6", "limit", "is given twice"),
            ("/jobs?cursor=zz", "cursor", "`next` of an earlier page"),
            ("/jobs?delivery=7", "delivery", "such as 0198"),
            ("/jobs?sate=held", "sate", "state"),
            ("/jobs?source=%00", "source", "256 characters"),
            ("/jobs/one", "id", "whole number"),
            ("/jobs/9223372036854775808", "id", "whole number"),
            ("/held?since=yesterday", "since", "24h"),
            ("/held/one", "job", "whole number"),
            ("/deliveries?held=maybe", "held", "true or false"),
            ("/deliveries?receipt=7", "receipt", "such as 0198"),
            ("/deliveries?until=never", "until", "24h"),
            (trace, "id", "such as 0198"),
            (&part, "n", "whole number"),
            ("/receipts/7", "id", "such as 0198"),
            ("/receipts/%ff", "id", "UTF-8"),
            ("/queues?limit=-1", "limit", "from 1 to 1000"),
            ("/keys?cursor=5", "cursor", "of an earlier page"),
            ("/log/none?limit=1001", "limit", "from 1 to 1000"),
            ("/rows/node?order=colour", "order", "its columns are customer,"),
            ("/rows/node?order=note", "order", "use one of customer,"),
            ("/rows/node?filter[load]=5", "filter[load]", "eq, ne, lt"),
            ("/rows/node?limit=1001", "limit", "from 1 to 1000"),
            ("/rows/node?since=soon", "since", "2026-01-02"),
        ];
        for (path, parameter, allowed) in cases {
            let answer = server.get(path, &server.admin).await;
            assert_eq!(answer.status(), 400, "{path}: {:?}", answer.body());
            let said = problem(&answer, 400, "malformed");
            let error = &said["errors"][0];
            assert_eq!(error["parameter"], parameter, "{path}: {said}");
            let detail = error["detail"].as_str().unwrap();
            assert!(detail.contains(allowed), "{path}: {detail}");
            let foreign = FOREIGN.iter().find(|word| detail.contains(**word));
            assert_eq!(foreign, None, "{path}: {detail}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_post_that_cannot_be_read_names_its_parameter() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let cases = [
            ("customer=alpha&type=report", &[][..], "category", "is missing"),
            ("customer=alpha&category=Test&type=report", &[], "category", "[a-z0-9_-]"),
            ("category=test&type=report", &[], "customer", "is missing"),
            ("customer=alpha&category=test&type=report&media_type=text", &[], "media_type", "type/subtype"),
            ("customer=alpha&category=test&type=report&colour=red", &[], "colour", "customer, category"),
            (
                "customer=alpha&category=test&type=report",
                &[("idempotency-key", "")],
                "Idempotency-Key",
                "256",
            ),
        ];
        for (query, headers, parameter, allowed) in cases {
            let said = problem(&server.file(query, &server.admin, headers, b"x").await, 400, "malformed");
            assert_eq!(said["errors"][0]["parameter"], parameter, "{query}: {said}");
            assert!(said["errors"][0]["detail"].as_str().unwrap().contains(allowed), "{query}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_parameter_of_any_list_is_refused_without_its_name() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let paths = server.document["paths"].as_object().unwrap();
        let mut refused = 0;
        for (path, of) in paths.iter().filter(|(_, of)| of["get"].is_object()) {
            let Some(path) = path.strip_prefix("/api/1.0") else { continue };
            let path = path.replace("{table}", "node").replace("{topic}", "none").replace("{n}", "1");
            let (jobs, id) = (path.contains("jobs"), Uuid::from_u128(7).to_string());
            let path = path.replace("{id}", if jobs { "7" } else { &id }).replace("{job}", "7");
            for parameter in of["get"]["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                if parameter["in"] != "query" || name == "filter" {
                    continue;
                }
                for value in ["", "zz", "-1", "99999999999999999999", "2026-13-45", "%00", "%F0%9F%98%80"] {
                    let answer = server.get(&format!("{path}?{name}={value}"), &server.admin).await;
                    if answer.status() != 400 {
                        assert!(
                            answer.status().is_success() || answer.status() == 404,
                            "{path} {name}={value}"
                        );
                        continue;
                    }
                    refused += 1;
                    let error = &json(&answer)["errors"][0];
                    assert_eq!(error["parameter"], name, "{path} {name}={value}: {:?}", answer.body());
                    let detail = error["detail"].as_str().unwrap();
                    assert!(!FOREIGN.iter().any(|word| detail.contains(word)), "{path} {name}: {detail}");
                }
            }
        }
        assert!(refused > 50, "{refused}");
    })
    .await;
}

#[tokio::test]
async fn lists_take_dates_and_both_ends_of_a_span() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.taken("alpha", "a").await;
        server.held_mail(1).await;
        for (list, of) in [
            ("/jobs?source=rest", "created_at"),
            ("/deliveries?source=rest", "received_at"),
            ("/held?source=mail", "received_at"),
        ] {
            let count = async |span: &str| {
                let path = format!("{list}&{span}");
                server.ask(&path, &server.admin).await["items"].as_array().unwrap().len()
            };
            let items = server.ask(list, &server.admin).await;
            let at = items["items"][0][of].as_str().unwrap();
            let date: jiff::civil::Date = at[..10].parse().unwrap();
            let next = date.tomorrow().unwrap();
            assert_eq!(count(&format!("since={date}&until={next}")).await, 1, "{list} {at}");
            assert_eq!(count(&format!("since={next}")).await, 0, "{list} {at}");
            assert_eq!(count(&format!("until={date}")).await, 0, "{list} {at}");
            assert_eq!(count("since=1h&until=0s").await, 1, "{list}");
            assert_eq!(count("until=1h").await, 0, "{list}");
        }
    })
    .await;
}
