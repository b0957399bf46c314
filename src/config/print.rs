//! The settings that hold, as TOML, with where each came from.

use super::KeyPath;
use super::tree::{Node, Table, Value};
use std::fmt::Write as _;

/// A key as TOML wants it: bare where it can be.
pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}

/// The whole tree. `origins` adds to each line where it was written.
pub(super) fn tree(root: &Node, origins: bool) -> String {
    let mut page = Page { text: String::new(), origins };
    if let Value::Table(table) = &root.value {
        page.section(&KeyPath::default(), table);
    }
    page.text.trim_start().to_owned()
}

struct Page {
    text: String,
    origins: bool,
}

impl Page {
    /// A section: its own lines, then the sections and lists of sections below it.
    fn section(&mut self, path: &KeyPath, table: &Table) {
        let is_line = |node: &Node| !matches!(node.value, Value::Table(_)) && !is_sections(&node.value);
        let (lines, sections): (Vec<_>, Vec<_>) = table.iter().partition(|(_, node)| is_line(node));
        if !lines.is_empty() && !path.is_root() {
            self.line(&format!("\n[{path}]"), None);
        }
        lines.into_iter().for_each(|(name, node)| self.setting(name, node));
        for (name, node) in sections {
            let below = path.key(name);
            match &node.value {
                Value::Table(section) => self.section(&below, section),
                Value::List(list) => list.iter().for_each(|item| self.item(&below, item)),
                _ => {}
            }
        }
    }

    /// One section of a list; what is nested deeper stands in its line.
    fn item(&mut self, path: &KeyPath, item: &Node) {
        if let Value::Table(table) = &item.value {
            self.line(&format!("\n[[{path}]]"), None);
            table.iter().for_each(|(name, node)| self.setting(name, node));
        }
    }

    fn setting(&mut self, name: &str, node: &Node) {
        self.line(&format!("{} = {}", key(name), node.value), Some(node));
    }

    fn line(&mut self, line: &str, node: Option<&Node>) {
        self.text.push_str(line);
        if let Some(node) = node.filter(|_| self.origins) {
            write!(self.text, "  # {}", node.origin).unwrap_or_default();
        }
        self.text.push('\n');
    }
}

/// Whether `value` is a list of sections, `[[…]]`.
fn is_sections(value: &Value) -> bool {
    let Value::List(list) = value else { return false };
    !list.is_empty() && list.iter().all(|node| matches!(node.value, Value::Table(_)))
}
