//! The picture: two charts, one above the other, written by hand.

use std::fmt::Write as _;

use super::{HALVED, LOAD, LOADS, RECOVERY, SETTLED, Shown};
use crate::overload::world::{CAPACITY, Seen};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 680.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 700.0;

/// With the limit and without: the name, the colour and the dashes of a line.
const LINES: [(&str, &str, &str); 2] =
    [("with the limit", "#1f6fb2", "none"), ("without", "#c2452d", "6 4")];

pub(super) fn draw(shown: &Shown) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">"##
    );
    let title =
        "Goodput of a server under overload, with an adaptive concurrency limit and without";
    let _ = writeln!(svg, "<title>{title}</title>");
    let _ = writeln!(svg, r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>"##);
    let most = LOADS.iter().copied().fold(0.0, f64::max);
    let curve = Chart {
        top: 50.0,
        title: format!("Offered more than it can do ({CAPACITY:.0} calls a second)"),
        across: "offered load, as a multiple of the capacity",
        until: most,
        ticks: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0],
    };
    curve.frame(&mut svg);
    for (index, _) in LINES.iter().enumerate() {
        let of = |(load, both): &(f64, [Seen; 2])| (*load, both[index].goodput(SETTLED));
        curve.line(&mut svg, index, &shown.loads.iter().map(of).collect::<Vec<_>>());
    }
    let recovery = Chart {
        top: 390.0,
        title: format!("Half of the capacity lost for ten seconds, at {LOAD} times the capacity"),
        across: "seconds",
        until: RECOVERY as f64,
        ticks: vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0],
    };
    recovery.shade(&mut svg, HALVED.0 as f64, HALVED.1 as f64);
    recovery.frame(&mut svg);
    for (index, seen) in shown.recovery.iter().enumerate() {
        // What was seen in a second stands in its middle.
        let of = |(second, &good): (usize, &u32)| (second as f64 + 0.5, f64::from(good));
        recovery.line(&mut svg, index, &seen.good.iter().enumerate().map(of).collect::<Vec<_>>());
    }
    svg.push_str("</svg>\n");
    svg
}

/// One chart, of goodput over something.
struct Chart {
    top: f64,
    title: String,
    across: &'static str,
    until: f64,
    ticks: Vec<f64>,
}

impl Chart {
    const TALL: f64 = 220.0;
    const MOST: f64 = 1100.0;

    fn x(&self, value: f64) -> f64 {
        LEFT + value / self.until * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + Self::TALL * (1.0 - value / Self::MOST)
    }

    /// Titles, axes, grid and legend.
    fn frame(&self, svg: &mut String) {
        let (top, bottom) = (self.top, self.top + Self::TALL);
        let (title, across) = (&self.title, self.across);
        let middle = (LEFT + RIGHT) / 2.0;
        let _ = writeln!(
            svg,
            r#"<text x="{LEFT}" y="{:.0}" font-size="15" font-weight="bold">{title}</text>"#,
            top - 24.0
        );
        for value in [0.0, 250.0, 500.0, 750.0, 1000.0] {
            let y = self.y(value);
            let _ = writeln!(
                svg,
                r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#ddd"/><text x="{:.0}" y="{:.1}" text-anchor="end">{value}</text>"##,
                LEFT - 8.0,
                y + 4.5
            );
        }
        for &tick in &self.ticks {
            let x = self.x(tick);
            let _ = writeln!(
                svg,
                r##"<path d="M{x:.1} {bottom}v5" stroke="#222"/><text x="{x:.1}" y="{:.0}" text-anchor="middle">{tick}</text>"##,
                bottom + 20.0
            );
        }
        let _ = writeln!(
            svg,
            r##"<path d="M{LEFT} {top}V{bottom}H{RIGHT}" fill="none" stroke="#222"/>"##
        );
        let _ = writeln!(
            svg,
            r#"<text x="{middle}" y="{:.0}" text-anchor="middle">{across}</text>"#,
            bottom + 40.0
        );
        let (x, y) = (22.0, top + Self::TALL / 2.0);
        let _ = writeln!(
            svg,
            r#"<text x="{x}" y="{y}" text-anchor="middle" transform="rotate(-90 {x} {y})">good answers a second</text>"#
        );
        for (index, (name, colour, dashes)) in LINES.iter().enumerate() {
            let (x, y) = (RIGHT - 250.0 + 150.0 * index as f64, top - 8.0);
            let _ = writeln!(
                svg,
                r#"<path d="M{x} {y}h28" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/><text x="{:.0}" y="{:.1}">{name}</text>"#,
                x + 34.0,
                y + 4.5
            );
        }
    }

    /// When half of the capacity was gone.
    fn shade(&self, svg: &mut String, from: f64, until: f64) {
        let (x, width) = (self.x(from), self.x(until) - self.x(from));
        let top = self.top;
        let _ = writeln!(
            svg,
            r##"<rect x="{x:.1}" y="{top}" width="{width:.1}" height="{}" fill="#f1ead8"/>"##,
            Self::TALL
        );
    }

    fn line(&self, svg: &mut String, index: usize, points: &[(f64, f64)]) {
        let (_, colour, dashes) = LINES[index];
        let points: Vec<_> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y))).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/>"#,
            points.join(" ")
        );
    }
}
