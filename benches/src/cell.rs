//! One figure with its bar: one JSON line.

use serde::Serialize;
use serde_json::{Map, Value};

/// What was measured in one cell of a bench.
#[derive(Debug, Serialize)]
pub struct Cell {
    bench: &'static str,
    cell: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    figures: Map<String, Value>,
    /// The lowest ratio that passes; `null` for a cell that only informs.
    bar: Option<f64>,
    ratio: Option<f64>,
    ok: bool,
}

impl Cell {
    /// A cell without figures, which cannot fail.
    pub fn new(bench: &'static str, cell: impl Into<String>) -> Self {
        Self { bench, cell: cell.into(), store: None, figures: Map::new(), bar: None, ratio: None, ok: true }
    }

    /// Names the store it was measured on.
    pub fn store(mut self, store: &'static str) -> Self {
        self.store = Some(store);
        self
    }

    /// Adds a figure, rounded to significant digits.
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), rounded(value).into());
        self
    }

    /// Adds a text.
    pub fn word(mut self, name: &str, value: &str) -> Self {
        self.figures.insert(name.to_owned(), value.into());
        self
    }

    /// A ratio that only informs.
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = Some(rounded(ratio));
        self
    }

    /// A ratio that must reach `bar`.
    pub fn against(self, bar: f64, ratio: f64) -> Self {
        Self { bar: Some(bar), ok: ratio >= bar, ..self.ratio(ratio) }
    }
}

/// Four digits that count.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// Prints cells, and remembers whether one was below its bar.
#[derive(Debug, Default)]
pub struct Report {
    below: usize,
}

impl Report {
    /// Prints a cell.
    #[expect(clippy::print_stdout, reason = "the lines are what the program is for")]
    pub fn tell(&mut self, cell: &Cell) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(cell)?);
        self.below += usize::from(!cell.ok);
        Ok(())
    }

    /// Cells below their bar.
    pub const fn below(&self) -> usize {
        self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_below_its_bar_when_its_ratio_is() {
        assert!(Cell::new("b", "c").against(0.9, 0.9).ok);
        assert!(!Cell::new("b", "c").against(0.9, 0.899).ok);
        assert!(Cell::new("b", "c").ratio(0.1).ok, "without a bar it only informs");
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!([12_345.678, 0.012_345, 0.0, 1.0].map(rounded), [12_350.0, 0.012_35, 0.0, 1.0]);
    }
}
