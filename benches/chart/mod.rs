//! Draws a chart of objects per second by concurrency, as a self-contained SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 110.0;
const COLOURS: [&str; 3] = ["#0b6bcb", "#888888", "#d9822b"];

/// A line of the chart: its name, and its points as concurrency and objects per second.
pub struct Series {
    pub name: &'static str,
    pub points: Vec<(usize, f64)>,
}

/// Returns the SVG. The axis of concurrency doubles from 1 to `max`.
pub fn svg(title: &str, max: usize, series: &[Series]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a chart has few pixels")]
    let x = |j: usize| LEFT + (j as f64).log2() / (max as f64).log2() * (WIDTH - LEFT - RIGHT);
    let most = series
        .iter()
        .flat_map(|series| &series.points)
        .map(|point| point.1)
        .fold(1.0, f64::max);
    let step = nice_step(most / 5.0);
    let top = (most / step).ceil() * step;
    let y = |rate: f64| HEIGHT - BOTTOM - rate / top * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\">{title}</text>\n"
    );
    let mut rate = 0.0;
    while rate <= top {
        let (y, right) = (y(rate), WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{rate:.0}</text>",
            LEFT - 6.0,
            y + 4.0
        );
        rate += step;
    }
    let mut j = 1;
    while j <= max {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{j}</text>",
            x(j),
            HEIGHT - BOTTOM + 18.0
        );
        j *= 2;
    }
    for (series, colour) in series.iter().zip(COLOURS) {
        let points: Vec<_> = series
            .points
            .iter()
            .map(|&(j, rate)| format!("{:.1},{:.1}", x(j), y(rate)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        if let Some(&(j, rate)) = series.points.last() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                x(j) + 8.0,
                y(rate) + 4.0,
                series.name
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least)
        .unwrap_or(least)
}
