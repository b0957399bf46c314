//! The boundary that a multipart really uses, where its header names none or another one.

use super::params::BOUNDARY_BYTES;

/// Most different lines that are remembered as possible boundaries.
const MOST_CANDIDATES: usize = 16;

/// The first `--x` that a field of a part follows, or that `--x--` answers later.
pub(super) fn guess(body: &[u8]) -> Option<&[u8]> {
    let mut candidates: Vec<&[u8]> = Vec::new();
    let mut lines = body.split(|&b| b == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(boundary) = line.trim_ascii_end().strip_prefix(b"--").filter(|rest| could_be(rest)) else {
            continue;
        };
        let starts_part = |next: &&[u8]| next.len() > 8 && next[..8].eq_ignore_ascii_case(b"content-");
        if lines.peek().is_some_and(starts_part) {
            return Some(boundary);
        }
        if boundary.strip_suffix(b"--").is_some_and(|open| candidates.contains(&open)) {
            return boundary.strip_suffix(b"--");
        }
        if candidates.len() < MOST_CANDIDATES && !candidates.contains(&boundary) {
            candidates.push(boundary);
        }
    }
    None
}

/// Whether a line of the body is this boundary.
pub(super) fn occurs(body: &[u8], boundary: &[u8]) -> bool {
    body.split(|&b| b == b'\n').any(|line| line.trim_ascii_end().strip_prefix(b"--") == Some(boundary))
}

/// No signature (`-- `), no ruled line.
fn could_be(rest: &[u8]) -> bool {
    (1..=BOUNDARY_BYTES).contains(&rest.len())
        && rest[0] != b' '
        && rest.iter().any(u8::is_ascii_alphanumeric)
        && rest.iter().all(|b| b.is_ascii_graphic() || *b == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_known_by_what_follows_it() {
        for (body, boundary) in [
            ("text\n--x\nContent-Type: text/plain\n\na\n--x--\n", Some("x")),
            ("--x\r\ncontent-type: a/b\r\n\r\ncut", Some("x")),
            ("--=_Part\n\na\n--=_Part--\n", Some("=_Part")),
            ("--a\n\n--b\n\n--a--\n", Some("a")),
            ("a signature\n-- \nme\n--\nx\n-----\n----------\n", None),
            ("--x\n\nnever closed\n", None),
            ("-----BEGIN PGP MESSAGE-----\nContent\n", None),
            ("", None),
        ] {
            assert_eq!(guess(body.as_bytes()), boundary.map(str::as_bytes), "{body:?}");
        }
        assert!(occurs(b"x\r\n--b \r\n", b"b") && !occurs(b"--bc\n", b"b"));
    }
}
