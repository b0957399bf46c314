//! Modules that misbehave, each in one way, to test that the server is not affected. Only compiled with feature `hostile`,
//! only linked into `headworks-modules-hostile`.

use module_api::{
    ColumnKind, Content, Declaration, Delivery, Finding, Micros, Module, Outcome, Place, Row, Sink, Stop,
    Table, Value,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

type Act = fn(&Delivery<'_>, &mut dyn Sink) -> Result<Outcome, Stop>;

/// A module that does one thing.
struct Hostile {
    name: &'static str,
    act: Act,
}

/// Every hostile module; one that is good, one that repeats what it is given, and one that writes as many rows as it is asked to.
const ACTS: &[Hostile] = &[
    Hostile { name: "good", act: good },
    Hostile { name: "mirror", act: mirror },
    Hostile { name: "many", act: many },
    Hostile { name: "socket", act: socket },
    Hostile { name: "exec", act: exec },
    Hostile { name: "fork", act: fork },
    Hostile { name: "thread", act: thread },
    Hostile { name: "open", act: open },
    Hostile { name: "kill_parent", act: kill_parent },
    Hostile { name: "memory", act: memory },
    Hostile { name: "spin", act: spin },
    Hostile { name: "wait", act: wait },
    Hostile { name: "abort", act: abort },
    Hostile { name: "panic", act: panic },
    Hostile { name: "overflow", act: overflow },
    Hostile { name: "exit", act: exit },
    Hostile { name: "findings", act: findings },
    Hostile { name: "rows", act: rows },
    Hostile { name: "large_row", act: large_row },
    Hostile { name: "long_frame", act: long_frame },
    Hostile { name: "broken_frame", act: broken_frame },
    Hostile { name: "print", act: print },
    Hostile { name: "fill_spill", act: fill_spill },
    Hostile { name: "wrong_table", act: |_, out| wrong_row(out, 7, vec![Value::Int(1), Value::Null]) },
    Hostile { name: "wrong_columns", act: |_, out| wrong_row(out, 0, vec![Value::Int(1)]) },
    Hostile {
        name: "wrong_kind",
        act: |_, out| wrong_row(out, 0, vec![Value::Text("1".into()), Value::Null]),
    },
    Hostile { name: "null_key", act: |_, out| wrong_row(out, 0, vec![Value::Null, Value::Null]) },
    Hostile {
        name: "wrong_word",
        act: |_, out| wrong_row(out, 0, vec![Value::Int(1), Value::Text("blue".into())]),
    },
];

/// The tables of so many modules are published: as many topics.
const PUBLISHED: usize = 10;

/// The table of `headworks-modules-hostile`.
#[must_use]
pub fn modules() -> Vec<&'static dyn Module> {
    ACTS.iter().map(|act| act as &'static dyn Module).collect()
}

impl Module for Hostile {
    fn declaration(&self) -> Declaration {
        let mut table = Table::new(&format!("hostile_{}", self.name), "One row.")
            .key("n", ColumnKind::Int, "A number.")
            .column("colour", ColumnKind::words(&["red", "green"]), "A word.");
        if ACTS.iter().take(PUBLISHED).any(|act| act.name == self.name) {
            table = table.publish("n");
        }
        Declaration {
            id: format!("hostile/{}", self.name),
            version: "1.0.0".into(),
            summary: "Misbehaves.".into(),
            assumed: false,
            tables: vec![table],
            views: Vec::new(),
        }
    }

    fn parse(&self, delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
        (self.act)(delivery, out)
    }
}

fn row(n: i64) -> Row {
    let report_at: Option<Micros> = None;
    Row {
        table: 0,
        place: Place::line(0, 1),
        report_at,
        report_tz_assumed: false,
        values: vec![Value::Int(n), Value::Text("red".into())],
    }
}

/// Reports what came of a forbidden thing.
fn tell<T>(out: &mut dyn Sink, what: &str, result: std::io::Result<T>) -> Result<Outcome, Stop> {
    let rule = if result.is_ok() { "succeeded" } else { "refused" };
    let kind = result.err().map(|e| format!("{what}: {:?}", e.kind())).unwrap_or_default();
    out.finding(Finding::error(rule, Place::default(), kind))?;
    Ok(Outcome::Ok)
}

fn good(delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    for (part, n) in delivery.parts.iter().zip(0..) {
        let bytes = part.content.bytes(64).map_err(|_| Stop)?;
        out.finding(Finding::info(
            "seen",
            Place { part: n, ..Place::default() },
            String::from_utf8_lossy(&bytes),
        ))?;
        out.row(row(n.into()))?;
    }
    out.profile("plain");
    Ok(Outcome::Ok)
}

/// One finding for the envelope and one per part, each a hash over everything that a module can see of it.
fn mirror(delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    let seen = |part: u32, facts: String, bytes: &[u8]| {
        let mut hasher = DefaultHasher::new();
        (facts, bytes).hash(&mut hasher);
        Finding::info("seen", Place { part, ..Place::default() }, format!("{:016x}", hasher.finish()))
    };
    let about = (delivery.coordinates, delivery.envelope, delivery.received_at, delivery.settings);
    out.finding(seen(0, format!("{about:?}"), b""))?;
    for (part, index) in delivery.parts.iter().zip(0..) {
        let facts = (&part.path, part.kind, part.parent, &part.media_type, &part.sniffed_type);
        let more = (&part.charset, &part.name, &part.problems);
        let bytes = part.content.bytes(usize::MAX).map_err(|_| Stop)?;
        out.finding(seen(index, format!("{facts:?} {more:?}"), &bytes))?;
    }
    Ok(Outcome::Ok)
}

/// As many rows as the first part says.
fn many(delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    let bytes = delivery.parts.first().ok_or(Stop)?.content.bytes(64).map_err(|_| Stop)?;
    let count: i64 = std::str::from_utf8(&bytes).map_err(|_| Stop)?.parse().map_err(|_| Stop)?;
    for n in 0..count {
        out.row(row(n))?;
    }
    Ok(Outcome::Ok)
}

fn socket(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    tell(out, "socket", std::net::UdpSocket::bind("127.0.0.1:0"))
}

fn exec(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    tell::<()>(out, "exec", Err(Command::new("/bin/true").exec()))
}

fn fork(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    tell(out, "fork", Command::new("/bin/true").spawn())
}

fn thread(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    tell(out, "thread", std::thread::Builder::new().spawn(|| ()))
}

fn open(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    tell(out, "open", std::fs::File::open("/etc/passwd"))
}

fn kill_parent(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    let killed = nix::sys::signal::kill(nix::unistd::getppid(), nix::sys::signal::Signal::SIGKILL);
    tell(out, "kill", killed.map_err(std::io::Error::from))
}

fn memory(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn spin(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Waits without using any CPU time, for a byte that never comes.
fn wait(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    let mut byte = [0];
    tell(out, "wait", std::io::Read::read(&mut std::io::stdin(), &mut byte))
}

fn abort(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    std::process::abort()
}

fn panic(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    panic!("a bug in a module")
}

fn overflow(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    fn deeper(n: u64) -> u64 {
        let room = black_box([n; 64]);
        if n == u64::MAX { 0 } else { deeper(n + 1) + room[0] }
    }
    black_box(deeper(0));
    Ok(Outcome::Ok)
}

fn exit(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    std::process::exit(0)
}

fn findings(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    loop {
        out.finding(Finding::info("flood", Place::default(), "again"))?;
    }
}

fn rows(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    for n in 0.. {
        out.row(row(n))?;
    }
    Ok(Outcome::Ok)
}

fn large_row(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    let mut row = row(1);
    row.values[1] = Value::Text("x".repeat(3 << 20));
    out.row(row)?;
    Ok(Outcome::Ok)
}

fn long_frame(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    raw(&u32::MAX.to_le_bytes())
}

fn broken_frame(_: &Delivery<'_>, _: &mut dyn Sink) -> Result<Outcome, Stop> {
    raw(&[3, 0, 0, 0, 0xff, 0xff, 0xff])
}

/// Writes past the frames, to the socket itself.
fn raw(bytes: &[u8]) -> Result<Outcome, Stop> {
    nix::unistd::write(std::io::stdin().as_fd(), bytes).map_err(|_| Stop)?;
    Ok(Outcome::Ok)
}

fn print(_: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    for _ in 0..100_000 {
        let lost = writeln!(std::io::stdout(), "flood").and_then(|()| writeln!(std::io::stderr(), "flood"));
        drop(lost);
    }
    out.row(row(1))?;
    Ok(Outcome::Ok)
}

/// Writes to the spill, whose file a decoded part is a range of, until the size limit of files ends it.
fn fill_spill(delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
    let block = vec![0_u8; 1 << 20];
    let files = delivery.parts.iter().filter_map(|part| match part.content {
        Content::Range { file, .. } => Some(file),
        Content::Memory(_) => None,
    });
    let mut result = Ok(());
    for file in files {
        for n in 0..4_096 {
            result = file.write_all_at(&block, n << 20);
            if result.is_err() {
                break;
            }
        }
    }
    tell(out, "fill", result)
}

fn wrong_row(out: &mut dyn Sink, table: u16, values: Vec<Value>) -> Result<Outcome, Stop> {
    out.row(Row { table, values, ..row(0) })?;
    Ok(Outcome::Ok)
}
