//! The OpenAPI document: complete, and true.

use super::Server;
use crate::stores::open_lite;
use std::io::Write;
use std::process::Command;

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&open_lite(directory.path()).await).await;
    assert!(server.document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut references = Vec::new();
    collect(&server.document, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(server.document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(|to| to.as_str()).map(str::to_owned));
            fields.values().for_each(|inner| collect(inner, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_says_what_a_repeat_is_and_how_content_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&open_lite(directory.path()).await).await;
    let paths = &server.document["paths"];
    let post = &paths["/api/1.0/deliveries"]["post"];
    let text = post["description"].as_str().unwrap();
    for said in ["Without it, equal bytes from the same sender are one delivery", "`key_ttl`", "24 hours"] {
        assert!(text.contains(said), "{text}");
    }
    let answers = |operation: &serde_json::Value| {
        operation["responses"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert!(answers(post).contains(&"429".to_owned()));
    for path in ["/api/1.0/deliveries/{id}/message", "/api/1.0/deliveries/{id}/parts/{n}"] {
        let content = &paths[path]["get"];
        for status in ["200", "206", "304", "416"] {
            assert!(answers(content).contains(&status.to_owned()), "{path} {status}");
        }
        let parameters = content["parameters"].as_array().unwrap();
        for field in ["Range", "If-Range", "If-None-Match"] {
            assert!(
                parameters.iter().any(|known| known["name"] == field && known["in"] == "header"),
                "{field}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_the_document_does_not_know() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.sh");
    let required = std::env::var("HEADWORKS_TEST_REQUIRE").unwrap_or_default().contains("schemathesis");
    if Command::new("schemathesis").arg("--version").output().is_err() {
        assert!(!required, "schemathesis is required and not on PATH");
        writeln!(std::io::stderr(), "skipped: needs schemathesis, which is not on PATH").unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&open_lite(directory.path()).await).await;
    server.taken("alpha", "a").await;
    server.held_mail(1).await;
    let url = format!("http://{}", server.address);
    let (key, place) = (server.admin.clone(), directory.path().to_owned());
    let run = tokio::task::spawn_blocking(move || {
        Command::new(script).arg(url).arg(key).env("TMPDIR", place).output().unwrap()
    });
    let output = run.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
