// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Objects, both answers, and the tables.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use veristable_corpus::{Manifest, cache};
use veristable_kernel::{Kernel as _, Profile};
use veristable_object::{LinkOptions, Object};
use veristable_program::{LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Options, Outcome, verify};

use super::prevail::{Answer, Said};
use super::{Args, OneArgs};
use crate::bench::kernel::stay_on;

/// A program that both accept.
struct Timed {
    id: String,
    ours: Duration,
    theirs: Duration,
}

impl Timed {
    /// How many times as long `prevail` takes.
    fn faster(&self) -> f64 {
        self.theirs.as_secs_f64() / self.ours.as_secs_f64()
    }
}

/// What became of a set.
#[derive(Default)]
struct Results {
    timed: Vec<Timed>,
    /// Programs by what both say.
    verdicts: BTreeMap<String, usize>,
}

/// Runs the task.
pub(super) fn run(args: &Args) -> Result<()> {
    stay_on(args.core)?;
    let kernel = veristable_profiles::open(&args.kernel)?;
    let (mut rows, mut notes) = (String::new(), String::new());
    for set in &args.sets {
        let mut results = Results::default();
        measure(set, &kernel, args, &mut results)?;
        rows += &results.row(set);
        notes += &format!("\n{set}:\n{}", results.notes(args.details));
    }
    println!("| set | programs both accept | ours | prevail's | total | geometric mean | least |");
    println!("|---|---|---|---|---|---|---|");
    print!("{rows}{notes}");
    Ok(())
}

/// The objects of a set, or the object of that path.
fn objects(set: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(set);
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let dir = cache::set_dir(set)?;
    Ok(Manifest::read(&dir)?.files(&dir))
}

fn measure(set: &str, kernel: &Profile, args: &Args, results: &mut Results) -> Result<()> {
    let mut count = 0;
    for path in objects(set)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).with_context(|| name.clone())?;
        let Ok(object) = Object::parse(&bytes, &name) else { continue };
        for (info, request) in object.link(kernel, &LinkOptions::default()).programs {
            let id = format!("{name}:{}", info.name);
            if args.case.as_ref().is_some_and(|part| !id.contains(part.as_str())) {
                continue;
            }
            let Ok(request) = request else {
                results.count("we cannot link it");
                continue;
            };
            if args.limit.is_some_and(|limit| count >= limit) {
                return Ok(());
            }
            count += 1;
            let one = OneArgs {
                object: path.clone(),
                section: info.section.to_string(),
                function: info.name.to_string(),
                rounds: args.rounds,
            };
            results.add(id, &request, kernel, &one, Duration::from_secs(args.timeout))?;
            eprint!("\r{set}: {count}");
        }
    }
    eprintln!();
    if count == 0 {
        bail!("{set}: no programs");
    }
    Ok(())
}

impl Results {
    fn count(&mut self, what: impl Into<String>) {
        *self.verdicts.entry(what.into()).or_default() += 1;
    }

    /// Asks both sides about a program.
    fn add(
        &mut self,
        id: String,
        request: &LoadRequest,
        kernel: &Profile,
        one: &OneArgs,
        timeout: Duration,
    ) -> Result<()> {
        let (outcome, ours) = ours(request, kernel, one.rounds);
        let we = match outcome {
            Outcome::Accepted(_) => "we accept",
            Outcome::Rejected(_) => "we refuse",
            Outcome::Unsupported(_) | Outcome::UnknownFact(_) | Outcome::Aborted(_) => {
                "we do not know"
            }
        };
        let (they, time) = match theirs(one, timeout)? {
            Peer::Answered(Answer { said: Said::Accepted, time }) => ("accepts", Some(time)),
            Peer::Answered(Answer { said: Said::Refused, .. }) => ("refuses", None),
            Peer::Answered(Answer { said: Said::NotUnderstood(_), .. }) => {
                ("does not understand it", None)
            }
            Peer::Late => ("takes too long", None),
            Peer::Failed => ("fails", None),
        };
        self.count(format!("{we}, prevail {they}"));
        if let Some(theirs) = time
            && we == "we accept"
        {
            self.timed.push(Timed { id, ours, theirs });
        }
        Ok(())
    }

    /// The row of the table; sorts the programs.
    fn row(&mut self, set: &str) -> String {
        let ours: Duration = self.timed.iter().map(|t| t.ours).sum();
        let theirs: Duration = self.timed.iter().map(|t| t.theirs).sum();
        self.timed.sort_by(|a, b| a.faster().total_cmp(&b.faster()));
        match self.timed.first() {
            None => format!("| {set} | 0 | | | | | |\n"),
            Some(least) => format!(
                "| {set} | {} | {ours:.1?} | {theirs:.1?} | {:.1} | {:.1} | {:.1} |\n",
                self.timed.len(),
                theirs.as_secs_f64() / ours.as_secs_f64(),
                geometric_mean(self.timed.iter().map(Timed::faster)),
                least.faster(),
            ),
        }
    }

    /// How many programs got which verdicts, and with `details` every program that both accept.
    fn notes(&self, details: bool) -> String {
        let mut text = String::new();
        for (what, count) in &self.verdicts {
            text += &format!("  {count:>6}  {what}\n");
        }
        for t in self.timed.iter().filter(|_| details) {
            let (faster, ours, theirs) = (t.faster(), t.ours, t.theirs);
            text += &format!("{faster:8.1}  {ours:>10.1?}  {theirs:>10.1?}  {}\n", t.id);
        }
        text
    }
}

fn geometric_mean(ratios: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = ratios.len() as f64;
    (ratios.map(f64::ln).sum::<f64>() / count).exp()
}

/// Our answer, and the shortest time of all rounds.
fn ours(request: &LoadRequest, kernel: &Profile, rounds: u32) -> (Outcome, Duration) {
    let once = || {
        let log = LogRequest { level: 4, size: 1 << 20 };
        let mut log = KernelLog::new(log, Dialect::of(kernel.design()));
        let started = Instant::now();
        let outcome = verify(request, kernel, &Options::default(), &mut log);
        (outcome, started.elapsed())
    };
    let (outcome, mut best) = once();
    for _ in 1..rounds {
        best = best.min(once().1);
    }
    (outcome, best)
}

/// What became of the other process.
enum Peer {
    Answered(Answer),
    /// It was killed.
    Late,
    /// It ended without an answer.
    Failed,
}

/// The answer of `prevail`, from a process of its own.
fn theirs(one: &OneArgs, timeout: Duration) -> Result<Peer> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["bench", "peer", "--rounds", &one.rounds.to_string(), "--"])
        .arg(&one.object)
        .args([&one.section, &one.function])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + timeout * one.rounds.max(1);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Peer::Late);
        }
        // It shares the processor with us.
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut text)?;
    }
    let answer = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Ok(match answer {
        Some(answer) if status.success() => Peer::Answered(answer),
        _ => Peer::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric() {
        assert!((geometric_mean([2.0, 8.0].into_iter()) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn rows_name_the_least_ratio_and_all_verdicts() {
        let timed = |ours, theirs| Timed {
            id: "f:p".into(),
            ours: Duration::from_micros(ours),
            theirs: Duration::from_micros(theirs),
        };
        let mut results =
            Results { timed: vec![timed(10, 900), timed(10, 100)], ..Results::default() };
        results.count("we accept, prevail accepts");
        results.count("we accept, prevail accepts");
        assert_eq!(results.row("set"), "| set | 2 | 20.0µs | 1.0ms | 50.0 | 30.0 | 10.0 |\n");
        assert_eq!(results.notes(false), "       2  we accept, prevail accepts\n");
        assert_eq!(results.notes(true).lines().count(), 3);
    }
}
