// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! How time grows with size: the [families](super::families) on both sides, and the exponents of
//! their growth.

use std::time::Duration;

use anyhow::Result;
use veristable_agreement::Case;

use super::families::{FAMILIES, Family};
use super::kernel::{Sides, Timed};

/// Shorter times say more about the clock (the kernel counts whole microseconds) and about what
/// every load costs than about the program.
const LEAST: Duration = Duration::from_micros(200);
/// A family grows no more when a program took one side so long.
const LONG: Duration = Duration::from_secs(2);
/// Sizes that a line is fitted to at least.
const ENOUGH: usize = 3;

/// One size of a family.
struct Point {
    size: u32,
    slots: usize,
    timed: Timed,
}

/// Times the families whose name contains `part` and prints a table; with `details` every size.
pub(super) fn run(sides: &mut Sides<'_>, part: Option<&str>, details: bool) -> Result<()> {
    println!("| family | sizes | largest | ours | theirs | ratio | our growth | their growth |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut listing = String::new();
    for family in FAMILIES.into_iter().filter(|f| part.is_none_or(|part| f.name.contains(part))) {
        let points = time(family, sides)?;
        println!("{}", row(family.name, &points));
        for Point { size, slots, timed } in &points {
            listing += &format!(
                "{:<12} {size:>6} {slots:>8} slots {:>8} simulated {:>10.1?} {:>10.1?} {:6.2}\n",
                family.name,
                timed.processed,
                timed.ours,
                timed.theirs,
                timed.ratio(),
            );
        }
    }
    if details {
        print!("{listing}");
    }
    Ok(())
}

fn time(family: Family, sides: &mut Sides<'_>) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for size in family.sizes() {
        let request = family.request(size)?;
        let slots = request.insns.len();
        let case = Case { id: family.id(size), request };
        let timed = sides.time(std::slice::from_ref(&case))?.pop().filter(|timed| timed.accepted);
        let Some(timed) = timed else {
            eprintln!("{}: not accepted on both sides; larger ones are left out", case.id);
            break;
        };
        let long = timed.ours.max(timed.theirs) > LONG;
        points.push(Point { size, slots, timed });
        if long {
            break;
        }
    }
    Ok(points)
}

/// A row of the table.
fn row(name: &str, points: &[Point]) -> String {
    let Some(last) = points.last() else { return format!("| {name} | 0 | | | | | | |") };
    let (ours, theirs) = (&last.timed.ours, &last.timed.theirs);
    let fitted: Vec<&Point> =
        points.iter().filter(|p| p.timed.ours.min(p.timed.theirs) >= LEAST).collect();
    let growth = |time: fn(&Timed) -> Duration| {
        let points: Vec<(f64, f64)> =
            fitted.iter().map(|p| (f64::from(p.size), time(&p.timed).as_secs_f64())).collect();
        exponent(&points).map_or_else(|| "too few".to_owned(), |exponent| format!("{exponent:.2}"))
    };
    format!(
        "| {name} | {} | {} | {ours:.1?} | {theirs:.1?} | {:.2} | {} | {} |",
        fitted.len(),
        last.size,
        last.timed.ratio(),
        growth(|timed| timed.ours),
        growth(|timed| timed.theirs),
    )
}

/// The slope of the straight line through the logarithms of both coordinates, by least squares;
/// nothing for few points or such that no line goes through.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < ENOUGH {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let variance: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = covariance / variance;
    slope.is_finite().then_some(slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(time: impl Fn(f64) -> f64) -> Option<f64> {
        let sizes = [128.0, 256.0, 512.0, 1024.0];
        exponent(&sizes.map(|size| (size, time(size))))
    }

    #[test]
    fn exponents_are_those_of_powers() {
        for power in [0.0, 1.0, 1.5, 2.0] {
            let slope = fitted(|size| 3e-6 * size.powf(power)).unwrap();
            assert!((slope - power).abs() < 1e-9, "{power}: {slope}");
        }
        // A disturbance moves it a little.
        let slope = fitted(|size| if size == 512.0 { 1.1 * size } else { size }).unwrap();
        assert!((0.9..1.1).contains(&slope), "{slope}");
    }

    #[test]
    fn nothing_is_fitted_to_too_little() {
        assert_eq!(exponent(&[]), None);
        assert_eq!(exponent(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(exponent(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(fitted(|_| 0.0), None);
    }
}
