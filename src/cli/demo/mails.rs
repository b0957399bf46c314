//! The mails of the demo, and what must become of each.

/// A mail.
#[derive(Debug)]
pub struct Mail {
    /// What it is.
    pub title: &'static str,
    /// Envelope recipient.
    pub recipient: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
    /// State its receipt must come to.
    pub ends: &'static str,
}

const REPORTS: &str = "reports@bobs.example.com";

/// All of them, in the order they are sent.
pub const MAILS: [Mail; 6] = [
    Mail {
        title: "a system report",
        recipient: REPORTS,
        bytes: include_bytes!("report.eml"),
        ends: "completed",
    },
    Mail {
        title: "a report of a degraded grid, cut short",
        recipient: REPORTS,
        bytes: include_bytes!("degraded.eml"),
        ends: "completed",
    },
    Mail {
        title: "an alert, raised",
        recipient: REPORTS,
        bytes: include_bytes!("raised.eml"),
        ends: "completed",
    },
    Mail {
        title: "the alert, cleared",
        recipient: REPORTS,
        bytes: include_bytes!("cleared.eml"),
        ends: "completed",
    },
    Mail {
        title: "a mail nobody expects",
        recipient: "office@bobs.example.com",
        bytes: include_bytes!("unexpected.eml"),
        ends: "held",
    },
    Mail { title: "a hostile mail", recipient: REPORTS, bytes: include_bytes!("hostile.eml"), ends: "held" },
];
