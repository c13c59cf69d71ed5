use std::path::Path;

use serde_json::{Map, Value, json};

use super::Report;
use crate::Failure;

impl Report {
    /// The medians under their keys; the spread of those that were taken several times, and every single run, under the same keys
    /// below `spread` and `runs`.
    pub fn json(&self, machine: Value) -> Value {
        let mut document = Map::new();
        let (mut spread, mut runs) = (Map::new(), Map::new());
        for key in &self.keys {
            let Some(median) = self.median(key) else { continue };
            document.insert(key.clone(), rounded(median));
            let series = &self.figures[key];
            if series.0.len() > 1 {
                spread.insert(key.clone(), json!([rounded(series.least()), rounded(series.most())]));
                runs.insert(key.clone(), series.0.iter().map(|figure| rounded(*figure)).collect());
            }
        }
        document.insert("spread".to_owned(), Value::Object(spread));
        document.insert("runs".to_owned(), Value::Object(runs));
        document.insert("machine".to_owned(), machine);
        document.insert("doubts".to_owned(), json!(self.doubts));
        Value::Object(document)
    }

    /// Both, each whole or not at all: the JSON there, and beside it the tables as Markdown.
    pub fn write(&self, path: &Path, machine: Value) -> Result<(), Failure> {
        replace(path, &format!("{:#}\n", self.json(machine)))?;
        replace(&path.with_extension("md"), &self.markdown())
    }
}

fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let unwritable = |source| Failure::Unwritable { path: path.to_owned(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).map_err(unwritable)
}

/// Four digits: more were never measured.
fn rounded(figure: f64) -> Value {
    if figure == 0.0 || !figure.is_finite() {
        return json!(0);
    }
    let scale = 10_f64.powi(3 - figure.abs().log10().floor() as i32);
    json!((figure * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Series;

    #[test]
    fn a_key_holds_the_median_and_its_spread_stands_beside() {
        let mut report = Report::default();
        report.series("list_growth", Series(vec![1.2, 1.0, 1.123_45]));
        report.one("ready_ms", 123.456);
        report.series("never_measured", Series::default());
        let json = report.json(json!({"cores": 2}));
        assert_eq!(json["list_growth"], 1.123);
        assert_eq!(json["spread"]["list_growth"], json!([1.0, 1.2]));
        assert_eq!(json["runs"]["list_growth"], json!([1.2, 1.0, 1.123]));
        assert_eq!(json["ready_ms"], 123.5);
        assert_eq!(json["machine"]["cores"], 2);
        assert!(json.get("never_measured").is_none() && json["spread"].get("ready_ms").is_none());
    }

    #[test]
    fn every_figure_of_the_budgets_has_its_key_at_the_top() {
        let mut report = Report::default();
        for (key, ..) in super::super::BUDGETS {
            report.one(key, 0.5);
        }
        let json = report.json(Value::Null);
        let keys = [
            "check_in_process_p50_ns",
            "check_in_process_p99_ns",
            "check_grpc_of_floor",
            "batch_check_speedup",
            "visibility_p99_ms",
            "mint_of_floor",
            "refresh_of_transaction",
            "forward_of_direct",
            "get_of_select",
            "list_growth",
            "idle_rss_mb",
            "ready_ms",
        ];
        for key in keys {
            assert_eq!(json[key], 0.5, "{key}");
        }
    }

    #[test]
    fn a_file_is_written_whole() {
        let folder = std::env::temp_dir().join(format!("guildhall-loadgen-{}", std::process::id()));
        let path = folder.join("deep/bench.json");
        let mut report = Report::default();
        report.one("ready_ms", 1.0);
        report.write(&path, Value::Null).unwrap();
        let read: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read["ready_ms"], 1.0);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
