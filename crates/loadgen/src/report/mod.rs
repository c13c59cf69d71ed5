//! What a run found: a table and a plot for people, and JSON for machines.

mod budget;
mod json;
mod plot;
mod table;

use std::collections::BTreeMap;

pub use budget::BUDGETS;

use crate::measure::Series;

/// Every figure by its key, in the order in which they were taken.
#[derive(Debug, Default)]
pub struct Report {
    keys: Vec<String>,
    figures: BTreeMap<String, Series>,
    /// Ratios and times whose parts could not be told apart: what was wrong with the measurement itself.
    doubts: Vec<String>,
}

impl Report {
    /// A figure that was taken once for each round; the median counts.
    pub fn series(&mut self, key: impl Into<String>, series: Series) {
        let key = key.into();
        if self.figures.insert(key.clone(), series).is_none() {
            self.keys.push(key);
        }
    }

    /// A figure that was taken once.
    pub fn one(&mut self, key: impl Into<String>, figure: f64) {
        self.series(key, Series(vec![figure]));
    }

    pub fn doubt(&mut self, why: String) {
        self.doubts.push(why);
    }

    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn median(&self, key: &str) -> Option<f64> {
        self.figures.get(key).map(Series::median).filter(|figure| figure.is_finite())
    }
}
