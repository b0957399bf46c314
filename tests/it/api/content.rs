//! The bytes of a delivery, whole and in parts.

use super::Server;
use crate::stores::each_store;
use crate::web::client::{self, problem};
use axum::body::Bytes;
use headworks::ids::Digest;
use hyper::Response;

const CONTENT: &str = "0123456789";

/// Asks for the content of a delivery.
async fn ask(server: &Server, method: &str, path: &str, fields: &[(&'static str, &str)]) -> Response<Bytes> {
    let mut request = client::request(method, &format!("/api/1.0{path}"), &server.admin, "");
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    client::send(server.address, request).await
}

fn field<'a>(answer: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_part_of_the_content_can_be_asked_for() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (id, _) = server.taken("alpha", CONTENT).await;
        let path = format!("/deliveries/{id}/parts/1");
        let tag = format!("\"{}\"", Digest::of(CONTENT.as_bytes()));

        let all = ask(&server, "GET", &path, &[]).await;
        assert_eq!((all.status().as_u16(), all.body().as_ref()), (200, CONTENT.as_bytes()));
        assert_eq!((field(&all, "etag"), field(&all, "accept-ranges")), (Some(&*tag), Some("bytes")));

        for (range, bytes, place) in [
            ("bytes=2-4", "234", "bytes 2-4/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-2", "89", "bytes 8-9/10"),
            ("bytes=0-99", CONTENT, "bytes 0-9/10"),
        ] {
            for condition in [None, Some(("if-range", &*tag))] {
                let fields: Vec<_> = [("range", range)].into_iter().chain(condition).collect();
                let part = ask(&server, "GET", &path, &fields).await;
                assert_eq!(
                    (part.status().as_u16(), part.body().as_ref()),
                    (206, bytes.as_bytes()),
                    "{range}"
                );
                assert_eq!(field(&part, "content-range"), Some(place));
                assert_eq!(field(&part, "content-length"), Some(&*bytes.len().to_string()));
                assert_eq!(field(&part, "etag"), Some(&*tag));
                assert_eq!(field(&part, "x-content-type-options"), Some("nosniff"));
            }
        }
        let old = ask(&server, "GET", &path, &[("range", "bytes=2-4"), ("if-range", "\"old\"")]).await;
        assert_eq!((old.status().as_u16(), old.body().as_ref()), (200, CONTENT.as_bytes()));
        let several = ask(&server, "GET", &path, &[("range", "bytes=0-0,2-2")]).await;
        assert_eq!((several.status().as_u16(), several.body().as_ref()), (200, CONTENT.as_bytes()));
        let behind = ask(&server, "GET", &path, &[("range", "bytes=10-")]).await;
        problem(&behind, 416, "range");
        assert_eq!(field(&behind, "content-range"), Some("bytes */10"));
    })
    .await;
}

#[tokio::test]
async fn content_that_the_client_has_is_not_sent_again() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let mail = b"Subject: x\r\n\r\nbody\r\n";
        let place = "customer=alpha&category=test&type=report";
        let posted = server.file(place, &server.admin, &[("content-type", "message/rfc822")], mail).await;
        let id = client::json(&posted)["delivery_id"].as_str().unwrap().to_owned();
        let path = format!("/deliveries/{id}/message");
        let tag = format!("\"{}\"", Digest::of(mail));
        for method in ["GET", "HEAD"] {
            for tags in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag}"), "*".to_owned()] {
                let fields = [("if-none-match", &*tags), ("range", "bytes=0-1")];
                let same = ask(&server, method, &path, &fields).await;
                assert_eq!(
                    (same.status().as_u16(), same.body().as_ref()),
                    (304, &b""[..]),
                    "{method} {tags}"
                );
                assert_eq!(field(&same, "etag"), Some(&*tag));
                assert_eq!(field(&same, "cache-control"), Some("private, no-store"));
                assert_eq!(field(&same, "content-type"), None);
            }
        }
        let other = ask(&server, "GET", &path, &[("if-none-match", "\"a\"")]).await;
        assert_eq!((other.status().as_u16(), other.body().as_ref()), (200, &mail[..]));
        // HEAD says what GET would, without ranges, which it does not have.
        let head = ask(&server, "HEAD", &path, &[("range", "bytes=0-1")]).await;
        assert_eq!((head.status().as_u16(), head.body().as_ref()), (200, &b""[..]));
        assert_eq!(field(&head, "content-length"), Some(&*mail.len().to_string()));
        assert_eq!(field(&head, "etag"), Some(&*tag));
        // Who may not see it learns nothing from a condition.
        let mut request = client::get(&format!("/api/1.0{path}"), &server.beta);
        request.headers_mut().insert("if-none-match", "*".parse().unwrap());
        problem(&client::send(server.address, request).await, 404, "not-found");
    })
    .await;
}
