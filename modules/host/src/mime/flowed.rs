//! `format=flowed` (RFC 3676): lines that a mail program broke are put together again.

/// Joins lines that end in a blank with the next one of the same quote depth; with `delsp` without that blank. Bytes of
/// any encoding that has ASCII's line ends, blanks and `>`.
pub(super) fn join(text: &[u8], delsp: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    // Quote depth of the paragraph that goes on, and the line break it would end with.
    let mut open: Option<(usize, &[u8])> = None;
    for line in text.split_inclusive(|&b| b == b'\n') {
        let (content, line_break) = match line {
            [content @ .., b'\r', b'\n'] => (content, b"\r\n".as_slice()),
            [content @ .., b'\n'] => (content, b"\n".as_slice()),
            content => (content, b"".as_slice()),
        };
        let depth = content.iter().take_while(|b| **b == b'>').count();
        let content = &content[depth..];
        let content = content.strip_prefix(b" ").unwrap_or(content);
        let is_signature = content == b"-- ";
        let goes_on = open.is_some_and(|(quote, _)| quote == depth) && !is_signature;
        if !goes_on {
            if let Some((_, line_break)) = open {
                out.extend_from_slice(line_break);
            }
            out.extend(std::iter::repeat_n(b'>', depth));
            if depth > 0 {
                out.push(b' ');
            }
        }
        let flows = content.ends_with(b" ") && !is_signature && !line_break.is_empty();
        let kept = if flows && delsp { &content[..content.len() - 1] } else { content };
        out.extend_from_slice(kept);
        open = flows.then_some((depth, line_break));
        if !flows {
            out.extend_from_slice(line_break);
        }
    }
    if let Some((_, line_break)) = open {
        out.extend_from_slice(line_break);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn broken_lines_are_joined() {
        for (text, delsp, joined) in [
            ("one \ntwo\nthree\n", false, "one two\nthree\n"),
            ("one \r\ntwo\r\n", true, "onetwo\r\n"),
            ("交 \n換\n", true, "交換\n"),
            ("> a \n> b\n>> c \nd\n", false, "> a b\n>> c \nd\n"),
            (" >stuffed\n From x\n", false, ">stuffed\nFrom x\n"),
            ("text \n-- \nme\n", false, "text \n-- \nme\n"),
            ("ends \n", false, "ends \n"),
            ("ends ", false, "ends "),
            ("", true, ""),
        ] {
            assert_eq!(join(text.as_bytes(), delsp), joined.as_bytes(), "{text:?}");
        }
    }
}
