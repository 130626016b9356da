// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench kernel --memory`: the peak of memory for a load, ours and the kernel's.
//!
//! Ours is told twice: what the budget of `verify` counts (`Budget::peak`), and how far the resident
//! set of a process that does nothing else rises meanwhile. The kernel's is the rise of a fresh
//! control group's `memory.peak` around `BPF_PROG_LOAD` ([`Memory`]).

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use veristable_agreement::Case;
use veristable_kernel::{Kernel as _, Profile};
use veristable_oracle::{LoadOptions, Memory, Oracle, Verdict};
use veristable_program::{LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Options, verify};

/// `BPF_LOG_STATS`, as for times.
const STATS: u32 = 4;
/// Bytes of log.
const LOG_SIZE: u32 = 1 << 20;
/// Emulated guests are slow.
const PATIENCE: Duration = Duration::from_secs(900);
/// Rows without `--details`.
const ROWS: usize = 20;

/// Options of the process that verifies one program.
#[derive(clap::Args)]
pub(crate) struct OneArgs {
    /// A request in its binary form
    request: PathBuf,

    /// Which kernel verifies: a version, or `live`
    #[arg(long)]
    kernel: String,
}

/// What one verification takes of ours, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Ours {
    accepted: bool,
    /// The largest number of bytes that the budget counted.
    counted: u64,
    /// How far the process's resident set rose. Nothing where the system does not tell.
    risen: Option<u64>,
    /// The process's largest resident set.
    whole: Option<u64>,
}

/// One program on both sides.
struct Row {
    id: String,
    ours: Ours,
    theirs: Memory,
}

/// Measures each program and prints a table.
pub(super) fn run(
    set: &str,
    cases: &[Case],
    name: &str,
    oracle: &mut dyn Oracle,
    details: bool,
) -> Result<()> {
    if cases.is_empty() {
        bail!("{set}: no cases");
    }
    let folder = std::env::temp_dir().join(format!("veristable-memory-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let rows = measure(cases, name, oracle, &folder);
    fs::remove_dir_all(&folder)?;
    print_table(set, name, rows?, details);
    Ok(())
}

fn measure(cases: &[Case], name: &str, oracle: &mut dyn Oracle, folder: &Path) -> Result<Vec<Row>> {
    let load = LoadOptions {
        log_level: STATS,
        log_size: LOG_SIZE,
        timeout: PATIENCE,
        want_memory: true,
        ..LoadOptions::default()
    };
    let mut rows = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let log = LogRequest { level: STATS, size: LOG_SIZE };
        let request = LoadRequest { log, ..case.request.clone() };
        let mut answered = None;
        oracle.load(&[&request], &load, &mut |_, answer| answered = Some(answer))?;
        let answer = answered.with_context(|| format!("{}: no answer", case.id))?;
        let file = folder.join("request");
        fs::write(&file, request.to_bytes()?)?;
        let ours = in_own_process(&file, name.strip_prefix("vm:").unwrap_or(name))?;
        let reached = answer.reached_verifier();
        if let Some(ours) = ours
            && reached
            && ours.accepted == (answer.verdict == Verdict::Loaded)
        {
            rows.push(Row { id: case.id.clone(), ours, theirs: answer.memory });
        }
        eprint!("\r{} of {}", number + 1, cases.len());
    }
    eprintln!();
    Ok(rows)
}

/// Verifies a saved request in a process that does nothing else. Nothing where there is no verdict.
fn in_own_process(request: &Path, kernel: &str) -> Result<Option<Ours>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "memory", "--kernel", kernel])
        .arg(request)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("bench memory: {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The process for one program: prints [`Ours`] as JSON, or `null`.
pub(crate) fn one(args: &OneArgs) -> Result<()> {
    let kernel: Profile = match args.kernel.as_str() {
        "live" => veristable_profiles::live()?,
        version => veristable_profiles::open(version)?,
    };
    let request = LoadRequest::from_bytes(&fs::read(&args.request)?)?;
    let ours = ours(&request, &kernel);
    println!("{}", serde_json::to_string(&ours)?);
    Ok(())
}

fn ours(request: &LoadRequest, kernel: &Profile) -> Option<Ours> {
    let counted = Cell::new(0);
    let options = Options { peak: Some(&counted), ..Options::default() };
    let mut log = KernelLog::new(request.log, Dialect::of(kernel.design()));
    // Forgets the peak so far (`Documentation/filesystems/proc.rst`).
    let forgotten = fs::write("/proc/self/clear_refs", "5").is_ok();
    let (before, files_before) = (status("VmRSS:"), status("RssFile:"));
    let outcome = verify(request, kernel, &options, &mut log);
    let (peak, files) = (status("VmHWM:"), status("RssFile:"));
    outcome.stats()?;
    // Pages of program text and of the kernel's description are files', and come only once.
    let files = files.zip(files_before).map(|(now, before)| now.saturating_sub(before));
    let risen = before.zip(peak).zip(files);
    let risen = risen.map(|((before, peak), files)| peak.saturating_sub(before + files));
    Some(Ours {
        accepted: outcome.is_accepted(),
        counted: counted.get() as u64,
        risen: risen.filter(|_| forgotten),
        whole: peak,
    })
}

/// A size of this process in bytes, as `/proc/self/status` names it.
fn status(name: &str) -> Option<u64> {
    status_in(&fs::read_to_string("/proc/self/status").ok()?, name)
}

fn status_in(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Prints the programs, those first that take most of the kernel's memory or ours.
fn print_table(set: &str, name: &str, mut rows: Vec<Row>, details: bool) {
    rows.sort_by_key(|row| std::cmp::Reverse((rise(&row.theirs), row.ours.counted)));
    println!("| program | ours, counted | ours, process | whole process | {name}'s |");
    println!("|---|---|---|---|---|");
    let shown = if details { rows.len() } else { ROWS };
    for Row { id, ours, theirs } in rows.iter().take(shown) {
        let theirs = rise(theirs);
        println!(
            "| {id} | {} | {} | {} | {} |",
            mebibytes(Some(ours.counted)),
            mebibytes(ours.risen),
            mebibytes(ours.whole),
            mebibytes(theirs),
        );
    }
    let known = rows.iter().filter_map(|row| Some((row.ours.counted, rise(&row.theirs)?)));
    let (mut count, mut less, mut ours, mut theirs) = (0, 0, 0, 0);
    for (own, kernels) in known {
        count += 1;
        less += usize::from(own < kernels);
        ours += own;
        theirs += kernels;
    }
    println!();
    println!(
        "{set}: {} programs; of {count} the kernel's memory is known: ours {} (counted) and {} in sum, \
         ours is less for {less}",
        rows.len(),
        mebibytes(Some(ours)),
        mebibytes(Some(theirs)),
    );
    let reason = rows.iter().find_map(|row| match &row.theirs {
        Memory::Unknown { reason } => Some(reason.as_str()),
        Memory::NotAsked | Memory::Rise(_) => None,
    });
    if let Some(reason) = reason {
        println!("`-` in the last column: {reason}");
    }
}

const fn rise(memory: &Memory) -> Option<u64> {
    match memory {
        Memory::Rise(bytes) => Some(*bytes),
        Memory::NotAsked | Memory::Unknown { .. } => None,
    }
}

/// A size as text; `-` for one that is not known.
fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.2} MiB", bytes as f64 / 1048576.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_status() {
        let text = "Name:\txtask\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(status_in(text, "VmHWM:"), Some(5 << 20));
        assert_eq!(status_in(text, "VmSwap:"), None);
        assert_eq!((mebibytes(Some(3 << 19)), mebibytes(None)), ("1.50 MiB".into(), "-".into()));
    }

    #[test]
    fn larger_programs_take_more() {
        let kernel = veristable_profiles::open("6.18.15").unwrap();
        let family = super::super::families::FAMILIES[0];
        let counted = |size| {
            let request = family.request(size).unwrap();
            ours(&request, &kernel).unwrap().counted
        };
        let (small, large) = (counted(128), counted(1024));
        assert!(small > 0 && large > 4 * small, "{small} {large}");
    }
}
