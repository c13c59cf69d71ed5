use comfy_table::{CellAlignment, Table, presets};

use super::{BUDGETS, Report};
use crate::report::budget::Bound;

impl Report {
    /// What has a budget, whether it holds; then every figure.
    pub fn table(&self) -> String {
        let mut budgets = plain(["path", "budget", "measured", "spread", ""]);
        for (key, bound, what) in BUDGETS {
            let Some(figure) = self.median(key) else { continue };
            let budget = match bound {
                Bound::AtMost(most) => format!("<= {most}"),
                Bound::AtLeast(least) => format!(">= {least}"),
            };
            let verdict = if bound.holds(figure) { "" } else { "missed" };
            budgets.add_row([what.to_owned(), budget, number(figure), self.spread(key), verdict.to_owned()]);
        }
        let mut figures = plain(["figure", "median", "spread"]);
        for key in &self.keys {
            if let Some(figure) = self.median(key) {
                figures.add_row([key.clone(), number(figure), self.spread(key)]);
            }
        }
        let mut text = String::new();
        for table in [budgets, figures].iter().filter(|table| table.row_iter().next().is_some()) {
            for line in table.lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
            text.push('\n');
        }
        text
    }

    fn spread(&self, key: &str) -> String {
        match self.figures.get(key) {
            Some(series) if series.0.len() > 1 => {
                format!("{} to {} in {}", number(series.least()), number(series.most()), series.0.len())
            }
            _ => String::new(),
        }
    }
}

fn plain<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Three digits, for whoever reads.
fn number(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        middling if middling >= 10.0 => format!("{figure:.1}"),
        middling if middling >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Series;

    #[test]
    fn a_missed_budget_is_told() {
        let mut report = Report::default();
        report.series("list_growth", Series(vec![1.4, 1.5, 1.6]));
        report.one("ready_ms", 80.0);
        report.one("check_grpc_per_s", 43_210.0);
        let table = report.table();
        let line = |word: &str| table.lines().find(|line| line.contains(word)).unwrap().to_owned();
        assert!(line("a page of 100k").contains("missed"), "{table}");
        assert!(line("a page of 100k").contains("1.40 to 1.60 in 3"), "{table}");
        assert!(!line("from start to ready").contains("missed"), "{table}");
        assert!(line("check_grpc_per_s").contains("43210"), "{table}");
    }
}
