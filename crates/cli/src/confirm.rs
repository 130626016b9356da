// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable confirm`: check, and ask a real kernel.

use crate::args::ConfirmArgs;
use crate::check::progress;
use crate::input;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use std::io::{self, Write};
use veristable_agreement::{
    Case, Class, Finished, Observation, Prediction, RunOptions, Said, machine_of,
    run as compare_all, summarise,
};
use veristable_kernel::errno_name;
use veristable_program::LoadRequest;

/// Runs the command and returns its exit status.
pub(crate) fn run(args: &ConfirmArgs) -> anyhow::Result<u8> {
    let mut oracle = veristable_oracle::open(&args.oracle)?;
    if args.probe {
        probe(oracle.as_mut())?;
        println!("{} answers: Linux {}", oracle.name(), oracle.kernel());
        return Ok(0);
    }
    let name = args.kernel.as_deref().unwrap_or_else(|| kernel_of(&args.oracle));
    let mut kernel = input::open_kernel(name)?;
    if name == "live" {
        (kernel, _) = veristable_agreement::probe::behaviours(kernel, oracle.as_mut())?;
    }
    let mut cases = Vec::new();
    let mut not_loadable = Vec::new();
    for path in &args.files {
        let file = path.display();
        let units =
            input::read(path, &args.link)?.link(&kernel).with_context(|| file.to_string())?;
        for unit in units {
            let id = format!("{file}:{}", unit.program);
            match unit.request {
                Ok(request) => cases.push(Case { id, request }),
                Err(why) => not_loadable.push((id, why.to_string())),
            }
        }
    }
    let bar = progress(cases.len() as u64);
    let options = RunOptions {
        log_level: if args.logs { 6 } else { 5 },
        batch: 32,
        machine: machine_of(oracle.as_mut()),
        ..RunOptions::default()
    };
    let finished = compare_all(&cases, &kernel, oracle.as_mut(), options, &mut |done| {
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let out = io::stdout();
    let color = args.color.wanted(&out);
    report(&mut out.lock(), color, args.logs, &finished, &not_loadable)
}

/// The kernel that an oracle runs.
fn kernel_of(oracle: &str) -> &str {
    let guest = oracle.strip_prefix("vm:").unwrap_or(oracle);
    guest.split([',', '*']).next().unwrap_or(guest)
}

/// Loads the smallest program there is.
fn probe(oracle: &mut dyn veristable_oracle::Oracle) -> anyhow::Result<()> {
    let request = LoadRequest::from_json(
        r#"{"veristable_load_request":1,"name":"probe","prog_type":1,"license":"GPL",
            "insns":"b7000000000000009500000000000000"}"#,
    )?;
    let mut verdict = None;
    let options = veristable_oracle::LoadOptions::default();
    oracle.load(&[&request], &options, &mut |_, answer| verdict = Some(answer.verdict))?;
    match verdict {
        Some(veristable_oracle::Verdict::Loaded) => Ok(()),
        Some(other) => bail!("the smallest program was not loaded: {other}"),
        None => bail!("the oracle gave no answer"),
    }
}

fn report(
    out: &mut impl Write,
    color: bool,
    logs: bool,
    finished: &[Finished],
    not_loadable: &[(String, String)],
) -> anyhow::Result<u8> {
    let paint = |style: Style, text: &str| {
        if color {
            format!("{}{text}{}", style.render(), style.render_reset())
        } else {
            text.to_owned()
        }
    };
    for (id, why) in not_loadable {
        writeln!(out, "{id}: not-loadable: {why}")?;
    }
    for f in finished {
        let (style, word) = verdict_style(f.comparison.class);
        let said = format!("{} / {}", ours(&f.prediction), theirs(&f.observation));
        writeln!(out, "{}: {}: {said}", f.id, paint(style, word))?;
        if let Some(splat) = &f.splat {
            writeln!(out, "  the kernel warned: {}", splat.trim())?;
        }
        if f.comparison.class.disagrees() {
            details(out, f, logs)?;
        }
    }
    let (table, odd) = summarise(finished);
    let undecided = table.unsupported.hits;
    let silent = table.programs - table.answered;
    writeln!(
        out,
        "\n{} agree, {} disagree ({} false accepts), {undecided} not decided, {silent} without an \
         answer, {} not loadable.",
        table.answered - undecided - odd.len(),
        odd.len(),
        table.false_accepts,
        not_loadable.len(),
    )?;
    Ok(match (odd.len(), undecided) {
        (0, 0) => 0,
        (0, _) => 3,
        _ => 1,
    })
}

fn verdict_style(class: Class) -> (Style, &'static str) {
    match class {
        Class::BothAccept | Class::BothReject => (AnsiColor::Green.on_default(), "agree"),
        Class::ErrnoDiffers | Class::FalseReject | Class::FalseAccept => {
            (AnsiColor::Red.on_default().bold(), "DISAGREE")
        }
        Class::UnsupportedAccepted | Class::UnsupportedRejected => {
            (AnsiColor::Yellow.on_default(), "not decided")
        }
        Class::NoAnswer => (AnsiColor::Yellow.on_default(), "no answer"),
    }
}

fn said(said: &Said) -> String {
    match said {
        Said::Accepted => "accepted".into(),
        Said::Rejected(errno) => {
            format!("rejected ({})", errno_name(*errno).map_or(errno.to_string(), str::to_owned))
        }
    }
}

fn ours(prediction: &Prediction) -> String {
    match prediction {
        Prediction::Verdict(answer) => format!("veristable {}", said(&answer.said)),
        Prediction::Unsupported(feature) => format!("veristable unsupported: {feature}"),
    }
}

fn theirs(observation: &Observation) -> String {
    match observation {
        Observation::Answered { answer, .. } => format!("kernel {}", said(&answer.said)),
        Observation::NoAnswer(why) => format!("kernel: {why}"),
    }
}

/// Both messages, or both logs.
fn details(out: &mut impl Write, f: &Finished, logs: bool) -> io::Result<()> {
    let mut section = |title: &str, text: &str| -> io::Result<()> {
        writeln!(out, "  {title}:")?;
        text.lines().try_for_each(|line| writeln!(out, "    {line}"))
    };
    let text = |answer: &veristable_agreement::Answer| match (&answer.log, logs) {
        (Some(log), true) => log.clone(),
        _ => answer.message.clone(),
    };
    if let Prediction::Verdict(answer) = &f.prediction {
        section("veristable", &text(answer))?;
    }
    if let Observation::Answered { answer, .. } = &f.observation {
        section("kernel", &text(answer))?;
    }
    Ok(())
}
