//! What a server takes of memory does not grow with what it has taken in.

use crate::appliance::fixture;
use crate::processes::{Installation, is_soak};
use crate::programs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Connections that post at once.
const POSTING: u64 = 8;

/// Posts of the short form and of `just soak`: until memory is measured, and in all. Each needs about 250 bytes of the cache, which
/// is to be full before the first measurement: the default of 128 MiB would grow until 450,000 posts.
const SHORT: (u64, u64) = (2_000, 5_000);
const SOAK: (u64, u64) = (200_000, 500_000);

#[test]
fn memory_stays_where_it_is_however_many_deliveries_come() {
    let (counts, cache) = if is_soak() { (SOAK, "32MiB") } else { (SHORT, "4MiB") };
    let installation = Installation::new(None, "", &programs::modules());
    let cache = format!("store.sqlite_cache={cache}");
    let mut server = installation.launch_beside("control", &["--set", &cache]);
    server.ready();
    let made = installation.says(&["keys", "create", "--name", "sender", "--grant", "ingest"]);
    let key = made.split_whitespace().find(|word| word.starts_with("hw_")).unwrap();
    let (address, mail) = (installation.address(), fixture("alert/01_warning"));
    post(address, key, &mail, 0..counts.0);
    let first = server.memory_kib("VmRSS");
    post(address, key, &mail, counts.0..counts.1);
    let last = server.memory_kib("VmRSS");
    eprintln!("{first} KiB after {} posts, {last} KiB after {}", counts.0, counts.1);
    assert!(
        last <= first + first / 10,
        "{first} KiB after {} posts, {last} KiB after {}",
        counts.0,
        counts.1
    );
    server.kill();
}

/// Posts the same mail once per number, each under a name of its own.
fn post(address: SocketAddr, key: &str, mail: &[u8], numbers: std::ops::Range<u64>) {
    let next = AtomicU64::new(numbers.start);
    std::thread::scope(|threads| {
        for _ in 0..POSTING {
            threads.spawn(|| {
                let mut connection = TcpStream::connect(address).unwrap();
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    let head = format!(
                        "POST /api/1.0/deliveries?customer=bobs&category=hydrastor&type=alert HTTP/1.1\r\nHost: test\r\n\
                         X-Api-Key: {key}\r\nIdempotency-Key: {number}\r\nContent-Type: message/rfc822\r\nContent-Length: {}\r\n\r\n",
                        mail.len()
                    );
                    connection.write_all(head.as_bytes()).unwrap();
                    connection.write_all(mail).unwrap();
                    let answer = answer(&mut connection);
                    assert!(answer.starts_with("HTTP/1.1 202 "), "{number}: {answer}");
                }
            });
        }
    });
}

/// One answer with a `Content-Length`.
fn answer(connection: &mut TcpStream) -> String {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = connection.read(&mut piece).unwrap();
        assert!(count > 0, "the connection ended after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap() {
            return text.into_owned();
        }
    }
}
