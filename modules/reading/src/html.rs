//! HTML mail as lines of text: enough to read a report that was sent as a table, not to display one.
//!
//! Scripts, styles and comments are skipped, nothing is fetched, no tree is built: one pass over the characters, with
//! output capped. A table row becomes a line, its cells separated by tabs; block elements and `<br>` end lines.

/// Longest entity that is decoded, in bytes.
const ENTITY_BYTES: usize = 10;

/// The text of an HTML document, at most about `limit` bytes of it.
#[must_use]
pub fn to_text(html: &str, limit: usize) -> String {
    let mut writer = Writer { out: String::new(), limit, pre: 0 };
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        writer.text(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('&') { entity(rest, &mut writer) } else { tag(rest, &mut writer) };
        if writer.is_full() {
            return writer.out;
        }
    }
    writer.text(rest);
    writer.out
}

struct Writer {
    out: String,
    limit: usize,
    /// Depth of `<pre>`, where blanks and line ends mean themselves.
    pre: usize,
}

impl Writer {
    fn is_full(&self) -> bool {
        self.out.len() >= self.limit
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            if self.is_full() {
                return;
            }
            let blank = c.is_ascii_whitespace();
            if !blank || (self.pre > 0 && c != '\r') {
                self.out.push(c);
            } else if !self.out.is_empty() && !self.out.ends_with([' ', '\n', '\t']) {
                self.out.push(' ');
            }
        }
    }

    fn end_line(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn blank_line(&mut self) {
        self.end_line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn cell(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\t');
        }
    }
}

/// Reads the entity at the start of `text` and returns what follows it. What is no entity is text.
fn entity<'a>(text: &'a str, writer: &mut Writer) -> &'a str {
    let window = &text.as_bytes()[..text.len().min(ENTITY_BYTES)];
    let decoded =
        window.iter().position(|&b| b == b';').and_then(|end| Some((end, character(text.get(1..end)?)?)));
    match decoded {
        Some((end, c)) => {
            let mut buffer = [0; 4];
            writer.text(c.encode_utf8(&mut buffer));
            &text[end + 1..]
        }
        None => {
            writer.text("&");
            &text[1..]
        }
    }
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control());
    }
    match name {
        "nbsp" => Some(' '),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "deg" => Some('°'),
        "ndash" => Some('–'),
        _ => None,
    }
}

/// Reads the tag or comment at the start of `text` and returns what follows it. An unclosed one swallows the rest.
fn tag<'a>(text: &'a str, writer: &mut Writer) -> &'a str {
    if let Some(comment) = text.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |at| &comment[at + 3..]);
    }
    if !text[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
        writer.text("<");
        return &text[1..];
    }
    let Some(end) = text.find('>') else { return "" };
    let (inside, rest) = (&text[1..end], &text[end + 1..]);
    let closing = inside.starts_with('/');
    let name: String = inside
        .trim_start_matches('/')
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(12)
        .collect::<String>()
        .to_ascii_lowercase();
    match name.as_str() {
        "script" | "style" | "title" if !closing => return after_closing(rest, &name),
        "pre" if closing => writer.pre = writer.pre.saturating_sub(1),
        "pre" => {
            writer.end_line();
            writer.pre += 1;
        }
        "td" | "th" if !closing => writer.cell(),
        "br" | "tr" | "li" | "div" => writer.end_line(),
        "p" | "table" | "h1" | "h2" | "h3" | "h4" | "hr" | "ul" | "body" => writer.blank_line(),
        _ => {}
    }
    rest
}

/// What follows the closing tag of an element whose content is not text.
fn after_closing<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::to_text;
    use proptest::prelude::*;

    #[test]
    fn a_table_becomes_lines_of_cells() {
        let html = "<h2>Nodes</h2><table><tr><th>Name</th><th>CPU%</th></tr>\r\n<tr><td> hn001\n</td>\
                    <td></td><td>1&nbsp;TB</td></tr></table>after";
        assert_eq!(to_text(html, 1000), "Nodes\n\nName\tCPU%\nhn001\t\t1 TB\n\nafter");
    }

    #[test]
    fn scripts_styles_and_comments_are_not_text() {
        let html =
            "a<script>if (a < b) {'</scr'}</script >b<!-- x > y -->c<style>p{}</STYLE>d<img src=http://x/>e";
        assert_eq!(to_text(html, 1000), "abcde");
    }

    #[test]
    fn what_is_no_tag_or_entity_is_text() {
        assert_eq!(to_text("a < b & c &amp; &#x30c6; &bogus; 5 <", 1000), "a < b & c & テ &bogus; 5 <");
    }

    #[test]
    fn preformatted_text_keeps_its_blanks() {
        assert_eq!(to_text("x<pre>a   b\n  c</pre>", 1000), "x\na   b\n  c");
    }

    proptest! {
        #[test]
        fn any_text_converts_and_never_grows_past_the_limit(html in "[<>&;/a-z#!テ\n -]{0,200}") {
            prop_assert!(to_text(&html, 50).len() <= 54);
        }
    }
}
