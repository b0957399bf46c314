//! Values of the form `word; a=b; c="d"`, with comments anywhere and semicolons missing.

use super::field::text_of;

/// Most parameters of one field that are looked at.
const MOST_PARAMS: usize = 1_000;

/// One parameter as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Param {
    /// Lower case.
    pub name: String,
    /// Without quotes.
    pub value: Vec<u8>,
}

/// A field value taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Lower case, without comments; the first word.
    pub word: String,
    /// The word and what follows it up to the first semicolon, lower case, without comments.
    pub spaced: String,
    pub params: Vec<Param>,
    /// A semicolon was missing.
    pub odd: bool,
}

/// Parameters whose values may hold blanks and parentheses although nobody quoted them.
fn is_name(param: &str) -> bool {
    param.starts_with("filename") || param.starts_with("name")
}

/// Takes `word; a=b; c="d"` apart, with comments anywhere and semicolons missing.
pub(super) fn parse(value: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut rest = skip_comments(value);
    let mut word = Vec::new();
    // The word ends at a semicolon, or where a parameter begins behind a blank.
    loop {
        match rest.first() {
            None => break,
            Some(b';') => {
                rest = &rest[1..];
                break;
            }
            Some(b',') if begins_param(skip_comments(&rest[1..])) => {
                parsed.odd = true;
                rest = &rest[1..];
                break;
            }
            Some(b'(') => rest = skip_comments(rest),
            Some(b) if b.is_ascii_whitespace() => {
                rest = skip_comments(rest);
                word.push(b' ');
                if begins_param(rest) {
                    parsed.odd = true;
                    break;
                }
            }
            Some(_) if word.is_empty() && begins_param(rest) => {
                parsed.odd = true;
                break;
            }
            Some(&b) => {
                word.push(b);
                rest = &rest[1..];
            }
        }
    }
    parsed.spaced = text_of(word.trim_ascii()).to_ascii_lowercase();
    parsed.word = first_word(&parsed.spaced);
    while !rest.is_empty() && parsed.params.len() < MOST_PARAMS {
        let (param, after, odd) = param(rest);
        parsed.params.extend(param);
        parsed.odd |= odd;
        rest = after;
    }
    parsed
}

/// The first of several words; blanks around a slash do not separate.
fn first_word(spaced: &str) -> String {
    let mut word = String::new();
    for piece in spaced.split(' ').filter(|piece| !piece.is_empty()) {
        if word.is_empty() || word.ends_with('/') || piece.starts_with('/') {
            word.push_str(piece);
        } else {
            break;
        }
    }
    word
}

/// Whether text begins with `name=`.
fn begins_param(text: &[u8]) -> bool {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*' | b'.');
    let len = text.iter().take(64).take_while(|b| is_token(b)).count();
    len > 0 && text[len..].trim_ascii_start().first() == Some(&b'=')
}

/// Text without the blanks and comments at its start. Comments nest; one that is never closed is all the rest.
fn skip_comments(text: &[u8]) -> &[u8] {
    let mut rest = text.trim_ascii_start();
    while rest.first() == Some(&b'(') {
        let (mut depth, mut at, mut escaped) = (0_usize, 0, false);
        while let Some(&b) = rest.get(at) {
            at += 1;
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        rest = rest[at..].trim_ascii_start();
    }
    rest
}

/// Takes one `name=value` off the front, with what follows and whether its semicolon was missing; no parameter where
/// there is no `=`.
fn param(text: &[u8]) -> (Option<Param>, &[u8], bool) {
    let text = skip_comments(text);
    let stop = text.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(text.len());
    if text.get(stop) != Some(&b'=') {
        return (None, text.get(stop + 1..).unwrap_or(b""), false);
    }
    let name = text_of(text[..stop].trim_ascii()).to_ascii_lowercase();
    let written = text[stop + 1..].trim_ascii_start();
    let written = if is_name(&name) { written } else { skip_comments(written) };
    let (value, after) = match written.strip_prefix(b"\"") {
        Some(quoted) => quoted_value(quoted),
        None => {
            let end = unquoted_end(written, is_name(&name));
            (unfold(written[..end].trim_ascii()), &written[end..])
        }
    };
    let next = skip_comments(after);
    let param = Some(Param { name, value });
    if begins_param(next) {
        return (param, next, true);
    }
    let semicolon = next.iter().position(|&b| b == b';').map_or(next.len(), |n| n + 1);
    (param, &next[semicolon..], false)
}

/// Where an unquoted value ends: at a semicolon, before a comment, or before a parameter that follows without one.
fn unquoted_end(text: &[u8], is_name: bool) -> usize {
    const AFTER_NAMES: [&[u8]; 5] = [b"charset=", b"filename=", b"format=", b"name=", b"size="];
    let end = text.iter().position(|&b| b == b';').unwrap_or(text.len());
    let value = &text[..end];
    let mut at = 0;
    while let Some(blank) = value[at..].iter().position(u8::is_ascii_whitespace).map(|n| at + n) {
        let rest = value[blank..].trim_ascii_start();
        let starts = |name: &&[u8]| rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name);
        let ends = if is_name {
            AFTER_NAMES.iter().any(starts)
        } else {
            rest.starts_with(b"(") || begins_param(rest)
        };
        if ends {
            return blank;
        }
        at = value.len() - rest.len();
    }
    end
}

/// The value up to the closing quote (or the end), unescaped, and what follows.
fn quoted_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((i, &b)) = bytes.next() {
        match b {
            b'"' => return (unfold(&value), &text[i + 1..]),
            // A backslash escapes a quote or itself; before anything else it is a path from Windows.
            b'\\' if matches!(text.get(i + 1), Some(b'"' | b'\\')) => {
                value.extend(bytes.next().map(|(_, &escaped)| escaped));
            }
            _ => value.push(b),
        }
    }
    (unfold(&value), b"")
}

/// Without the line breaks of folding.
fn unfold(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        let Parsed { word, params, odd, .. } = parse(value.as_bytes());
        let params: Vec<_> =
            params.iter().map(|p| format!("{}={}", p.name, String::from_utf8_lossy(&p.value))).collect();
        format!("{}{word}|{}", if odd { "odd " } else { "" }, params.join("|"))
    }

    #[test]
    fn parameters_are_read_however_they_are_written() {
        for (written, read) in [
            ("text/plain", "text/plain|"),
            (" Text/Plain (a comment); Charset = utf-8", "text/plain|charset=utf-8"),
            ("a/b; x=\"1;2\"; y=3", "a/b|x=1;2|y=3"),
            ("a/b; x=\"q\\\"q\"; y=C:\\dir", "a/b|x=q\"q|y=C:\\dir"),
            ("a/b; x=\"never closed; y=1", "a/b|x=never closed; y=1"),
            ("a/b;;; novalue ;x=", "a/b|x="),
            ("a/b;\r\n\tx=\"long\r\n name\"", "a/b|x=long name"),
            ("", "|"),
            ("(c) text/plain", "text/plain|"),
            ("text/plain (a;b (nested \\)) c); x=1", "text/plain|x=1"),
            ("text (c) / (d) plain; charset=shift_jis (jp)", "text/plain|charset=shift_jis"),
            ("a/b; (c) x = (d) 1 (e); y=2", "a/b|x=1|y=2"),
            ("multipart/mixed boundary=\"BB\"", "odd multipart/mixed|boundary=BB"),
            ("text/plain, charset=utf-8", "odd text/plain|charset=utf-8"),
            ("text/plain; format=flowed charset=utf-8", "odd text/plain|format=flowed|charset=utf-8"),
            ("text/plain; x=\"1\" charset=utf-8", "odd text/plain|x=1|charset=utf-8"),
            ("charset=utf-8", "odd |charset=utf-8"),
            ("a/b; name=report (1) of 2.txt; x=1", "a/b|name=report (1) of 2.txt|x=1"),
            ("a/b; name=report.txt charset=x", "odd a/b|name=report.txt|charset=x"),
            ("a/b; x=one two", "a/b|x=one two"),
            ("a/b (never closed; x=1", "a/b|"),
        ] {
            assert_eq!(shown(written), read, "{written:?}");
        }
    }
}
