// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Many objects: a child process for each, and the table.

use super::CompareArgs;
use super::compare::Report;
use super::live::Files;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An object and what was found.
struct Outcome {
    file: PathBuf,
    /// `Err`: the child failed or took too long.
    report: Result<Report, String>,
}

/// Compares all objects.
pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    let mut sets = Vec::new();
    for path in &args.paths {
        let mut files = Vec::new();
        collect(path, &mut files)?;
        files.sort();
        if files.is_empty() {
            bail!("{}: there are no objects", path.display());
        }
        sets.push((set_name(path), files));
    }
    let mut page = String::new();
    for (name, files) in sets {
        let outcomes = compare_all(&files, args)?;
        let text = render(&name, &outcomes, args.verbose);
        print!("{text}");
        page.push_str(&render(&name, &outcomes, true));
    }
    if let Some(path) = &args.page {
        let modules: Vec<&str> = args.files.modules.iter().map(|(name, _)| &**name).collect();
        let head = format!(
            "# Agreement of linking with libbpf\n\nMade by `cargo run --release --package xtask \
             --features libbpf -- libbpf compare SET… --page docs/agreement-linking.md`. Kernel: {}. \
             Modules that count as loaded: {}.\n\nlibbpf 1.7.0 runs as it is, but its `bpf()` \
             calls are written down and answered without a kernel. A program counts if libbpf \
             loads it together with all others of its object or, failing that, alone. Compared \
             are the instructions, with maps and modules by name, and all else that is handed to \
             the kernel: types, attach target, flags, license, function and line info, BTF, the \
             maps with their contents.\n\n",
            args.files.release.as_deref().unwrap_or("the running one"),
            if modules.is_empty() { "none".to_owned() } else { modules.join(", ") },
        );
        std::fs::write(path, format!("{head}{page}"))
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The last part of the path that says something.
fn set_name(path: &Path) -> String {
    let mut parts = path.components().filter_map(|part| part.as_os_str().to_str());
    let name = parts.rfind(|part| *part != "objects");
    name.unwrap_or("objects").to_owned()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "o") {
            files.push(path);
        }
    }
    Ok(())
}

fn compare_all(files: &[PathBuf], args: &CompareArgs) -> Result<Vec<Outcome>> {
    let program = std::env::current_exe()?;
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(files.len()));
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let timeout = Duration::from_secs(args.timeout);
                    let report = compare_one(&program, file, &args.files, timeout)
                        .map_err(|error| format!("{error:#}"));
                    let outcome = Outcome { file: file.clone(), report };
                    outcomes.lock().expect("no thread panics here").push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no thread panics here");
    outcomes.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(outcomes)
}

fn compare_one(program: &Path, file: &Path, files: &Files, timeout: Duration) -> Result<Report> {
    // The report may be longer than a pipe holds.
    let name = format!("veristable-libbpf-{}-{:p}", std::process::id(), file);
    let path = std::env::temp_dir().join(name);
    let output = File::create(&path)?;
    let errors = File::create(path.with_extension("err"))?;
    let mut child = Command::new(program)
        .args(["libbpf", "child"])
        .args(files.arguments())
        .arg(file)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > timeout {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut text = String::new();
    File::open(&path)?.read_to_string(&mut text)?;
    let mut errors = String::new();
    File::open(path.with_extension("err"))?.read_to_string(&mut errors)?;
    std::fs::remove_file(&path)?;
    std::fs::remove_file(path.with_extension("err"))?;
    match status {
        None => bail!("no answer within {} s", timeout.as_secs()),
        Some(status) if !status.success() => {
            bail!("{status}: {}", errors.lines().last().unwrap_or("no message"))
        }
        Some(_) => serde_json::from_str(&text).context("the child's report"),
    }
}

/// Counts of one set.
#[derive(Default)]
struct Counts {
    failed: usize,
    neither_opens: usize,
    only_libbpf_opens: usize,
    only_we_open: usize,
    programs: usize,
    loads: usize,
    same: usize,
    same_insns: usize,
    strict_same: usize,
    only_ours: usize,
    /// Reason, and the programs.
    differences: BTreeMap<String, Vec<String>>,
}

fn count(outcomes: &[Outcome]) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        let file = outcome.file.file_name().map(|name| name.to_string_lossy().into_owned());
        let file = file.unwrap_or_default();
        let report = match &outcome.report {
            Ok(report) => report,
            Err(error) => {
                counts.failed += 1;
                counts.note(format!("comparison failed: {error}"), file);
                continue;
            }
        };
        match (&report.libbpf, &report.ours) {
            (Some(_), Some(_)) => counts.neither_opens += 1,
            (Some(theirs), None) => {
                counts.only_we_open += 1;
                counts.note(format!("only we open it; libbpf: {theirs}"), file.clone());
            }
            (None, Some(ours)) => {
                counts.only_libbpf_opens += 1;
                counts.note(format!("only libbpf opens it; we: {ours}"), file.clone());
            }
            (None, None) => {}
        }
        for program in &report.programs {
            counts.programs += 1;
            counts.strict_same += usize::from(program.strict == program.libbpf.is_none());
            let name = format!("{file}: {}", program.name);
            if let Some(theirs) = &program.libbpf {
                if program.ours.is_none() {
                    counts.only_ours += 1;
                }
                if program.strict {
                    counts.note(format!("strict mode links what libbpf does not: {theirs}"), name);
                }
                continue;
            }
            counts.loads += 1;
            if !program.strict && program.ours.is_none() {
                counts.note("strict mode does not link what libbpf does".into(), name.clone());
            }
            if let Some(ours) = &program.ours {
                counts.note(format!("we do not link it: {ours}"), name);
                continue;
            }
            counts.same_insns += usize::from(program.same_insns);
            counts.same += usize::from(program.same_insns && program.differences.is_empty());
            for difference in &program.differences {
                counts.note(difference.clone(), name.clone());
            }
        }
    }
    counts
}

impl Counts {
    fn note(&mut self, reason: String, name: String) {
        self.differences.entry(reason).or_default().push(name);
    }
}

fn render(set: &str, outcomes: &[Outcome], verbose: bool) -> String {
    let counts = count(outcomes);
    let percent = |part: usize| 100.0 * part as f64 / counts.loads.max(1) as f64;
    let mut slow: Vec<f64> =
        outcomes.iter().filter_map(|o| o.report.as_ref().ok()).map(|r| r.link_ms).collect();
    slow.sort_by(f64::total_cmp);
    let at = |share: f64| {
        slow.get(((slow.len() as f64 * share) as usize).min(slow.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    };
    let mut text = format!("## {set}\n\n");
    let rows: [(&str, String); 11] = [
        ("objects", outcomes.len().to_string()),
        ("neither opens", counts.neither_opens.to_string()),
        ("only libbpf opens", counts.only_libbpf_opens.to_string()),
        ("only we open", counts.only_we_open.to_string()),
        ("comparison failed", counts.failed.to_string()),
        ("programs", counts.programs.to_string()),
        ("programs that libbpf loads", counts.loads.to_string()),
        (
            "… with identical instructions",
            format!("{} ({:.2} %)", counts.same_insns, percent(counts.same_insns)),
        ),
        ("… and identical in all else", format!("{} ({:.2} %)", counts.same, percent(counts.same))),
        ("programs that only we link", counts.only_ours.to_string()),
        (
            "parse and link, median / 99 % / slowest",
            format!("{:.1} / {:.1} / {:.1} ms", at(0.5), at(0.99), at(1.0)),
        ),
    ];
    text.push_str("| | |\n|---|---:|\n");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let _ = writeln!(
        text,
        "| strict mode agrees whether libbpf loads | {} of {} |\n",
        counts.strict_same, counts.programs
    );
    let mut differences: Vec<_> = counts.differences.iter().collect();
    differences.sort_by_key(|(reason, names)| (std::cmp::Reverse(names.len()), *reason));
    let shown = if verbose { differences.len() } else { 25 };
    if !differences.is_empty() {
        text.push_str("Differences, by reason:\n\n");
    }
    for (reason, names) in differences.iter().take(shown) {
        let listed: Vec<&str> =
            names.iter().take(if verbose { usize::MAX } else { 3 }).map(String::as_str).collect();
        let _ = writeln!(text, "* {} × {reason}: {}", names.len(), listed.join("; "));
    }
    text.push('\n');
    text
}
