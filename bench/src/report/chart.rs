//! Charts.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Report, markdown};
use crate::peers::{Info, Kind};
use crate::scenarios::Scenario;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

const PANELS: &[(&str, Scenario)] = &[
    ("One call after another, calls/s", Scenario::Calls { in_flight: 1 }),
    ("64 calls in flight, calls/s", Scenario::Calls { in_flight: 64 }),
    ("1 KB structure echoed, 64 in flight, calls/s", Scenario::Records),
    ("Callbacks, 64 in flight, calls/s", Scenario::Callbacks { in_flight: 64 }),
];

const BAR: i32 = 22;
const HEAD: i32 = 40;
const WIDTH: i32 = 420;
/// Where the bars begin, and how long the longest is.
const LEFT: i32 = 140;
const LONGEST: i32 = 205;
const INK: RGBColor = RGBColor(40, 44, 52);

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Floor => RGBColor(170, 174, 182),
        Kind::Ours => RGBColor(214, 84, 36),
        Kind::Json => RGBColor(66, 122, 179),
        Kind::Binary => RGBColor(120, 160, 110),
        Kind::JavaScript => RGBColor(196, 164, 52),
    }
}

/// Bars: how many calls a second there are with each peer.
///
/// # Errors
///
/// If the file cannot be written.
pub fn throughput(report: &Report, path: &Path) -> Drawn {
    let scenarios: Vec<Scenario> = PANELS.iter().map(|panel| panel.1).collect();
    let mut peers = report.peers(&scenarios);
    peers.retain(|peer| peer.kind != Kind::Ours || peer.id == "capnode");
    let height = HEAD + BAR * peers.len() as i32 + 16;
    let rows = PANELS.len().div_ceil(2);
    let size = (2 * WIDTH as u32, height as u32 * rows as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for ((title, scenario), area) in PANELS.iter().zip(root.split_evenly((rows, 2))) {
        panel(report, title, *scenario, &peers, &area)?;
    }
    root.present()?;
    Ok(())
}

fn panel(
    report: &Report,
    title: &str,
    scenario: Scenario,
    peers: &[&'static Info],
    area: &Area<'_>,
) -> Drawn {
    let text = |size: i32, horizontal| {
        ("sans-serif", size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Center))
    };
    area.draw(&Text::new(title.to_owned(), (12, HEAD / 2), text(15, HPos::Left)))?;
    let outcomes = || peers.iter().filter_map(|peer| report.outcome(scenario, peer.id));
    let most = outcomes().map(|outcome| outcome.median).fold(0.0, f64::max);
    for (row, peer) in peers.iter().enumerate() {
        let top = HEAD + BAR * row as i32;
        let middle = top + BAR / 2;
        area.draw(&Text::new(peer.label.to_owned(), (LEFT - 8, middle), text(12, HPos::Right)))?;
        let Some(outcome) = report.outcome(scenario, peer.id) else {
            area.draw(&Text::new("–".to_owned(), (LEFT + 4, middle), text(12, HPos::Left)))?;
            continue;
        };
        let at = |value: f64| LEFT + (value / most * f64::from(LONGEST)).round() as i32;
        let end = at(outcome.median);
        let bar = [(LEFT, top + 3), (end.max(LEFT + 1), top + BAR - 3)];
        area.draw(&Rectangle::new(bar, colour(peer.kind).filled()))?;
        // From the least to the most of the repetitions.
        let spread = [(at(outcome.least), middle), (at(outcome.most).min(LEFT + LONGEST + 20), middle)];
        area.draw(&PathElement::new(spread, INK.mix(0.5).stroke_width(1)))?;
        let shown = markdown::number(outcome.median);
        area.draw(&Text::new(shown, (spread[1].0.max(end) + 6, middle), text(12, HPos::Left)))?;
    }
    Ok(())
}

/// Lines: how long a call takes as things grow. Nothing is drawn if nothing grew.
///
/// # Errors
///
/// If the file cannot be written.
pub fn growth(report: &Report, path: &Path) -> Drawn {
    let size = |scenario| match scenario {
        Scenario::Held { objects } => Some((0, f64::from(objects))),
        Scenario::Connections { count } => Some((1, f64::from(count))),
        _ => None,
    };
    let points: Vec<(usize, f64, &super::Outcome)> = report
        .results
        .iter()
        .filter_map(|outcome| size(outcome.scenario).map(|(panel, size)| (panel, size, outcome)))
        .collect();
    if points.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::new(path, (2 * WIDTH as u32, 300)).into_drawing_area();
    root.fill(&WHITE)?;
    let titles = ["µs a call, with so many references held", "µs a call, with so many connections open"];
    for (panel, (title, area)) in titles.into_iter().zip(root.split_evenly((1, 2))).enumerate() {
        let points: Vec<_> = points.iter().filter(|point| point.0 == panel).collect();
        let most = points.iter().map(|point| point.2.median).fold(1.0, f64::max);
        let last = points.iter().map(|point| point.1).fold(10.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 15))
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(40)
            .build_cartesian_2d((1.0..last * 2.0).log_scale(), 0.0..most * 1.2)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
        for peer in crate::peers::ALL {
            let line: Vec<(f64, f64)> = points
                .iter()
                .filter(|point| point.2.peer.id == peer.id)
                .map(|point| (point.1, point.2.median))
                .collect();
            let Some(end) = line.last().copied() else { continue };
            let style = colour(peer.kind).stroke_width(2);
            chart.draw_series(LineSeries::new(line.clone(), style))?;
            chart.draw_series(line.into_iter().map(|at| Circle::new(at, 3, colour(peer.kind).filled())))?;
            let label = ("sans-serif", 11).into_font().color(&INK).pos(Pos::new(HPos::Right, VPos::Bottom));
            chart.draw_series(std::iter::once(Text::new(peer.label, end, label)))?;
        }
    }
    root.present()?;
    Ok(())
}
