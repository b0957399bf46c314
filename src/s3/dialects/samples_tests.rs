//! Every sample of every vendor in `samples/`, with what is read of it as a snapshot beside. A new sample is a file:
//! request line, headers, an empty line, the body, whose last line feed does not count; or `(queue)` instead of the
//! request line.

use super::{Found, Limits, Message, Reading, read};
use crate::s3::event::{Event, Flags, Kind};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the samples' sources have their URLs, and whether one is an Elasticsearch base.
const BASES: [(&str, bool); 4] =
    [("/hooks/intake", false), ("/elastic-search", true), ("/webhook/notify", false), ("", false)];

fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/s3/dialects/samples");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn read_sample(sample: &[u8]) -> Reading {
    let end = sample.windows(2).position(|two| two == b"\n\n").expect("an empty line ends the headers");
    let head = std::str::from_utf8(&sample[..end]).unwrap();
    let body = &sample[end + 2..];
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    if line == "(queue)" {
        return read(&Message::queued(body), None, &Limits::default());
    }
    let headers: Vec<(&str, &[u8])> = headers
        .lines()
        .map(|line| line.split_once(": ").expect("a header has a name and a value"))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let below = |(base, is_elastic): (&str, bool)| path.strip_prefix(base).map(|path| (path, is_elastic));
    let (path, is_elastic) = BASES.into_iter().find_map(below).expect("the path belongs to a source");
    let message = Message { method, path, query, is_elastic, headers: &headers, body };
    read(&message, None, &Limits::default())
}

/// A reading as lines; what an event does not have is left out.
fn shown(reading: &Reading) -> String {
    let mut lines = vec![format!("dialects: {:?}", reading.dialects)];
    if let Some(envelope) = &reading.envelope {
        lines.push(format!("envelope: {:?} {} {}", envelope.kind, envelope.message_id, envelope.topic));
        lines.push(format!("  subject: {:?}", envelope.subject));
    }
    if let Some(document) = &reading.document {
        lines.push(format!("document: {document:?}"));
        lines.push(format!("  objects: {:?}", document.objects().map(|(bucket, keys)| (bucket, keys.len()))));
    }
    match &reading.found {
        Found::Events { events, poison } => {
            lines.extend(events.iter().flat_map(event_lines));
            lines.extend(poison.iter().map(|poison| format!("poison: {poison}")));
        }
        Found::Poison(poison) => lines.push(format!("poison: {poison}")),
        found => lines.push(format!("{found:?}")),
    }
    lines.join("\n")
}

fn event_lines(event: &Event) -> Vec<String> {
    let Event { position, vendor, bucket, key, kind, name, sent_name, flags, size_bytes, .. } = event;
    let Event {
        etag,
        version,
        order,
        sequencer,
        event_time,
        region,
        actor,
        client,
        origin,
        request_id,
        id,
        ..
    } = event;
    let mut lines = vec![
        format!("event {position}: {kind:?} by {vendor:?}"),
        format!("  bucket: {bucket}"),
        format!("  key: {key:?}"),
        format!("  name: {name:?}, sent as {sent_name:?}"),
        format!("  order: {order:?}"),
    ];
    if *flags != Flags::default() {
        lines.push(format!("  {flags:?}"));
    }
    let texts = [
        ("size", size_bytes.map(|size| size.to_string())),
        ("etag", etag.clone()),
        ("version", version.clone()),
        ("sequencer", sequencer.clone()),
        ("time", event_time.map(|time| time.to_string())),
        ("region", region.clone()),
        ("actor", actor.clone()),
        ("client", client.clone()),
        ("origin", origin.clone()),
        ("request", request_id.clone()),
        ("id", id.clone()),
    ];
    lines.extend(texts.into_iter().filter_map(|(name, text)| Some(format!("  {name}: {}", text?))));
    lines
}

#[test]
fn every_sample_is_read_as_its_snapshot_says() {
    let samples = samples();
    assert!(samples.len() >= 80, "only {} samples found", samples.len());
    for (name, sample) in samples {
        insta::assert_snapshot!(name.clone(), shown(&read_sample(&sample)), &name);
    }
}

#[test]
fn the_hard_key_is_the_same_object_whoever_sends_it() {
    let hard = samples().into_iter().filter(|(name, _)| name.starts_with("hard_key_")).collect::<Vec<_>>();
    assert!(hard.len() >= 16, "only {} samples of the hard key found", hard.len());
    for (name, sample) in hard {
        let reading = read_sample(&sample);
        let Found::Events { events, poison } = &reading.found else { panic!("{name}: {reading:?}") };
        assert_eq!((events.len(), poison.len()), (1, 0), "{name}");
        let (event, key) = (&events[0], "inbound/2026/03/14/Invoice Müller + Söhne 50%.pdf");
        assert_eq!((event.bucket.as_str(), event.key.text()), ("intake-prod", Some(key)), "{name}");
        assert_eq!(event.kind, Kind::Created, "{name}");
    }
}
