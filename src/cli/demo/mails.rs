//! The mails of the demo, and how each must end.

/// A mail.
#[derive(Debug)]
pub struct Mail {
    /// Description.
    pub title: &'static str,
    /// Envelope recipient.
    pub recipient: &'static str,
    /// The message.
    pub bytes: &'static [u8],
    /// Expected state of its receipt.
    pub ends: &'static str,
}

const REPORTS: &str = "reports@bobs.example.com";

/// All mails in the order they are sent.
pub const MAILS: [Mail; 6] = [
    Mail {
        title: "a system report",
        recipient: REPORTS,
        bytes: include_bytes!("report.eml"),
        ends: "completed",
    },
    Mail {
        title: "a truncated report of a degraded grid",
        recipient: REPORTS,
        bytes: include_bytes!("degraded.eml"),
        ends: "completed",
    },
    Mail {
        title: "an alert that is raised",
        recipient: REPORTS,
        bytes: include_bytes!("raised.eml"),
        ends: "completed",
    },
    Mail {
        title: "the same alert, cleared",
        recipient: REPORTS,
        bytes: include_bytes!("cleared.eml"),
        ends: "completed",
    },
    Mail {
        title: "an unexpected mail",
        recipient: "office@bobs.example.com",
        bytes: include_bytes!("unexpected.eml"),
        ends: "held",
    },
    Mail { title: "a hostile mail", recipient: REPORTS, bytes: include_bytes!("hostile.eml"), ends: "held" },
];
