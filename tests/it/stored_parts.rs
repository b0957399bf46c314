//! A module is given the parts that `sort` stored, and sees exactly what it would see of a mail that is split again.

use crate::programs;
use headworks::delivery::envelope::{Envelope, RawText, RestEnvelope};
use headworks::delivery::manifest::{About, PartFacts};
use headworks::delivery::parts::NewPart;
use headworks::delivery::tree::{self, Contents, Found, Written};
use headworks::delivery::tree_path::Place;
use headworks::ids::{DeliveryId, Digest, ReceiptId, Slug, Timestamp};
use headworks::infra::host::{Gathered, Host, Ran, RunError, RunErrorKind, Settings};
use headworks::infra::volume::{FileRange, Stored, SubPath, Volume};
use headworks::job::Interrupted;
use headworks::parse::Reading;
use module_api::frame::{self, ArchiveLimits, Budget, Input, MimeLimits, Parse};
use module_api::{Coordinates, PartKind};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// An inbox with one tree, made as `sort` makes it.
struct Site {
    directory: tempfile::TempDir,
    inbox: Arc<Volume>,
    path: SubPath,
    limits: MimeLimits,
    /// Version of the program that found the parts.
    version: String,
}

impl Site {
    /// A tree with this mail and what splitting it finds.
    async fn mail(host: &Host, mail: &[u8], limits: MimeLimits) -> Self {
        let site = Self { version: host.state().version, ..Self::empty(limits) };
        let file = site.file(mail);
        let split = host.split(File::open(&file).unwrap(), mail.len() as u64, limits).await.unwrap();
        let file = File::open(file).unwrap();
        let message = FileRange { file: &file, offset: 0, stored: Stored::of(mail) };
        site.write(&Contents::of_split(about(), message, &split).unwrap());
        site
    }

    fn empty(limits: MimeLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let inbox = Volume::open("inbox", &directory.path().join("inbox"), None).unwrap();
        let path = "acme/hydrastor/alert/grid/20260113_120000".parse().unwrap();
        Self { inbox: Arc::new(inbox), path, limits, directory, version: String::new() }
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let file = self.directory.path().join("spooled");
        fs::write(&file, bytes).unwrap();
        file
    }

    fn write(&self, contents: &Contents<'_>) {
        assert!(matches!(tree::write(&self.inbox, &self.path, contents).unwrap(), Written::Made(_)));
    }

    /// Where a file of the tree is; the first whose name ends so.
    fn stored(&self, end: &str) -> PathBuf {
        let tree = self.directory.path().join("inbox").join(self.path.to_string());
        let mut files: Vec<_> = fs::read_dir(tree).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().find(|file| file.to_str().unwrap().ends_with(end)).unwrap()
    }

    /// Id and digest of the delivery, as its record has them.
    fn record(&self) -> (DeliveryId, Digest) {
        let Found::Manifest(manifest) = tree::read_manifest(&self.inbox, &self.path).unwrap() else {
            panic!("the tree has no manifest");
        };
        let bytes = manifest.message.map(|message| message.sha256);
        (manifest.about.delivery, bytes.unwrap_or_else(|| manifest.parts[0].file.sha256))
    }

    fn read(&self, version: &str) -> Result<Reading, Interrupted> {
        self.read_as(self.record(), version)
    }

    fn read_as(&self, record: (DeliveryId, Digest), version: &str) -> Result<Reading, Interrupted> {
        let envelope = module_api::Envelope {
            sender: "device@acme.example".into(),
            recipient: "acme@in.example".into(),
            ..module_api::Envelope::default()
        };
        Reading::open(&self.inbox, &self.path, record, envelope, (version, &self.limits))
    }

    /// Runs a module over the stored parts.
    async fn run(&self, host: &Host, module: &str) -> Result<Ran<Gathered>, RunError> {
        let reading = self.read(&self.version).unwrap();
        run(host, module, reading, self.limits).await
    }
}

async fn run(
    host: &Host,
    module: &str,
    reading: Reading,
    mime: MimeLimits,
) -> Result<Ran<Gathered>, RunError> {
    let parse = Parse {
        module: module.into(),
        coordinates: Coordinates { customer: "acme".into(), ..Coordinates::default() },
        envelope: reading.envelope,
        received_at: 1_673_578_810_000_000,
        settings: BTreeMap::from([("zone".to_owned(), "Asia/Tokyo".to_owned())]),
        input: reading.input,
        mime,
        archive: ArchiveLimits::default(),
        budget: Budget::default(),
    };
    host.parse(parse, reading.given, Gathered::default()).await
}

fn about() -> About {
    About {
        delivery: DeliveryId(Uuid::from_u128(1)),
        receipt: ReceiptId(Uuid::from_u128(2)),
        place: Place::Held { source: Slug::of("mail"), reason: Slug::of("no_rule") },
        rule: None,
        envelope: Envelope::Rest(RestEnvelope {
            principal: RawText::of(b"admin"),
            customer: RawText::of(b"acme"),
            received_at: Timestamp(0),
        }),
        headers: Vec::new(),
        problems: Vec::new(),
        software: BTreeMap::new(),
        split_limits: None,
    }
}

async fn host(program: PathBuf) -> Host {
    let settings = Settings { program, spill_bytes: 32 << 20, ..crate::sandboxed_modules::settings() };
    Host::start(settings).await.unwrap()
}

/// Every mail of the module fixtures and of the corpora, and mails with every archive of the corpora attached.
fn mails() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let folders = [
        "modules/hydrastor/fixtures",
        "tests/cases/mail",
        "fuzz/corpus/mime_split",
        "fuzz/corpus/hydrastor_mail",
    ];
    for folder in folders {
        files(&root.join(folder), &mut found);
    }
    found.retain(|(name, _)| name.ends_with(".eml"));
    let mut archives = Vec::new();
    files(&root.join("fuzz/corpus/archive_expand"), &mut archives);
    for (name, archive) in archives {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(archive);
        let parts = [
            text("first"),
            format!(
                "Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=x\n\n{encoded}"
            ),
            text("last"),
        ];
        found.push((format!("{name} attached"), multipart(&parts)));
    }
    found
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn text(body: &str) -> String {
    format!("Content-Type: text/plain\n\n{body}")
}

fn multipart(parts: &[String]) -> Vec<u8> {
    let parts: String = parts.iter().map(|part| format!("--x\n{part}\n")).collect();
    format!("Subject: s\nContent-Type: multipart/mixed; boundary=x\n\n{parts}--x--\n").into_bytes()
}

/// Mails made to look different when they are read another way.
fn odd_mails() -> Vec<(String, Vec<u8>)> {
    let attachment = |name: &str, encoding: &str, body: &str| {
        let name = format!("Content-Disposition: attachment; filename=\"{name}\"");
        format!("{name}\nContent-Transfer-Encoding: {encoding}\n\n{body}")
    };
    let fields: String =
        (0..400).map(|n| format!("X-{n}: {}\n {}\n", "a".repeat(n * 9), "b".repeat(n))).collect();
    let inner =
        String::from_utf8(multipart(&[text("inner"), attachment("in.txt", "base64", "d29ybGQ=")])).unwrap();
    let mails: [(&str, Vec<u8>); 10] = [
        ("empty", Vec::new()),
        ("header alone", b"Subject: x".to_vec()),
        (
            "more fields than a module sees, the subject last",
            format!("{fields}Subject: late\n\nbody\n").into_bytes(),
        ),
        ("two subjects", b"subject: =?utf-8?q?b=C3=BCro?=\n folded\nSUBJECT: second\n\nbody\n".to_vec()),
        ("bytes that are no text", b"Subject: b\xfcro \x00\nX: \xff\n\nb\xfcro \x00\n".to_vec()),
        (
            "names that hide and repeat",
            multipart(&[
                attachment("a.csv", "7bit", "x"),
                attachment("A.csv", "8bit", "x"),
                attachment("a\u{202e}vsc.csv", "base64", "eA=="),
                attachment("a\u{ad}.csv", "x-none", "x"),
                attachment("", "", ""),
            ]),
        ),
        ("never base64", multipart(&[attachment("a.bin", "base64", "!!! this was never encoded ???")])),
        (
            "messages in messages",
            multipart(&[
                format!("Content-Type: message/rfc822\n\n{inner}"),
                format!("Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\n{inner}"),
                attachment("after.txt", "quoted-printable", "a=\nb=20"),
            ]),
        ),
        ("nested too deep", "Content-Type: message/rfc822\n\n".repeat(40).into_bytes()),
        ("header too long", format!("Subject: s\n{}\nbody\n", "X: 1\n".repeat(1_500)).into_bytes()),
    ];
    mails.into_iter().map(|(name, mail)| (name.to_owned(), mail)).collect()
}

/// What came of a run, without where the bytes of its parts happened to be.
fn given(ran: &Ran<Gathered>) -> impl PartialEq + std::fmt::Debug {
    let parts: Vec<_> = ran.parts.iter().map(|part| (part.path.clone(), part.problems.clone())).collect();
    let collected = (ran.collected.rows.clone(), ran.collected.findings.clone());
    (ran.outcome.clone(), ran.profile.clone(), collected, parts)
}

async fn compare(host: &Host, modules: &[&str], name: &str, site: &Site) {
    for module in modules {
        let stored = site.read(&site.version).unwrap();
        assert!(matches!(stored.input, Input::Parts { .. }), "{name} is split again");
        let (file, digests) = (stored.file.try_clone().unwrap(), stored.digests.clone());
        let stored = run(host, module, stored, site.limits).await.unwrap();
        let anew = site.read("0.0.9").unwrap();
        assert!(matches!(anew.input, Input::Mail { .. }), "{name}: parts of another version are taken");
        let anew = run(host, module, anew, site.limits).await.unwrap();
        assert_eq!(given(&stored), given(&anew), "{module} sees another thing of {name}");
        for part in stored.parts {
            let range = part.stored.range();
            let file = if matches!(part.stored, frame::Stored::Input(_)) { &file } else { &*stored.spill };
            let content = module_api::Content::Range { file, offset: range.offset, len: range.len };
            let digest = Stored::read(content.reader()).unwrap().digest;
            let known = digests.get(&part.stored);
            assert!(known.is_some() || part.kind == PartKind::Member, "{name}: {} has no digest", part.path);
            assert!(known.is_none_or(|known| *known == digest), "{name}: {}", part.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_another_delivery_is_damaged_storage() {
    let host = host(programs::modules()).await;
    let site = Site::mail(&host, b"Subject: x\n\nbody\n", MimeLimits::default()).await;
    let (delivery, digest) = site.record();
    assert!(site.read_as((delivery, digest), &site.version).is_ok());
    for record in [(DeliveryId::fresh(), digest), (delivery, Digest::of(b"another"))] {
        for version in [site.version.as_str(), "older"] {
            let Err(Interrupted::Failed(why)) = site.read_as(record, version).map(drop) else {
                panic!("it was read");
            };
            assert!(why.starts_with("damaged storage: the manifest of "), "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_parts_and_a_mail_that_is_split_again_give_a_module_the_same() {
    let (shipped, mirror) = (host(programs::modules()).await, host(programs::hostile_modules()).await);
    let mails = [mails(), odd_mails()].concat();
    assert!(mails.len() > 50, "only {} mails found", mails.len());
    let small = MimeLimits { message_bytes: 200, parts: 3, ..MimeLimits::default() };
    for (name, mail) in &mails {
        for limits in [MimeLimits::default(), small] {
            let site = Site::mail(&shipped, mail, limits).await;
            compare(&shipped, &["hydrastor/alert", "hydrastor/system_report"], name, &site).await;
            compare(&mirror, &["hostile/mirror"], name, &site).await;
        }
    }
}

/// A body as it stands, an encoded attachment, and one more.
fn two_encoded() -> Vec<u8> {
    let encoded = |name: &str| {
        format!(
            "Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename={name}\n\nd29ybGQ="
        )
    };
    multipart(&[text("hello"), encoded("a.txt"), encoded("b.txt")])
}

fn failure(read: Result<Reading, Interrupted>) -> String {
    match read.map(drop).unwrap_err() {
        Interrupted::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_part_with_other_bytes_is_damaged_storage_and_the_next_mail_is_read() {
    let host = host(programs::hostile_modules()).await;
    for (damage, message) in [
        (Some("worle"), "damaged storage: acme/hydrastor/alert/grid/20260113_120000/003-b.txt"),
        (Some("worlds and more"), "damaged storage: "),
        (Some("worl"), "damaged storage: "),
        (None, "003-b.txt: not found"),
    ] {
        let site = Site::mail(&host, &two_encoded(), MimeLimits::default()).await;
        let file = site.stored("003-b.txt");
        match damage {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let error = site.run(&host, "hostile/good").await.unwrap_err();
        assert_eq!(error.kind, RunErrorKind::Io, "{error}");
        assert!(error.message.contains(message), "{error}");
        let whole = Site::mail(&host, &two_encoded(), MimeLimits::default()).await;
        let seen = whole.run(&host, "hostile/good").await.unwrap().collected.findings;
        let seen: Vec<_> = seen.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(seen, ["hello", "world", "world"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_read_only_where_a_part_is_and_damage_is_found_there() {
    let host = host(programs::hostile_modules()).await;
    let site = Site::mail(&host, &two_encoded(), MimeLimits::default()).await;
    let message = site.stored("message.eml");
    let mail = String::from_utf8(two_encoded()).unwrap();
    // Nobody decodes it again, so nobody sees this.
    fs::write(&message, mail.replace("d29ybGQ=", "eA==eA==")).unwrap();
    assert_eq!(site.run(&host, "hostile/good").await.unwrap().collected.findings[1].message, "world");
    assert!(
        failure(site.read("0.0.9")).ends_with("message.eml does not hold the bytes that its manifest names")
    );
    for body in ["jello", ""] {
        fs::write(&message, mail.replace("hello", body)).unwrap();
        assert!(failure(site.read(&site.version)).starts_with("damaged storage: part 1 in acme/"));
    }
    fs::remove_file(&message).unwrap();
    assert!(failure(site.read(&site.version)).ends_with("message.eml is gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_parts_than_fit_a_request_are_split_again() {
    let host = host(programs::hostile_modules()).await;
    let name = "n".repeat(1_500);
    let part = format!("Content-Disposition: attachment; filename={name}\n\nx");
    let mail = multipart(&vec![part; 900]);
    let site = Site::mail(&host, &mail, MimeLimits::default()).await;
    assert!(matches!(site.read(&site.version).unwrap().input, Input::Mail { .. }));
    assert_eq!(site.run(&host, "hostile/good").await.unwrap().parts.len(), 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_parts_may_fill_the_spill_no_further_than_decoded_ones() {
    let host = host(programs::hostile_modules()).await;
    let large = format!("Content-Transfer-Encoding: quoted-printable\n\n{}", "a".repeat(40 << 20));
    let site = Site::mail(&self::host(programs::modules()).await, b"x: y\n\nz", MimeLimits::default()).await;
    let mail = large.into_bytes();
    let split = host.split(File::open(site.file(&mail)).unwrap(), mail.len() as u64, site.limits).await;
    assert_eq!(split.unwrap_err().kind, RunErrorKind::Budget);
    let mut reading = site.read(&site.version).unwrap();
    if let Input::Parts { spill_bytes, .. } = &mut reading.input {
        *spill_bytes = 33 << 20;
    }
    reading.given.fill = Some(Box::new(|_| panic!("nothing is written beyond the limit")));
    let error = run(&host, "hostile/good", reading, site.limits).await.unwrap_err();
    assert_eq!(error.kind, RunErrorKind::Budget);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_mail_is_given_as_it_is_and_proven() {
    let host = host(programs::hostile_modules()).await;
    let site = Site::empty(MimeLimits::default());
    let file = File::open(site.file(b"a,b\n1,2\n")).unwrap();
    let facts = PartFacts {
        path: "1".into(),
        parent: None,
        kind: PartKind::Attachment,
        media_type: "text/csv".into(),
        sniffed_type: "text/csv".into(),
        charset: None,
        disposition: None,
        name: Some(RawText::of(b"nodes.csv")),
        transfer_encoding: None,
        in_message: None,
        verbatim: false,
        problems: Vec::new(),
    };
    let bytes = FileRange { file: &file, offset: 0, stored: Stored::of(b"a,b\n1,2\n") };
    site.write(&Contents { about: about(), message: None, parts: vec![NewPart { facts, bytes }] });
    let reading = site.read(&site.version).unwrap();
    let stored = frame::Stored::Input(frame::Range { offset: 0, len: 8 });
    assert_eq!(reading.digests.get(&stored), Some(&Stored::of(b"a,b\n1,2\n").digest));
    assert_eq!(site.run(&host, "hostile/good").await.unwrap().collected.findings[0].message, "a,b\n1,2\n");
    fs::write(site.stored("001-nodes.csv"), "a,b\n1,3\n").unwrap();
    assert!(failure(site.read(&site.version)).starts_with("damaged storage: acme/"));
}
