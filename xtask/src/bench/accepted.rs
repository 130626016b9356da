// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench accepted`: the instructions of the fixed set (`bench/`) beside the figures
//! that were accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// What the harness runs benchmarks with; of the same version as the library.
const RUNNER: &str = "gungraun-runner";

/// What differs by less, in percent, is not worth a word.
const TOLERANCE: u64 = 2;

/// Options of `cargo xtask bench accepted`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the figures into the file, so that they are the accepted ones
    #[arg(long)]
    accept: bool,
}

/// What is checked in.
#[derive(PartialEq, Eq, Debug)]
struct Accepted {
    /// What figures depend on: the compiler and the C library, whose allocator is counted.
    made_with: String,
    /// Instructions by program.
    figures: BTreeMap<String, u64>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/accepted.txt");
    let made_with = made_with()?;
    let accepted = match std::fs::read_to_string(&file) {
        Ok(text) => Some(Accepted::parse(&text)?),
        Err(_) if args.accept => None,
        Err(error) => return Err(anyhow!(error).context(file.display().to_string())),
    };
    let other = accepted.as_ref().filter(|accepted| accepted.made_with != made_with);
    let reason = match (other, missing()?) {
        (_, Some(missing)) => Some(missing),
        (Some(other), None) if !args.accept => {
            Some(format!("figures are of {}; this is {made_with}", other.made_with))
        }
        _ => None,
    };
    match reason {
        Some(reason) if args.accept => bail!("{reason}"),
        Some(reason) => {
            println!("SKIPPED: {reason}");
            return Ok(());
        }
        None => {}
    }
    let measured = Accepted { made_with, figures: measure()? };
    // Whatever else was measured with has nothing to say about these.
    let before = accepted.filter(|accepted| accepted.made_with == measured.made_with);
    let lines = compare(before.as_ref().map(|accepted| &accepted.figures), &measured.figures);
    for line in &lines {
        println!("{line}");
    }
    if args.accept {
        std::fs::write(&file, measured.to_string())?;
        println!("written: bench/accepted.txt");
        return Ok(());
    }
    if lines.iter().any(|line| line.change == Change::Less) {
        println!("Less than was accepted: `cargo xtask bench accepted --accept`");
    }
    let wrong: Vec<&str> =
        lines.iter().filter(|line| line.change.is_wrong()).map(|line| line.name).collect();
    if !wrong.is_empty() {
        bail!("not as accepted (docs/performance.md): {}", wrong.join(", "));
    }
    Ok(())
}

/// What measuring needs and this machine lacks.
fn missing() -> Result<Option<String>> {
    if output("valgrind", &["--version"]).is_err() {
        return Ok(Some("no valgrind (package valgrind)".to_owned()));
    }
    // registry+https://…#gungraun@0.20.0
    let id = output("cargo", &["pkgid", "gungraun"])?;
    let version = id.rsplit('@').next().unwrap_or_default();
    let runner = std::env::var("GUNGRAUN_RUNNER").unwrap_or_else(|_| RUNNER.to_owned());
    let found = output(&runner, &["--version"]).unwrap_or_default();
    if found != format!("{RUNNER} {version}") {
        let how = format!("cargo install --locked --debug {RUNNER}@{version}");
        return Ok(Some(format!("no {RUNNER} {version}: `{how}`")));
    }
    Ok(None)
}

/// What figures depend on beside the sources.
fn made_with() -> Result<String> {
    let rustc = output("rustc", &["-vV"])?;
    let field = |name| rustc.lines().find_map(|line: &str| line.strip_prefix(name));
    let host = field("host: ").context("rustc has no host")?;
    let libc = output("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_else(|_| "other libc".to_owned());
    Ok(format!("{}, {host}, {libc}", rustc.lines().next().unwrap_or_default()))
}

/// What a command prints, without white space at the ends.
fn output(command: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(command).args(args).stderr(Stdio::null()).output();
    let out = out.with_context(|| command.to_owned())?;
    if !out.status.success() {
        bail!("{command}: {}", out.status);
    }
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// Runs the harness.
fn measure() -> Result<BTreeMap<String, u64>> {
    let cache = std::env::var_os("VERISTABLE_CACHE").map(PathBuf::from);
    let mut command = Command::new("cargo");
    command.args(["bench", "--quiet", "-p", "veristable-bench", "--bench", "instructions"]);
    command.args(["--", "--output-format=json"]);
    // Relative to here, and not to where the harness runs.
    if let Some(cache) = cache {
        command.env("VERISTABLE_CACHE", std::path::absolute(cache)?);
    }
    let out = command.stderr(Stdio::inherit()).output().context("cargo bench")?;
    if !out.status.success() {
        bail!("cargo bench: {}", out.status);
    }
    let summaries = serde_json::Deserializer::from_slice(&out.stdout).into_iter::<Value>();
    let mut figures = BTreeMap::new();
    for summary in summaries {
        let (name, instructions) = figure(&summary?).context("no figure in a summary")?;
        figures.insert(name, instructions);
    }
    Ok(figures)
}

/// The program and its instructions in a summary of the harness.
fn figure(summary: &Value) -> Option<(String, u64)> {
    let name = summary.get("id")?.as_str()?;
    let profiles = summary.get("profiles")?.as_array()?;
    let is_callgrind =
        |profile: &&Value| profile.get("tool").is_some_and(|tool| tool == "Callgrind");
    let callgrind = profiles.iter().find(is_callgrind)?;
    let instructions = callgrind.pointer("/data/total/metrics/Ir/values/new")?.as_u64()?;
    Some((name.to_owned(), instructions))
}

/// How a program stands beside what was accepted.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Change {
    /// As accepted.
    Same,
    /// Less, by more than [`TOLERANCE`].
    Less,
    /// More, by more than [`TOLERANCE`].
    More,
    /// It has no accepted figure.
    New,
    /// It was not measured.
    Gone,
}

impl Change {
    fn is_wrong(self) -> bool {
        match self {
            Self::Same | Self::Less => false,
            Self::More | Self::New | Self::Gone => true,
        }
    }
}

/// A line of the table.
struct Line<'n> {
    name: &'n str,
    accepted: Option<u64>,
    measured: Option<u64>,
    change: Change,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.change {
            Change::Same => "",
            Change::Less => "  less",
            Change::More => "  MORE",
            Change::New => "  new",
            Change::Gone => "  not measured",
        };
        write!(f, "{:<20}{:>12}", self.name, self.measured.unwrap_or(0))?;
        if let (Some(accepted), Some(measured)) = (self.accepted, self.measured) {
            write!(f, "{:>+9.2} %", percent(accepted, measured))?;
        }
        f.write_str(word)
    }
}

/// By how much the second is more than the first.
#[expect(clippy::cast_precision_loss, reason = "a hundredth of a percent is enough")]
fn percent(accepted: u64, measured: u64) -> f64 {
    (measured as f64 / accepted.max(1) as f64 - 1.0) * 100.0
}

/// Every program of either; without accepted figures all are new.
fn compare<'n>(
    accepted: Option<&'n BTreeMap<String, u64>>,
    measured: &'n BTreeMap<String, u64>,
) -> Vec<Line<'n>> {
    let names = accepted.into_iter().flat_map(BTreeMap::keys).chain(measured.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    let line = |name: &'n String| {
        let before = accepted.and_then(|figures| figures.get(name)).copied();
        let now = measured.get(name).copied();
        let change = match (before, now) {
            (Some(before), Some(now))
                if u128::from(now) * 100 > u128::from(before) * u128::from(100 + TOLERANCE) =>
            {
                Change::More
            }
            (Some(before), Some(now))
                if u128::from(now) * 100 < u128::from(before) * u128::from(100 - TOLERANCE) =>
            {
                Change::Less
            }
            (Some(_), Some(_)) => Change::Same,
            (None, _) => Change::New,
            (Some(_), None) => Change::Gone,
        };
        Line { name, accepted: before, measured: now, change }
    };
    names.into_iter().map(line).collect()
}

/// What the file begins with.
const HEADER: &str = "\
# Instructions that `verify` executes for each program of this crate's set, built with the release
# profile, as callgrind counts them. What is over 2 % above them fails CI: docs/performance.md.
# Written by `cargo xtask bench accepted --accept`.
";

/// What stands before the compiler's name.
const MADE_WITH: &str = "made with: ";

impl Accepted {
    fn parse(text: &str) -> Result<Self> {
        let mut made_with = None;
        let mut figures = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(value) = line.strip_prefix(MADE_WITH) {
                made_with = Some(value.to_owned());
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(name), Some(figure), None) = (words.next(), words.next(), words.next())
            else {
                bail!("accepted.txt: {line:?} is no name with a figure");
            };
            figures.insert(name.to_owned(), figure.parse().with_context(|| line.to_owned())?);
        }
        let made_with = made_with.context("accepted.txt does not say what it was made with")?;
        Ok(Self { made_with, figures })
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        writeln!(f, "{MADE_WITH}{}", self.made_with)?;
        for (name, figure) in &self.figures {
            writeln!(f, "{name:<20}{figure:>12}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
        all.iter().map(|&(name, figure)| (name.to_owned(), figure)).collect()
    }

    fn changes(
        accepted: Option<&BTreeMap<String, u64>>,
        measured: &BTreeMap<String, u64>,
    ) -> Vec<Change> {
        compare(accepted, measured).iter().map(|line| line.change).collect()
    }

    #[test]
    fn more_than_two_percent_is_wrong() {
        let all = ["a", "b", "c", "d"];
        let accepted = figures(&all.map(|name| (name, 10_000)));
        let measured =
            figures(&[("a", 10_200), ("b", 10_201), ("c", 9_800), ("d", 9_799), ("e", 1)]);
        let seen = changes(Some(&accepted), &measured);
        let wanted = [Change::Same, Change::More, Change::Same, Change::Less, Change::New];
        assert_eq!(seen, wanted);
        let wrong: Vec<bool> = seen.iter().map(|change| change.is_wrong()).collect();
        assert_eq!(wrong, [false, true, false, false, true]);
        assert_eq!(changes(Some(&accepted), &figures(&[])), [Change::Gone; 4]);
        assert_eq!(changes(None, &figures(&[("a", 1)])), [Change::New]);
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let accepted = Accepted {
            made_with: "rustc 1.95.0, x86_64, glibc 2.36".to_owned(),
            figures: figures(&[("long_name_of_a_program", 12_345_678), ("short", 1)]),
        };
        assert_eq!(Accepted::parse(&accepted.to_string()).unwrap(), accepted);
        assert!(Accepted::parse("a 1\n").is_err());
        assert!(Accepted::parse("made with: x\na one\n").is_err());
    }
}
