//! A real Postfix of a test's own: own queue and configuration, a loopback port, our main.cf and master.cf as they stand.
//!
//! Started and stopped by `tests/services/postfix`; only root can. Whatever goes wrong here ends the test.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../services/postfix");

/// What Postfix hands its mail to.
#[derive(Debug, Clone, Copy)]
pub struct Delivers<'a> {
    /// The spool.
    pub spool: &'a Path,
    /// Its id.
    pub spool_id: &'a str,
    /// The program.
    pub mailhandler: &'a Path,
    /// Who runs it.
    pub user: &'a str,
    /// Lines added to main.cf.
    pub main_cf: &'a str,
}

/// A running Postfix; it ends with it.
#[derive(Debug)]
pub struct Postfix {
    directory: PathBuf,
    port: u16,
}

impl Postfix {
    /// Starts one in `directory`, which is made.
    #[must_use]
    pub fn start(directory: &Path, delivers: Delivers<'_>) -> Self {
        let Delivers { spool, spool_id, mailhandler, user, main_cf } = delivers;
        let output = Command::new(format!("{SERVICES}/start"))
            .arg(directory)
            .envs([("SPOOL", spool), ("MAILHANDLER", mailhandler)])
            .envs([("SPOOL_ID", spool_id), ("MAIL_USER", user), ("MAIN_CF", main_cf)])
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let port = stdout.trim_end().strip_prefix("SMTP_PORT=").and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{stdout}{}", String::from_utf8_lossy(&output.stderr)));
        Self { directory: directory.to_owned(), port }
    }

    /// Hands a mail to Postfix, which must take it. `mail` has lines that end in LF.
    pub fn send(&self, sender: &str, recipients: &[impl AsRef<[u8]>], mail: &[u8]) {
        let mut smtp = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        let mut say = |line: &[u8]| {
            smtp.get_mut().write_all(line).unwrap();
            let mut reply = String::new();
            while reply.get(3..4) != Some(" ") {
                reply.clear();
                assert_ne!(smtp.read_line(&mut reply).unwrap(), 0, "Postfix hung up");
            }
            assert!(reply.starts_with(['2', '3']), "{}: {reply}", line.escape_ascii());
        };
        say(b"");
        say(b"EHLO test\r\n");
        say(format!("MAIL FROM:<{sender}>\r\n").as_bytes());
        for recipient in recipients {
            say(&[b"RCPT TO:<", recipient.as_ref(), b">\r\n"].concat());
        }
        say(b"DATA\r\n");
        let lines = mail.split_inclusive(|&byte| byte == b'\n');
        let mail: Vec<u8> =
            lines.flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), b"\r\n"].concat()).collect();
        say(&[&mail[..], b".\r\n"].concat());
        say(b"QUIT\r\n");
    }

    /// Changes its master.cf, and makes it read that.
    pub fn reload_with(&self, old: &str, new: &str) {
        let path = self.directory.join("conf/master.cf");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "master.cf does not say {old}");
        fs::write(path, text.replace(old, new)).unwrap();
        self.run("reload");
    }

    /// Makes it try what waits in its queue now.
    pub fn flush(&self) {
        self.run("flush");
    }

    fn run(&self, act: &str) {
        let mut command = Command::new("postfix");
        let output = command.arg("-c").arg(self.directory.join("conf")).arg(act).output().unwrap();
        assert!(output.status.success(), "{act}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// How often it logged `text`.
    #[must_use]
    pub fn logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Whether it has put a mail off with `line`, a line of `mailhandler`: it logs the status in front as `dsn`.
    #[must_use]
    pub fn has_deferred(&self, line: &str) -> bool {
        let (status, reason) = line.split_once(' ').unwrap();
        self.logged(&format!("dsn={status}, status=deferred ({reason}")) > 0
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let stopped = Command::new(format!("{SERVICES}/stop")).arg(&self.directory).status();
        assert!(std::thread::panicking() || stopped.is_ok_and(|status| status.success()));
    }
}
