//! Bodies with a `Content-Encoding`, and what `curl -T` sends.

use super::{FILE_BYTES, Server};
use crate::stores::each_store;
use crate::web::client::{json, problem};
use async_compression::Level;
use async_compression::tokio::bufread::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use async_compression::zstd::CParameter;
use headworks::infra::volume::SubPath;
use tokio::io::{AsyncRead, AsyncReadExt};

const PLACE: &str = "customer=alpha&category=test&type=report&name=a.csv";

async fn all(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    encoder.read_to_end(&mut all).await.unwrap();
    all
}

/// `plain` in every coding, by the name a sender gives it.
async fn encoded(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let gzip = all(GzipEncoder::new(plain)).await;
    let zlib = all(ZlibEncoder::new(plain)).await;
    let zstd = all(ZstdEncoder::new(plain)).await;
    let twice = [all(GzipEncoder::new(&plain[..2])).await, all(GzipEncoder::new(&plain[2..])).await].concat();
    let frames =
        [all(ZstdEncoder::new(&plain[..2])).await, all(ZstdEncoder::new(&plain[2..])).await].concat();
    vec![
        ("gzip", gzip.clone()),
        ("X-GZIP", gzip.clone()),
        ("identity, gzip", gzip),
        ("gzip", twice),
        ("deflate", zlib),
        ("deflate", all(DeflateEncoder::new(plain)).await),
        ("br", all(BrotliEncoder::new(plain)).await),
        ("zstd", zstd),
        ("zstd", frames),
        ("identity", plain.to_vec()),
        ("", plain.to_vec()),
    ]
}

#[tokio::test]
async fn an_encoded_body_is_the_same_delivery_as_a_plain_one() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let plain = "node,load\n".repeat(300).into_bytes();
        let first = json(&server.file(PLACE, &server.admin, &[], &plain).await);
        for (coding, body) in encoded(&plain).await {
            let answer = server.file(PLACE, &server.admin, &[("content-encoding", coding)], &body).await;
            assert_eq!(answer.status(), 202, "{coding}: {answer:?}");
            let said = json(&answer);
            assert_eq!(
                (&said["receipt_id"], &said["duplicate"]),
                (&first["receipt_id"], &true.into()),
                "{coding}"
            );
        }
        let content = format!("/deliveries/{}/parts/1", first["delivery_id"].as_str().unwrap());
        assert_eq!(server.get(&content, &server.admin).await.body().as_ref(), plain);

        let form = [
            &b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n"[..],
            &plain,
            b"\r\n--b--\r\n",
        ];
        let body = all(GzipEncoder::new(form.concat().as_slice())).await;
        let fields = [("content-type", "multipart/form-data; boundary=b"), ("content-encoding", "gzip")];
        let answer = server.file(PLACE, &server.admin, &fields, &body).await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        let id = json(&answer)["delivery_id"].as_str().unwrap().to_owned();
        assert_eq!(server.ask(&format!("/deliveries/{id}"), &server.admin).await["bytes"], plain.len());
    })
    .await;
}

#[tokio::test]
async fn a_coding_that_is_unknown_is_refused_and_the_known_ones_are_named() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        for coding in ["compress", "gzip, gzip", "br, identity, zstd", "aes128gcm", "gzip;q=1"] {
            let refused = server.file(PLACE, &server.admin, &[("content-encoding", coding)], b"a,b").await;
            problem(&refused, 415, "unsupported-type");
            assert_eq!(refused.headers()["accept-encoding"], "gzip, deflate, br, zstd", "{coding}");
        }
        assert_eq!(server.inbox.list(&SubPath::root()).unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn what_is_decoded_is_limited_as_what_arrives() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        for (coding, body) in encoded(&vec![0; FILE_BYTES]).await {
            let taken = server.file(PLACE, &server.admin, &[("content-encoding", coding)], &body).await;
            assert_eq!(taken.status(), 202, "{coding}: {taken:?}");
        }
        for (coding, body) in encoded(&vec![0; FILE_BYTES + 1]).await {
            let refused = server.file(PLACE, &server.admin, &[("content-encoding", coding)], &body).await;
            let said = problem(&refused, 413, "too-large");
            assert_eq!(said["detail"], "the limit is 4096 bytes", "{coding}");
        }
        // A few kilobytes that unpack to far more than memory.
        let zeros = tokio::io::BufReader::new(tokio::io::repeat(0).take(16 << 20));
        let bomb = all(ZstdEncoder::new(zeros)).await;
        assert!(bomb.len() < FILE_BYTES, "{}", bomb.len());
        let refused = server.file(PLACE, &server.admin, &[("content-encoding", "zstd")], &bomb).await;
        problem(&refused, 413, "too-large");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_refused_and_leaves_nothing() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let plain = b"node,load\n1,2\n";
        for (coding, body) in
            encoded(plain).await.into_iter().filter(|(coding, _)| !["", "identity"].contains(coding))
        {
            let cut = &body[..body.len() - 1];
            let more = [&body[..], b"more"].concat();
            for (what, bad) in [("cut", cut), ("more", &more), ("other", &plain[..]), ("empty", b"")] {
                let refused = server.file(PLACE, &server.admin, &[("content-encoding", coding)], bad).await;
                assert_eq!(refused.status(), 400, "{coding} {what}: {refused:?}");
                problem(&refused, 400, "malformed");
            }
        }
        assert_eq!(server.inbox.list(&SubPath::root()).unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_decoder_takes_no_more_memory_than_allowed() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let plain = "node,load\n".repeat(300);
        // Windows of 128 MiB, and of 1 GiB.
        let zstd = ZstdEncoder::with_quality_and_params(
            plain.as_bytes(),
            Level::Default,
            &[CParameter::window_log(27)],
        );
        let brotli = [0x11, 0x1E, 0x03];
        for (coding, body) in [("zstd", all(zstd).await), ("br", brotli.to_vec())] {
            let refused = server.file(PLACE, &server.admin, &[("content-encoding", coding)], &body).await;
            let said = problem(&refused, 400, "malformed");
            assert!(said["detail"].as_str().unwrap().contains(coding), "{said}");
        }
        let fits = ZstdEncoder::with_quality_and_params(
            plain.as_bytes(),
            Level::Default,
            &[CParameter::window_log(23)],
        );
        let taken =
            server.file(PLACE, &server.admin, &[("content-encoding", "zstd")], &all(fits).await).await;
        assert_eq!(taken.status(), 202, "{taken:?}");
    })
    .await;
}

#[tokio::test]
async fn put_does_what_post_does() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let key = [("idempotency-key", "k")];
        let posted = json(&server.file(PLACE, &server.admin, &key, b"a,b").await);
        let put = server.file_by("PUT", PLACE, &server.admin, &key, b"a,b").await;
        assert_eq!((put.status().as_u16(), &json(&put)["receipt_id"]), (202, &posted["receipt_id"]));
        assert!(put.headers().contains_key("location"));
        problem(&server.file_by("PUT", PLACE, &server.admin, &[], b"").await, 400, "malformed");
        problem(&server.file_by("PUT", PLACE, &server.reader, &[], b"a").await, 403, "forbidden");
        assert!(server.document["paths"]["/api/1.0/deliveries"]["put"]["responses"]["202"].is_object());
    })
    .await;
}
