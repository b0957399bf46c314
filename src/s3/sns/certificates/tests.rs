use super::super::Hosts;
use super::super::signer::{Signer, TOPIC, URL};
use super::*;
use futures_util::FutureExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new("sns.amazonaws.com", "rsa:2048"));

fn address(hex: &str) -> Address {
    Hosts::default().certificate(&URL.replace("0123456789abcdef", hex), TOPIC).unwrap()
}

/// Certificates from a fetcher that answers with `bytes` and counts.
fn certificates(
    bytes: Result<Vec<u8>, String>,
    limits: CertificateLimits,
) -> (Certificates, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let fetch: Fetch = Box::new(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let bytes = bytes.clone();
        async move { bytes }.boxed()
    });
    (Certificates::new(fetch, limits), count)
}

#[tokio::test]
async fn a_certificate_is_fetched_once_until_it_is_old() {
    let limits = CertificateLimits::default();
    let (certificates, count) = certificates(Ok(SIGNER.pem.clone()), limits);
    let now = Timestamp::now();
    for at in [now, now, now.after(limits.keep - Duration::from_secs(1))] {
        assert!(certificates.get(&address("aa"), at).await.is_ok());
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(certificates.get(&address("aa"), now.after(limits.keep)).await.is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn many_at_once_cause_one_fetch() {
    let (certificates, count) = certificates(Ok(SIGNER.pem.clone()), CertificateLimits::default());
    let (address, now) = (address("aa"), Timestamp::now());
    let all = (0..50).map(|_| certificates.get(&address, now));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_shorter_while() {
    let limits = CertificateLimits::default();
    let (certificates, count) = certificates(Err("no route".into()), limits);
    let now = Timestamp::now();
    for _ in 0..3 {
        let outcome = certificates.get(&address("aa"), now).await;
        assert_eq!(outcome.unwrap_err(), FetchError::Failed("no route".into()));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    certificates.get(&address("aa"), now.after(limits.keep_failure)).await.unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_too_large_or_no_certificate_is_refused() {
    let limits = CertificateLimits::default();
    for (bytes, error) in [
        (vec![b'x'; limits.bytes + 1], FetchError::TooLarge),
        (b"<html>".to_vec(), FetchError::Unusable(CertificateError::NotPem)),
    ] {
        let (certificates, _) = certificates(Ok(bytes), limits);
        assert_eq!(certificates.get(&address("aa"), Timestamp::now()).await.unwrap_err(), error);
    }
}

#[tokio::test]
async fn a_fetch_that_hangs_is_given_up() {
    let limits = CertificateLimits { fetch_time: Duration::from_millis(10), ..CertificateLimits::default() };
    let certificates = Certificates::new(Box::new(|_, _| futures_util::future::pending().boxed()), limits);
    assert_eq!(certificates.get(&address("aa"), Timestamp::now()).await.unwrap_err(), FetchError::Late);
}

#[tokio::test]
async fn only_so_many_are_kept_and_failures_go_first() {
    let pem = SIGNER.pem.clone();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let fetch: Fetch = Box::new(move |address, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let is_good = address.as_str().ends_with("-aa.pem");
        let answer = if is_good { Ok(pem.clone()) } else { Err("404".to_owned()) };
        async move { answer }.boxed()
    });
    let certificates =
        Certificates::new(fetch, CertificateLimits { count: 3, ..CertificateLimits::default() });
    let now = Timestamp::now();
    certificates.get(&address("aa"), now).await.unwrap();
    for (n, invented) in ["b0", "b1", "b2", "b3", "b4"].into_iter().enumerate() {
        certificates.get(&address(invented), now.after(Duration::from_millis(n as u64))).await.unwrap_err();
    }
    assert_eq!(certificates.kept.lock().unwrap().len(), 3);
    let before = count.load(Ordering::SeqCst);
    certificates.get(&address("aa"), now).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), before, "the good one is still known");
}
