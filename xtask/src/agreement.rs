// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask agreement`: how far `veristable` and a real kernel say the same about a set.

mod annotated;
mod pages;
mod privileges;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use veristable_agreement::{
    Case, Class, Finished, Known, Match, Observation, Prediction, RunOptions, Said, machine_of,
    probe, run as compare, summarise,
};
use veristable_corpus::annotated::AnnotatedSet;
use veristable_corpus::{Manifest, cache, info, mutants, raw, rules, structural, targets};
use veristable_kernel::{Kernel, Profile};
use veristable_object::{LinkOptions, Object, TargetProgram};
use veristable_oracle::{Oracle, Remembered};
use veristable_verifier::Machine;

/// Options of `cargo xtask agreement`.
#[derive(clap::Args)]
#[command(after_help = "\
Sets: structural and rules (our own); realworld, selftests-6.18, raw-6.18, info-6.18, … (see `cargo xtask corpus status`);
annotated-6.18 and annotated-6.18@unpriv, …: selftests loaded as the kernel's test loader does, annotations beside;
mutants:SET:COUNT:SEED for one-instruction changes of a set's programs (mutants: those of realworld, 5000, seed 1);
SET@unpriv without any capability, SET@bpf+net_admin and so on with only these (see docs/load-request.md).

Example:
  cargo xtask agreement raw-6.18 --oracle vm:6.18.15 --write")]
pub(crate) struct Args {
    /// What to compare
    #[arg(required = true)]
    sets: Vec<String>,

    /// Who is asked: `live`, or `vm:VERSION`
    #[arg(long, default_value = "vm:6.18.15")]
    oracle: String,

    /// Kernel whose answer is predicted [default: the oracle's own]
    #[arg(long)]
    kernel: Option<String>,

    /// Log level of both sides: 5 compares messages and counts, 6 also the whole log [default: 5;
    /// for annotated sets what each annotation says]
    #[arg(long)]
    log_level: Option<u32>,

    /// Which programs count
    #[arg(long, value_enum, default_value_t = Only::All)]
    only: Only,

    /// Only cases whose name contains this
    #[arg(long)]
    case: Option<String>,

    /// Stop after so many cases
    #[arg(long)]
    limit: Option<usize>,

    /// Ask a guest again, also where it was asked the same before
    #[arg(long)]
    fresh: bool,

    /// Print every disagreement with both messages, not only their names
    #[arg(long)]
    details: bool,

    /// Put the table into docs/agreement/ORACLE.md, and its line into docs/agreement.md
    #[arg(long)]
    write: bool,
}

/// Log level where none is given.
const DEFAULT_LOG_LEVEL: u32 = 5;

/// A part of a set, chosen by what the kernel says, never by what we say.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Only {
    /// Everything.
    All,
    /// What the kernel refuses before it simulates an instruction, or for an instruction's fields.
    Structural,
    /// What the kernel's verifier gets to see.
    Reached,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut oracle: Box<dyn Oracle> = if args.fresh || args.oracle == "live" {
        veristable_oracle::open(&args.oracle)?
    } else {
        Box::new(Remembered::open(&args.oracle)?)
    };
    let name = args
        .kernel
        .as_deref()
        .unwrap_or_else(|| args.oracle.strip_prefix("vm:").unwrap_or(&args.oracle))
        .split([',', '*'])
        .next()
        .unwrap_or_default();
    let kernel = if name == "live" {
        probe::behaviours(veristable_profiles::live()?, oracle.as_mut())?.0
    } else {
        veristable_profiles::open(name)?
    };
    let machine = machine_of(oracle.as_mut());
    let mut bad = false;
    for set in &args.sets {
        if let Some(annotated) = AnnotatedSet::parse(set) {
            bad |= annotated::run(set, &annotated, args, &kernel, oracle.as_mut(), machine)?;
            continue;
        }
        let (mut cases, unlinked) = load(set, &kernel)?;
        if let Some(part) = &args.case {
            cases.retain(|c| c.id.contains(part.as_str()));
        }
        cases.truncate(args.limit.unwrap_or(usize::MAX));
        if cases.is_empty() {
            bail!("{set}: no cases; `cargo xtask corpus status` says what is there");
        }
        let options = args.options(machine);
        let started = std::time::Instant::now();
        let finished = compare(&cases, &kernel, oracle.as_mut(), options, &mut |done| {
            eprint!("\r{set}: {done} of {}", cases.len());
        })?;
        eprintln!(" in {:.0?}", started.elapsed());
        let finished: Vec<Finished> =
            finished.into_iter().filter(|f| counts(args.only, &f.observation)).collect();
        let text = describe(set, args, oracle.kernel(), &finished, &unlinked, cases.len());
        print!("{text}");
        print_classes(&finished);
        bad |= judge(&finished, kernel.id().name.as_str(), args)?;
        if args.write {
            record(set, args, &text)?;
        }
    }
    if bad {
        bail!("the list of known disagreements does not tell the truth");
    }
    Ok(())
}

impl Args {
    fn options(&self, machine: Machine) -> RunOptions {
        RunOptions {
            log_level: self.log_level.unwrap_or(DEFAULT_LOG_LEVEL),
            timeout: Duration::from_secs(60),
            machine,
            sequential: self.fresh || self.oracle == "live",
            ..RunOptions::default()
        }
    }
}

/// Programs that cannot be linked, by reason.
pub(crate) type Unlinked = BTreeMap<String, usize>;

/// The cases of a set, linked for the kernel.
pub(crate) fn load(set: &str, kernel: &Profile) -> Result<(Vec<Case>, Unlinked)> {
    let set = if set == "mutants" { "mutants:realworld:5000:1" } else { set };
    if let Some(rest) = set.strip_prefix("mutants:") {
        let mut parts = rest.split(':');
        let base = parts.next().unwrap_or_default();
        let number = |text: Option<&str>, default: u64| match text {
            Some(text) => text.parse().with_context(|| format!("{set}: not a number: {text}")),
            None => Ok(default),
        };
        let count = usize::try_from(number(parts.next(), 5000)?)?;
        let seed = number(parts.next(), 1)?;
        let (cases, unlinked) = load(base, kernel)?;
        let mutants = mutants::of(cases.iter().map(|c| (c.id.as_str(), &c.request)), count, seed)
            .into_iter()
            .map(|m| Case { id: m.id, request: m.request })
            .collect();
        return Ok((mutants, unlinked));
    }
    if let Some((base, loader)) = privileges::of_set(set)? {
        let raw = privileges::raw_tests(base, loader, kernel)?;
        if let Some(cases) = raw {
            return Ok((cases, Unlinked::new()));
        }
        let (cases, unlinked) = load(base, kernel)?;
        return Ok((privileges::lowered(cases, loader), unlinked));
    }
    if let Some(cases) = small_programs(set, kernel)? {
        return Ok((cases, Unlinked::new()));
    }
    let dir = cache::set_dir(set)?;
    let manifest = Manifest::read(&dir)?;
    let mut cases = Vec::new();
    let mut unlinked = Unlinked::new();
    for path in manifest.files(&dir) {
        let name = path.strip_prefix(&dir).unwrap_or(&path).display().to_string();
        let name = name.trim_start_matches("objects/").to_owned();
        let bytes = std::fs::read(&path).with_context(|| name.clone())?;
        let object = match Object::parse(&bytes, &name) {
            Ok(object) => object,
            Err(why) => {
                *unlinked.entry(format!("(whole object) {why}")).or_default() += 1;
                continue;
            }
        };
        let options = LinkOptions {
            targets: targets_of(&object, &path, kernel, 0),
            ..LinkOptions::default()
        };
        for (info, request) in object.link(kernel, &options).programs {
            match request {
                Ok(request) => cases.push(Case { id: format!("{name}:{}", info.name), request }),
                Err(why) => *unlinked.entry(why.to_string()).or_default() += 1,
            }
        }
    }
    Ok((cases, unlinked))
}

/// The programs that an object's programs attach to, as the selftests that load them say. One that
/// cannot be linked is left out: then the program that attaches to it cannot be linked either.
fn targets_of(
    object: &Object,
    path: &Path,
    kernel: &Profile,
    depth: u32,
) -> BTreeMap<String, TargetProgram> {
    /// More than any kernel takes.
    const MAX_DEPTH: u32 = 4;
    let stem = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.trim_end_matches(".bpf.o").to_owned()
    };
    let found = object.programs().filter_map(|info| {
        let target = targets::of(&stem(path), &info.name)?;
        let path = path.with_file_name(format!("{}.bpf.o", target.object));
        let object = Object::parse(&std::fs::read(&path).ok()?, target.object).ok()?;
        let options = LinkOptions {
            programs: Some([target.program.to_owned()].into()),
            targets: match depth < MAX_DEPTH {
                true => targets_of(&object, &path, kernel, depth + 1),
                false => BTreeMap::new(),
            },
            ..LinkOptions::default()
        };
        let (_, request) = object.link(kernel, &options).programs.into_iter().next()?;
        let func = target.func.map(str::to_owned);
        Some((info.name, TargetProgram { request: Arc::new(request.ok()?), func }))
    });
    found.collect()
}

/// The sets that are load requests and not objects.
fn small_programs(set: &str, kernel: &Profile) -> Result<Option<Vec<Case>>> {
    let btf = kernel.btf(None)?;
    if set == "rules" {
        return rule_requests(kernel).map(Some);
    }
    if set == "structural" {
        let own = structural::structural().into_iter();
        let linked = btf.map(structural::linked).unwrap_or_default();
        return Ok(Some(
            own.chain(linked).map(|c| Case { id: c.id, request: c.request }).collect(),
        ));
    }
    if set.starts_with("raw-") {
        let loader = raw::Loader { privileged: true, reg_invariants: true, btf };
        let cases = raw::load(set, loader)?.into_iter().filter(|c| c.unresolved.is_empty());
        return Ok(Some(cases.map(|c| Case { id: c.id, request: c.request }).collect()));
    }
    if set.starts_with("info-") {
        let tests = info::load(set)?.into_iter();
        return Ok(Some(tests.map(|t| Case { id: t.id, request: t.request }).collect()));
    }
    Ok(None)
}

/// The rule files of the verifier, so that their expectations can be held against a kernel.
pub(crate) fn rule_requests(kernel: &Profile) -> Result<Vec<Case>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/verifier/tests/rules");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "bpfasm"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let parsed = rules::parse(&text, kernel).with_context(|| path.display().to_string())?;
        let made = |case: rules::Case| Case {
            id: format!("{stem}/{}", case.name.replace(' ', "-")),
            request: case.request,
        };
        cases.extend(parsed.into_iter().filter(|case| case.is_for(&kernel.id().name)).map(made));
    }
    Ok(cases)
}

/// Messages about the fields of an instruction, which 6.18 checks while it simulates.
const FIELD_MESSAGES: [&str; 6] = [
    "uses reserved fields",
    "reserved field",
    "unknown opcode",
    "invalid BPF_",
    "invalid bpf_ld_imm64 insn",
    "unknown insn class",
];

/// Whether a case belongs to the part that is asked for.
fn counts(only: Only, observation: &Observation) -> bool {
    let Observation::Answered { reached, answer } = observation else { return only == Only::All };
    match only {
        Only::All => true,
        Only::Reached => *reached,
        Only::Structural => {
            let simulated = answer.counts.is_some_and(|counts| counts.processed_insns > 0);
            *reached
                && matches!(answer.said, Said::Rejected(_))
                && (!simulated || FIELD_MESSAGES.iter().any(|m| answer.message.contains(m)))
        }
    }
}

/// The Markdown section of a set.
fn describe(
    set: &str,
    args: &Args,
    release: &str,
    finished: &[Finished],
    unlinked: &Unlinked,
    linked: usize,
) -> String {
    let (table, _) = summarise(finished);
    let mut text = String::new();
    text.push_str(&heading(set, args, release));
    text.push_str(&table.to_markdown(set, &args.oracle));
    let total: usize = unlinked.values().sum();
    let _ = writeln!(text, "\n{linked} programs linked, {total} could not be linked.");
    text.push('\n');
    text
}

/// Title of a set's section and the command that repeats it.
fn heading(set: &str, args: &Args, release: &str) -> String {
    let only = match args.only {
        Only::All => "",
        Only::Structural => ", structural rejections",
        Only::Reached => ", reached",
    };
    format!("### {set}{only}, {} ({release})\n\n`{}`\n\n", args.oracle, command(set, args))
}

fn command(set: &str, args: &Args) -> String {
    let mut text = format!("cargo xtask agreement {set} --oracle {}", args.oracle);
    if let Some(kernel) = &args.kernel {
        let _ = write!(text, " --kernel {kernel}");
    }
    if args.fresh {
        text.push_str(" --fresh");
    }
    if let Some(level) = args.log_level.filter(|level| *level != DEFAULT_LOG_LEVEL) {
        let _ = write!(text, " --log-level {level}");
    }
    match args.only {
        Only::All => {}
        Only::Structural => text.push_str(" --only structural"),
        Only::Reached => text.push_str(" --only reached"),
    }
    text
}

/// What stands behind the figures: features that are missing, and why there was no answer.
fn print_classes(finished: &[Finished]) {
    let mut reasons: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for f in finished {
        let reason = match (&f.prediction, &f.observation) {
            (_, Observation::NoAnswer(why)) => Some(("no answer", cut(why))),
            (Prediction::Unsupported(feature), _) => Some(("unsupported", without_place(feature))),
            _ => None,
        };
        if let Some(reason) = reason {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for ((class, why), n) in reasons.iter().take(40) {
        println!("{n:6}  {class}: {why}");
    }
}

/// A feature's name without the instruction.
fn without_place(feature: &str) -> String {
    feature.split(" (instruction").next().unwrap_or(feature).to_owned()
}

fn cut(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

/// Prints the disagreements and holds them against the list. True if the list is wrong.
fn judge(finished: &[Finished], kernel: &str, args: &Args) -> Result<bool> {
    let path = list_path(kernel);
    let known = match std::fs::read_to_string(&path) {
        Ok(text) => Known::parse(&text).with_context(|| path.display().to_string())?,
        Err(_) => Known::default(),
    };
    let (_, odd) = summarise(finished);
    for f in odd {
        let reason = known.reason(&f.id, f.comparison.class);
        println!("{}\t{}\t{}", f.id, f.comparison.class.word(), reason.unwrap_or("NEW"));
        if args.details || f.comparison.class == Class::FalseAccept {
            print_both(f);
        }
    }
    if args.details {
        for f in finished.iter().filter(|f| {
            let c = &f.comparison;
            !c.class.disagrees()
                && [c.message, c.processed, c.counts, c.log].contains(&Match::Different)
        }) {
            println!("{}\tdetails differ", f.id);
            print_both(f);
        }
    }
    if args.details {
        for f in finished.iter().filter(|f| matches!(f.prediction, Prediction::Unsupported(_))) {
            println!("{}\tnot decided", f.id);
            print_both(f);
        }
    }
    for f in finished.iter().filter(|f| f.splat.is_some()) {
        println!("{}: the kernel warned: {}", f.id, f.splat.as_deref().unwrap_or_default());
    }
    let changes = known.changes(finished.iter().map(|f| (f.id.as_str(), f.comparison.class)));
    for (case, class) in &changes.new {
        println!("not in {}: {case}\t{}", path.display(), class.word());
    }
    for case in &changes.gone {
        println!("to be removed from {}: {case}", path.display());
    }
    Ok(!changes.is_empty())
}

fn list_path(kernel: &str) -> PathBuf {
    repository().join(format!("docs/known-disagreements/{kernel}.tsv"))
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn print_both(f: &Finished) {
    let print = |who: &str, answer: &veristable_agreement::Answer| {
        println!("  {who}: {:?} {:?}", answer.said, answer.counts);
        for line in answer.message.lines() {
            println!("    {line}");
        }
    };
    match &f.prediction {
        Prediction::Verdict(answer) => print("veristable", answer),
        Prediction::Unsupported(feature) => println!("  veristable: unsupported: {feature}"),
    }
    match &f.observation {
        Observation::Answered { answer, .. } => print("kernel", answer),
        Observation::NoAnswer(why) => println!("  kernel: {why}"),
    }
    let logs = match (&f.prediction, &f.observation) {
        (Prediction::Verdict(a), Observation::Answered { answer: b, .. }) => {
            a.log.as_deref().zip(b.log.as_deref())
        }
        _ => None,
    };
    if let Some((ours, theirs)) = logs.filter(|_| f.comparison.log == Match::Different) {
        let differ = ours.lines().zip(theirs.lines()).position(|(a, b)| a != b);
        let at = differ.unwrap_or_else(|| ours.lines().count().min(theirs.lines().count()));
        println!("  logs differ from line {}:", at + 1);
        println!("    ours:   {}", ours.lines().nth(at).unwrap_or("(end)"));
        println!("    kernel: {}", theirs.lines().nth(at).unwrap_or("(end)"));
    }
}

/// Puts the set's table into its oracle's page, see [`pages`].
fn record(set: &str, args: &Args, text: &str) -> Result<()> {
    let only = match args.only {
        Only::All => "all",
        Only::Structural => "structural",
        Only::Reached => "reached",
    };
    let key = pages::Key {
        oracle: args.oracle.split('*').next().unwrap_or_default().to_owned(),
        set: set.to_owned(),
        only: only.to_owned(),
        level: args.log_level.unwrap_or(DEFAULT_LOG_LEVEL),
    };
    pages::record(&repository().join("docs"), key, text)
}
