//! The command line: our settings and Postfix's macros, as bytes.
//!
//! ```text
//! mailhandler --spool DIR --spool-id UUID --min-free 64MiB [--min-free-inodes 1000] [--deadline 120s] [--strict-size]
//!     --queue-id ${queue_id} --size ${size} --sender ${sender} --original ${original_recipient}
//!     --client ${client_address} --name ${client_hostname} --helo ${client_helo} --proto ${client_protocol}
//!     --sasl ${sasl_username} --nexthop ${nexthop} -- ${recipient}
//! ```
//!
//! The value of an option is always the next argument. There is one recipient, after `--`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use headworks_spool::{Door, Envelope};
use uuid::Uuid;

use super::reply::Refusal;

/// The parsed command line.
#[derive(Debug)]
pub struct Arguments {
    pub spool: PathBuf,
    pub spool_id: Uuid,
    pub min_free_bytes: u64,
    pub min_free_inodes: u64,
    /// How long reading the mail may take.
    pub deadline: Duration,
    /// Whether a mail may measure less than `${size}` within a tolerance.
    pub strict_size: bool,
    /// Postfix's `${size}`.
    pub declared_bytes: u64,
    /// What Postfix says about the mail. Receipt, time and problems are filled in when the mail has been read.
    pub envelope: Envelope,
}

const DEFAULT_MIN_FREE_INODES: u64 = 1000;
const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);
const OPTIONS: [&str; 15] = [
    "--spool",
    "--spool-id",
    "--min-free",
    "--min-free-inodes",
    "--deadline",
    "--queue-id",
    "--size",
    "--sender",
    "--original",
    "--client",
    "--name",
    "--helo",
    "--proto",
    "--sasl",
    "--nexthop",
];

impl Arguments {
    /// Every error is a mistake in master.cf.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut given = Given::collect(arguments)?;
        let spool = PathBuf::from(given.required("--spool")?);
        let spool_id = given.parsed("--spool-id", None)?;
        let declared_bytes = given.parsed("--size", None)?;
        Ok(Self {
            spool,
            spool_id,
            min_free_bytes: given.parsed::<Bytes>("--min-free", None)?.0,
            min_free_inodes: given.parsed("--min-free-inodes", Some(DEFAULT_MIN_FREE_INODES))?,
            deadline: given.parsed("--deadline", Some(Seconds(DEFAULT_DEADLINE)))?.0,
            strict_size: given.strict_size,
            declared_bytes,
            envelope: Envelope {
                spool_id,
                receipt_id: Uuid::nil(),
                door: Door::Pipe,
                received_at: 0,
                problems: Vec::new(),
                declared_bytes: Some(declared_bytes),
                program: concat!("mailhandler ", env!("CARGO_PKG_VERSION")).to_owned(),
                queue_id: given.queue_id()?,
                sender: given.required("--sender")?.into_vec(),
                original_recipient: given.optional("--original"),
                client_address: given.optional("--client"),
                client_name: given.optional("--name"),
                client_helo: given.optional("--helo"),
                client_protocol: given.optional("--proto"),
                sasl_user: given.optional("--sasl"),
                nexthop: given.optional("--nexthop"),
                recipient: given.recipient,
            },
        })
    }
}

/// The unparsed arguments.
struct Given {
    values: BTreeMap<&'static str, OsString>,
    strict_size: bool,
    recipient: Vec<u8>,
}

impl Given {
    fn collect(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut values = BTreeMap::new();
        let mut strict_size = false;
        loop {
            let argument = arguments.next().ok_or_else(|| Refusal::settings("no -- before the recipient"))?;
            if argument == "--" {
                break;
            }
            if argument == "--strict-size" {
                strict_size = true;
                continue;
            }
            let name = OPTIONS.into_iter().find(|name| argument == *name);
            let name = name.ok_or_else(|| Refusal::settings("unknown option"))?;
            let value = arguments.next().ok_or_else(|| Refusal::settings(&format!("no value for {name}")))?;
            if values.insert(name, value).is_some() {
                return Err(Refusal::settings(&format!("{name} given twice")));
            }
        }
        match (arguments.next(), arguments.next()) {
            (Some(recipient), None) => Ok(Self { values, strict_size, recipient: recipient.into_vec() }),
            (None, _) => Err(Refusal::settings("no recipient")),
            (Some(_), Some(_)) => Err(Refusal::settings(
                "several recipients: mailhandler_destination_recipient_limit must be 1",
            )),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<OsString, Refusal> {
        self.values.remove(name).ok_or_else(|| Refusal::settings(&format!("{name} is missing")))
    }

    fn optional(&mut self, name: &'static str) -> Vec<u8> {
        self.values.remove(name).unwrap_or_default().into_vec()
    }

    fn parsed<T: FromStr>(&mut self, name: &'static str, default: Option<T>) -> Result<T, Refusal> {
        match (self.values.remove(name), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(Refusal::settings(&format!("{name} is missing"))),
            (Some(text), _) => text
                .to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Refusal::settings(&format!("{name} cannot be read"))),
        }
    }

    /// Without it all mails to one recipient would share a key.
    fn queue_id(&mut self) -> Result<Vec<u8>, Refusal> {
        let queue_id = self.required("--queue-id")?;
        if queue_id.is_empty() {
            return Err(Refusal::settings("--queue-id is empty"));
        }
        Ok(queue_id.into_vec())
    }
}

/// A number of bytes: `4096`, `64KiB`, `64MiB`, `2GiB`.
struct Bytes(u64);

impl FromStr for Bytes {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
        let split = units.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
        let (number, factor): (&str, u64) = split.ok_or(())?;
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).map(Self).ok_or(())
    }
}

/// A number of seconds: `120` or `120s`.
struct Seconds(Duration);

impl FromStr for Seconds {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_suffix('s').unwrap_or(text).parse::<u32>().map_err(|_| ())?;
        Ok(Self(Duration::from_secs(number.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a000000-0000-4000-8000-000000000001";
    const GOOD: [&str; 14] = [
        "--spool",
        "/s",
        "--spool-id",
        ID,
        "--min-free",
        "64MiB",
        "--size",
        "9",
        "--queue-id",
        "4x",
        "--sender",
        "",
        "--",
        "a@b",
    ];

    fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Arguments, String> {
        let arguments = arguments.into_iter().map(OsString::from);
        Arguments::parse(arguments).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_complete_line_is_read_and_the_rest_has_defaults() {
        let arguments = parse(GOOD).unwrap();
        assert_eq!(arguments.min_free_bytes, 64 << 20);
        assert_eq!(arguments.min_free_inodes, 1000);
        assert_eq!(arguments.deadline, Duration::from_secs(120));
        assert_eq!(arguments.envelope.recipient, b"a@b");
        assert_eq!(arguments.envelope.sender, b"");
        assert!(!arguments.strict_size);
    }

    #[test]
    fn values_and_recipients_that_look_like_options_are_taken_as_they_are() {
        let mut line = GOOD;
        line[11] = "--";
        line[13] = "--spool";
        let arguments = parse(line).unwrap();
        assert_eq!(arguments.envelope.sender, b"--");
        assert_eq!(arguments.envelope.recipient, b"--spool");
    }

    #[test]
    fn every_missing_option_is_named() {
        for at in [0, 2, 4, 6, 8, 10] {
            let line =
                GOOD.iter().enumerate().filter(|(i, _)| *i != at && *i != at + 1).map(|(_, word)| *word);
            assert_eq!(parse(line).unwrap_err(), format!("4.3.5 configuration: {} is missing", GOOD[at]));
        }
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        for (at, value, complaint) in [
            (3, "x", "--spool-id cannot be read"),
            (5, "64MB", "--min-free cannot be read"),
            (5, "99999999999GiB", "--min-free cannot be read"),
            (7, "-1", "--size cannot be read"),
            (9, "", "--queue-id is empty"),
            (0, "--spol", "unknown option"),
            (2, "--spool", "--spool given twice"),
            (12, "a@b", "unknown option"),
        ] {
            let mut line = GOOD;
            line[at] = value;
            assert_eq!(parse(line).unwrap_err(), format!("4.3.5 configuration: {complaint}"));
        }
    }

    #[test]
    fn one_call_takes_one_recipient() {
        let complaint = parse(GOOD.into_iter().chain(["c@d"])).unwrap_err();
        assert!(complaint.contains("recipient_limit"), "{complaint}");
        assert_eq!(parse(GOOD[..13].iter().copied()).unwrap_err(), "4.3.5 configuration: no recipient");
        assert_eq!(
            parse(GOOD[..12].iter().copied()).unwrap_err(),
            "4.3.5 configuration: no -- before the recipient"
        );
    }
}
