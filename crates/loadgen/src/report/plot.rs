//! Times against rates: how long callers wait who do not wait for each other, the more of them there are.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Report;
use crate::Failure;

const SIZE: (u32, u32) = (760, 460);
/// What is drawn: a path's key, the rate's key where it has one of its own, and its colour.
const PATHS: [(&str, &str, RGBColor); 2] =
    [("check_grpc", "Check", RGBColor(32, 96, 176)), ("empty_rpc", "an empty RPC", RGBColor(128, 128, 128))];
const SHARES: [&str; 4] = ["25", "50", "75", "90"];
const QUANTILES: [&str; 3] = ["p50", "p99", "p999"];

type Curve = Vec<(f64, f64)>;

impl Report {
    /// An SVG, where the run timed what is drawn. Whether there was something to draw.
    pub fn plot(&self, file: &Path) -> Result<bool, Failure> {
        let mut curves = Vec::new();
        for (key, name, colour) in PATHS {
            for quantile in QUANTILES {
                let curve = self.curve(key, quantile);
                if curve.len() > 1 {
                    curves.push((format!("{name}, {quantile}"), quantile, colour, curve));
                }
            }
        }
        if curves.is_empty() {
            return Ok(false);
        }
        draw(file, curves)
            .map_err(|error| Failure::Unmeasurable(format!("cannot draw {}: {error}", file.display())))?;
        Ok(true)
    }

    /// Milliseconds by thousands of calls a second. The floor is timed at the rates of what stands on it.
    fn curve(&self, key: &str, quantile: &str) -> Curve {
        let point = |share: &&str| {
            let per_s = self.median(&format!("check_grpc_at_{share}_percent_per_s"))?;
            let us = self.median(&format!("{key}_at_{share}_percent_{quantile}_us"))?;
            Some((per_s / 1e3, us / 1e3))
        };
        SHARES.iter().filter_map(point).collect()
    }
}

fn draw(file: &Path, curves: Vec<(String, &str, RGBColor, Curve)>) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|(.., curve)| curve);
    let most = points().map(|point| point.0).fold(0.0, f64::max);
    let (least_ms, most_ms) = points().map(|point| point.1).fold((f64::MAX, 0.0), |(a, b), ms| (ms.min(a), ms.max(b)));
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most * 1.05, (least_ms / 2.0..most_ms * 2.0).log_scale())?;
    chart.configure_mesh().x_desc("thousand calls a second").y_desc("milliseconds").light_line_style(WHITE).draw()?;
    for (name, quantile, colour, curve) in curves {
        let width = if quantile == "p50" { 3 } else { 1 };
        let style = colour.stroke_width(width);
        let dots =
            curve.iter().map(|point| Circle::new(*point, if quantile == "p999" { 4 } else { 2 }, style.filled()));
        chart.draw_series(dots)?;
        chart
            .draw_series(LineSeries::new(curve.iter().copied(), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_timed_is_drawn_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bench.svg");
        let mut report = Report::default();
        assert!(!report.plot(&file).unwrap() && !file.exists());
        for (n, share) in SHARES.iter().enumerate() {
            report.one(format!("check_grpc_at_{share}_percent_per_s"), 1e4 * (n + 1) as f64);
            report.one(format!("check_grpc_at_{share}_percent_p50_us"), 200.0 * (n + 1) as f64);
        }
        assert!(report.plot(&file).unwrap());
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.contains("<polyline") && svg.contains("Check, p50") && !svg.contains("p99"), "{svg}");
    }
}
