use comfy_table::{CellAlignment, Table, presets};

use super::{BUDGETS, Report};
use crate::report::budget::Bound;

impl Report {
    /// What has a budget, whether it holds; then every figure.
    pub fn table(&self) -> String {
        let mut budgets = plain(["path", "budget", "measured", "spread", ""]);
        budgets.add_rows(self.budgets());
        let mut figures = plain(["figure", "median", "spread"]);
        figures.add_rows(self.figures());
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

    /// The same for a document.
    pub fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = "| path | budget | measured | spread | |\n|---|---|---|---|---|\n".to_owned();
        text.extend(self.budgets().map(|cells| row(&cells)));
        text.push_str("\n| figure | median | spread |\n|---|---|---|\n");
        text.extend(self.figures().map(|[key, median, spread]| row(&[format!("`{key}`"), median, spread])));
        text
    }

    fn budgets(&self) -> impl Iterator<Item = [String; 5]> {
        BUDGETS.into_iter().filter_map(|(key, bound, what)| {
            let figure = self.median(key)?;
            let budget = match bound {
                Bound::AtMost(most) => format!("<= {most}"),
                Bound::AtLeast(least) => format!(">= {least}"),
            };
            let verdict = if bound.holds(figure) { "" } else { "missed" };
            Some([what.to_owned(), budget, number(figure), self.spread(key), verdict.to_owned()])
        })
    }

    fn figures(&self) -> impl Iterator<Item = [String; 3]> {
        self.keys.iter().filter_map(|key| Some([key.clone(), number(self.median(key)?), self.spread(key)]))
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

        let markdown = report.markdown();
        assert!(
            markdown.contains("| a page of 100k, of the same of 1k | <= 1.3 | 1.50 | 1.40 to 1.60 in 3 | missed |"),
            "{markdown}"
        );
        assert!(markdown.contains("| `check_grpc_per_s` | 43210 |  |"), "{markdown}");
    }
}
