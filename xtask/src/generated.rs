// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask gen`: generated programs, judged by a kernel.
//!
//! Programs are made, asked about and forgotten in batches, so that any number of them needs no more
//! memory than one batch. Answers are remembered, a file for each batch: a run that was ended goes on
//! where it was, and after a change of the verifier no kernel need be asked again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use veristable_agreement::{
    Case, Finished, Match, MessageId, Observation, Prediction, RunOptions, Said, Table, machine_of,
    predict_whole, run as compare,
};
use veristable_corpus::{rule_text, rules};
use veristable_gen::{Generator, Options, minimise};
use veristable_isa::asm;
use veristable_kernel::Profile;
use veristable_oracle::{Oracle, Remembered};
use veristable_program::Capabilities;
use veristable_verifier::Machine;
use veristable_verifier::messages::AREAS;

/// Options of `cargo xtask gen`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask gen --count 200000 --seed 1 --oracle 'vm:6.18.15*2'
  cargo xtask gen --count 5000 --oracle none          how programs are distributed, without a kernel
  cargo xtask gen --show 17 --oracle none             one program and what we say of it")]
pub(crate) struct Args {
    /// How many programs
    #[arg(long, default_value_t = 1000)]
    count: u64,

    /// Which ones
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The number of the first
    #[arg(long, default_value_t = 0)]
    from: u64,

    /// Who is asked: `vm:VERSION`, `vm:VERSION*N` for N guests, or `none`
    #[arg(long, default_value = "vm:6.18.15")]
    oracle: String,

    /// Kernel whose answer is predicted [default: the oracle's own, or 6.18.15]
    #[arg(long)]
    kernel: Option<String>,

    /// Programs in one batch
    #[arg(long, default_value_t = 512)]
    batch: usize,

    /// Programs with mistakes, of a hundred
    #[arg(long, default_value_t = Options::default().mistaken)]
    mistaken: u32,

    /// Capabilities of every loader, separated by commas, `all` or `none` [default: a mix of them]
    #[arg(long)]
    caps: Option<String>,

    /// Programs that process more instructions than this, by our reckoning, are counted but not asked
    /// about: one of a million costs a guest as much time as a thousand others
    #[arg(long, default_value_t = 100_000)]
    most: u64,

    /// Make no programs from those of the rule files
    #[arg(long)]
    no_seeds: bool,

    /// Print the program of this number and both answers
    #[arg(long)]
    show: Option<u64>,

    /// Questions to the kernel that making one disagreement smaller may cost; 0 leaves it as it is
    #[arg(long, default_value_t = 400)]
    tries: usize,

    /// Disagreements that are made smaller; further ones are only written down
    #[arg(long, default_value_t = 40)]
    minimised: usize,

    /// Where disagreements are written
    #[arg(long, default_value = "target/disagreements")]
    out: PathBuf,
}

/// What is summed up over all batches.
#[derive(Default)]
struct Sums {
    table: Table,
    messages: BTreeMap<MessageId, usize>,
    unsupported: BTreeMap<String, usize>,
    silent: BTreeMap<String, usize>,
    accepted: usize,
    decided: usize,
    /// Instructions processed, of each program.
    processed: Vec<u64>,
    disagreements: usize,
    left_out: usize,
    deadly: usize,
    splats: usize,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.oracle == "live" {
        bail!("generated programs are for guests only");
    }
    let mut oracle = match args.oracle.as_str() {
        "none" => None,
        name => Some(Remembered::open(name)?),
    };
    let named = args.oracle.strip_prefix("vm:").and_then(|name| name.split('*').next());
    let name = args.kernel.as_deref().or(named).unwrap_or("6.18.15");
    let kernel = veristable_profiles::open(name)?;
    let capabilities = args.caps.as_deref().map(Capabilities::from_text).transpose();
    let capabilities = capabilities.map_err(|why| anyhow::anyhow!(why))?;
    let options = Options { mistaken: args.mistaken, capabilities };
    let seeds = crate::agreement::rule_requests(&kernel)?;
    // What generated programs found is no source of new ones: the same seed stays the same programs.
    let found = |id: &str| id.starts_with("generated/");
    let seeds = seeds.into_iter().filter(|case| !args.no_seeds && !found(&case.id));
    let seeds: Vec<_> = seeds.collect();
    let seeds = seeds.iter().map(|case| (case.id.as_str(), case.request.clone()));
    let generator = Generator::new(&kernel, options).with_seeds(seeds);
    // As the guests are, unless one says otherwise.
    let open = Machine { unprivileged_disabled: false, ..Machine::default() };
    let machine = oracle.as_mut().map_or(open, |oracle| machine_of(oracle));
    let run_options = RunOptions {
        timeout: Duration::from_secs(15),
        machine,
        batch: args.batch,
        ..RunOptions::default()
    };
    if let Some(number) = args.show {
        return show(&generator, args.seed, number, &kernel, oracle.as_mut(), run_options);
    }
    let started = Instant::now();
    let mut sums = Sums::default();
    let end = args.from.saturating_add(args.count);
    let mut next = args.from;
    while next < end {
        let last = end.min(next.saturating_add(args.batch.max(1) as u64));
        let mut cases: Vec<Case> = (next..last)
            .map(|index| Case {
                id: format!("g{}:{index}", args.seed),
                request: generator.program(args.seed, index),
            })
            .collect();
        if oracle.is_some() {
            cases.retain(|case| {
                let (work, deadly) = foretold(case, &kernel, run_options);
                sums.left_out += usize::from(work > args.most);
                sums.deadly += usize::from(deadly);
                work <= args.most && !deadly
            });
        }
        match oracle.as_mut() {
            Some(oracle) => {
                oracle.group(&format!("generated-{}-{next}-{}", args.seed, last - next))?;
                let finished = compare(&cases, &kernel, oracle, run_options, &mut |_| ())
                    .with_context(|| format!("go on with --from {next}"))?;
                for (case, finished) in cases.iter().zip(&finished) {
                    sums.add(finished);
                    if let Observation::NoAnswer(why) = &finished.observation {
                        println!("{}: no answer: {}", case.id, cut(why));
                        keep(case, args)?;
                    }
                    if disagrees(finished) {
                        sums.disagreements += 1;
                        report(case, finished, args)?;
                        if sums.disagreements <= args.minimised && args.tries > 0 {
                            make_smaller(case, finished, &kernel, oracle, run_options, args)?;
                        }
                    }
                }
            }
            None => {
                for case in &cases {
                    sums.add_prediction(case, &kernel, run_options);
                }
            }
        }
        next = last;
        eprint!(
            "\r{} of {}, {} disagreements, {:.0?} ",
            next - args.from,
            args.count,
            sums.disagreements,
            started.elapsed()
        );
    }
    eprintln!();
    sums.print(args);
    Ok(())
}

/// `BPF_LOG_STATS` of `include/linux/bpf_verifier.h`.
const STATISTICS: u32 = 4;

/// Instructions that the verifier would process, and whether the kernel would die of it.
fn foretold(case: &Case, kernel: &Profile, options: RunOptions) -> (u64, bool) {
    let predicted = predict_whole(&case.request, kernel, STATISTICS, options.machine);
    match predicted.prediction {
        Prediction::Verdict(answer) => {
            (answer.counts.map_or(0, |counts| counts.processed_insns), false)
        }
        Prediction::Unsupported(what) => {
            (0, veristable_gen::DEADLY.iter().any(|deadly| what.contains(deadly)))
        }
    }
}

/// Whether anything that was compared differs.
fn disagrees(finished: &Finished) -> bool {
    let c = &finished.comparison;
    let undecided = matches!(finished.prediction, Prediction::Unsupported(_));
    (c.class.disagrees() && !undecided)
        || [c.message, c.processed, c.counts, c.log].contains(&Match::Different)
}

impl Sums {
    fn add(&mut self, finished: &Finished) {
        self.table.add(&finished.comparison);
        if let (Prediction::Verdict(_), Some(theirs)) = (&finished.prediction, finished.their_time)
        {
            self.table.add_times(finished.our_time, theirs);
        }
        self.add_prediction_of(&finished.prediction, &finished.messages);
        if let Observation::NoAnswer(why) = &finished.observation {
            *self.silent.entry(cut(why)).or_default() += 1;
        }
        self.splats += usize::from(finished.splat.is_some());
    }

    fn add_prediction(&mut self, case: &Case, kernel: &Profile, options: RunOptions) {
        let predicted = predict_whole(&case.request, kernel, options.log_level, options.machine);
        self.add_prediction_of(&predicted.prediction, &predicted.messages);
    }

    fn add_prediction_of(&mut self, prediction: &Prediction, messages: &[MessageId]) {
        match prediction {
            Prediction::Verdict(answer) => {
                self.decided += 1;
                self.accepted += usize::from(answer.said == Said::Accepted);
                self.processed.extend(answer.counts.map(|counts| counts.processed_insns));
            }
            Prediction::Unsupported(what) => {
                let what = what.split(" (instruction").next().unwrap_or(what);
                *self.unsupported.entry(what.to_owned()).or_default() += 1;
            }
        }
        for message in messages {
            *self.messages.entry(*message).or_default() += 1;
        }
    }

    fn print(&self, args: &Args) {
        if self.table.programs > 0 {
            println!(
                "{}",
                self.table
                    .to_markdown(&format!("generated:{}:{}", args.count, args.seed), &args.oracle)
            );
        }
        let share = 100.0 * self.accepted as f64 / self.decided.max(1) as f64;
        println!("{} decided, {share:.1} % of them accepted", self.decided);
        let mut processed = self.processed.clone();
        processed.sort_unstable();
        let total: u64 = processed.iter().sum();
        let most = processed.iter().rev().take(processed.len() / 100).sum::<u64>();
        println!(
            "{total} instructions processed, {most} of them by the largest hundredth; median {}",
            processed.get(processed.len() / 2).unwrap_or(&0)
        );
        let all: usize = AREAS.iter().map(|(_, ids)| ids.len()).sum();
        println!("{} of {all} messages of the table said", self.messages.len());
        let mut messages: Vec<_> = self.messages.iter().collect();
        messages.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for ((area, id), count) in messages {
            println!("{count:7}  {area}::{id}");
        }
        for (what, counts) in [("unsupported", &self.unsupported), ("no answer", &self.silent)] {
            for (why, count) in counts {
                println!("{count:7}  {what}: {why}");
            }
        }
        if self.left_out > 0 {
            println!("{} not asked about: more than {} instructions", self.left_out, args.most);
        }
        if self.deadly > 0 {
            println!("{} not asked about: the kernel would die of them", self.deadly);
        }
        if self.splats > 0 {
            println!("{} programs made the kernel warn", self.splats);
        }
        println!("{} disagreements", self.disagreements);
    }
}

fn cut(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

/// Says how one program differs, and keeps it.
fn report(case: &Case, finished: &Finished, args: &Args) -> Result<()> {
    println!("\n{}: {}", case.id, finished.comparison.class.word());
    print_both(finished);
    keep(case, args)
}

/// Writes a program to a file.
fn keep(case: &Case, args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.out)?;
    let path = args.out.join(format!("{}.json", case.id.replace(':', "-")));
    std::fs::write(&path, case.request.to_json()?).with_context(|| path.display().to_string())
}

/// What is kept while a program becomes smaller: the class and which parts differ.
fn way(finished: &Finished) -> impl PartialEq + use<> {
    let c = &finished.comparison;
    let undecided = matches!(finished.prediction, Prediction::Unsupported(_));
    (c.class, undecided, [c.message, c.processed, c.counts, c.log])
}

/// Makes a disagreement smaller and writes it as a rule case if it can be, else as a request.
fn make_smaller(
    case: &Case,
    finished: &Finished,
    kernel: &Profile,
    oracle: &mut dyn Oracle,
    options: RunOptions,
    args: &Args,
) -> Result<()> {
    let wanted = way(finished);
    let mut last = None;
    let mut holds = |request: &veristable_program::LoadRequest| {
        let case = Case { id: case.id.clone(), request: request.clone() };
        let asked = compare(&[case], kernel, oracle, options, &mut |_| ());
        let same = asked.ok().and_then(|mut all| all.pop()).filter(|f| way(f) == wanted);
        let taken = same.is_some();
        last = same.or(last.take());
        taken
    };
    let small = minimise(&case.request, args.tries, &mut holds);
    let name = format!("generated {}", case.id.replace(':', " "));
    let text = rule_text::write(&small, &name, kernel).filter(|text| {
        // Rule files say less than requests: what is read back must still disagree.
        rules::program(text, &name, kernel).and_then(Result::ok).is_some_and(|read| holds(&read))
    });
    if let Some(last) = &last {
        println!("  made smaller:");
        print_both(last);
    }
    let stem = case.id.replace(':', "-");
    let (path, text) = match text {
        Some(text) => (args.out.join(format!("{stem}.bpfasm")), text),
        None => {
            print!("{}", asm::listing(&small.insns));
            (args.out.join(format!("{stem}-small.json")), small.to_json()?)
        }
    };
    if path.extension().is_some_and(|extension| extension == "bpfasm") {
        print!("{text}");
    }
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

fn print_both(finished: &Finished) {
    let print = |who: &str, answer: &veristable_agreement::Answer| {
        println!("  {who}: {:?} {:?}", answer.said, answer.counts);
        for line in answer.message.lines() {
            println!("    {line}");
        }
    };
    match &finished.prediction {
        Prediction::Verdict(answer) => print("veristable", answer),
        Prediction::Unsupported(what) => println!("  veristable: unsupported: {what}"),
    }
    match &finished.observation {
        Observation::Answered { answer, .. } => print("kernel", answer),
        Observation::NoAnswer(why) => println!("  kernel: {why}"),
    }
    if let Some(splat) = &finished.splat {
        println!("  the kernel warned: {}", cut(splat));
    }
}

fn show(
    generator: &Generator<'_>,
    seed: u64,
    number: u64,
    kernel: &Profile,
    oracle: Option<&mut Remembered>,
    options: RunOptions,
) -> Result<()> {
    let request = generator.program(seed, number);
    println!(
        "{:?} {:?} {:?} {:?}",
        request.prog_type.name(),
        request.attach,
        request.flags,
        request.license
    );
    for (number, map) in request.maps.iter().enumerate() {
        println!("map {number}: {} {:?}", map.spec.name, map.spec.map_type.name());
    }
    let listing = asm::listing(&request.insns).to_string();
    let mut slot = 0;
    for line in listing.lines() {
        println!("{slot:4}  {line}");
        slot += request.insns.get(slot).map_or(1, |insn| insn.slots());
    }
    let case = Case { id: format!("g{seed}:{number}"), request };
    match oracle {
        Some(oracle) => {
            for finished in compare(&[case], kernel, oracle, options, &mut |_| ())? {
                print_both(&finished);
            }
        }
        None => {
            let predicted =
                predict_whole(&case.request, kernel, options.log_level, options.machine);
            println!("{:?} {:?}", predicted.prediction, predicted.messages);
        }
    }
    Ok(())
}
