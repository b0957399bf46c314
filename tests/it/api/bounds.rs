//! What comes from outside is bounded where it enters.

use super::{FILE_BYTES, Server, layers};
use crate::stores::each_store;
use crate::web::client::{json, problem};
use headworks::infra::volume::SubPath;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PLACE: &str = "customer=alpha&category=test&type=report";
const FORM: [(&str, &str); 1] = [("content-type", "multipart/form-data; boundary=b")];

fn form(head: &str, content: &str) -> Vec<u8> {
    format!("--b\r\nContent-Disposition: form-data; name=\"file\"{head}\r\n\r\n{content}\r\n--b--\r\n")
        .into_bytes()
}

#[tokio::test]
async fn a_file_name_too_long_is_refused_where_it_enters() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.live.reload(&layers(&["source.rest.delivery_bytes=1MiB"])).unwrap();
        let named = |name: &str| form(&format!("; filename=\"{name}\""), "a,b");
        let fits = "é".repeat(256);
        let taken = server.file(PLACE, &server.admin, &FORM, &named(&fits)).await;
        assert_eq!(taken.status(), 202, "{taken:?}");
        let id = json(&taken)["delivery_id"].as_str().unwrap().to_owned();
        let shown = server.ask(&format!("/deliveries/{id}"), &server.admin).await;
        assert_eq!(shown["contents"]["parts"][0]["name"], fits);

        let trees = server.inbox.list(&SubPath::root()).unwrap().len();
        for long in ["n".repeat(257), "n".repeat(20_000), "n".repeat(100_000), "é".repeat(100_000)] {
            let refused = server.file(PLACE, &server.admin, &FORM, &named(&long)).await;
            assert_eq!(problem(&refused, 422, "invalid")["errors"][0]["pointer"], "/file", "{}", long.len());
        }
        let padded = form(&format!("\r\nX-Padding: {}", "p".repeat(200_000)), "a,b");
        problem(&server.file(PLACE, &server.admin, &FORM, &padded).await, 422, "invalid");
        let before = [&vec![b'p'; 200_000][..], b"\r\n", &form("", "a,b")].concat();
        problem(&server.file(PLACE, &server.admin, &FORM, &before).await, 422, "invalid");
        let in_query =
            server.file(&format!("{PLACE}&name={}", "n".repeat(257)), &server.admin, &[], b"a").await;
        problem(&in_query, 400, "malformed");
        assert_eq!(server.inbox.list(&SubPath::root()).unwrap().len(), trees);
    })
    .await;
}

#[tokio::test]
async fn a_second_field_of_a_form_cannot_be_longer_than_what_may_surround_the_file() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.live.reload(&layers(&["source.rest.delivery_bytes=1MiB"])).unwrap();
        let second = format!("--b\r\nX: {}", "x".repeat(300_000));
        let body = String::from_utf8(form("", "a,b")).unwrap().replace("--b--\r\n", &second);
        let refused = server.file(PLACE, &server.admin, &FORM, body.as_bytes()).await;
        let detail = problem(&refused, 422, "invalid")["errors"][0]["detail"].to_string();
        assert!(detail.contains("65536"), "{detail}");
    })
    .await;
}

#[tokio::test]
async fn a_delivery_of_no_bytes_is_refused() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let mail = [("content-type", "message/rfc822")];
        for (headers, body) in
            [(&[][..], vec![]), (&mail[..], vec![]), (&FORM[..], form("; filename=\"a.csv\"", ""))]
        {
            let refused = server.file(PLACE, &server.admin, headers, &body).await;
            let said = problem(&refused, 400, "malformed");
            assert_eq!(said["detail"], "the delivery has no bytes", "{headers:?}");
        }
        assert_eq!(server.inbox.list(&SubPath::root()).unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_limit_of_mails_is_not_the_limit_of_posted_files() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.live.reload(&layers(&["mail.message_bytes=8B"])).unwrap();
        let taken = server.file(PLACE, &server.admin, &[], &vec![b'x'; FILE_BYTES]).await;
        assert_eq!(taken.status(), 202, "{taken:?}");
        problem(&server.file(PLACE, &server.admin, &[], &vec![b'x'; FILE_BYTES + 1]).await, 413, "too-large");
    })
    .await;
}

/// Sends `begin`, then one byte after each pause, until there is an answer: its first line, and whether it was closed then.
async fn dribbled(server: &Server, content_type: &str, begin: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/1.0/deliveries?{PLACE} HTTP/1.1\r\nHost: a\r\nX-Api-Key: {}\r\nContent-Type: {content_type}\r\n\
         Content-Length: 4000\r\n\r\n{begin}",
        server.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..600 {
        match tokio::time::timeout(Duration::from_millis(50), stream.read_buf(&mut said)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) => drop(stream.write_all(b"x").await),
        }
        if !said.is_empty() {
            let rest = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
            let said = String::from_utf8_lossy(&said);
            return (said.lines().next().unwrap_or_default().to_owned(), rest.is_ok());
        }
    }
    panic!("there was no answer: {said:?}");
}

#[tokio::test]
async fn a_body_that_arrives_too_slowly_is_ended_and_leaves_nothing() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let in_file = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
        let (raw, form) = ("text/csv", "multipart/form-data; boundary=b");
        let all = [(raw, ""), (raw, "a,b"), (form, ""), (form, "--b\r\nContent-Disp"), (form, in_file)];
        let slow = all.map(|(content_type, begin)| dribbled(&server, content_type, begin));
        for answer in futures_util::future::join_all(slow).await {
            assert_eq!(answer, ("HTTP/1.1 408 Request Timeout".to_owned(), true));
        }
        assert_eq!(server.inbox.list(&SubPath::root()).unwrap(), []);
    })
    .await;
}
