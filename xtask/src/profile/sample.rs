// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A random sample of cells, confirmed by a kernel.

use anyhow::bail;
use std::io::Write;
use veristable_agreement::cells::{Judgement, sample};
use veristable_oracle::{Answer, LoadOptions, Verdict};
use veristable_program::LoadRequest;

/// `cargo xtask profile sample`.
pub(crate) fn run(args: &super::SampleArgs) -> anyhow::Result<()> {
    let profile = super::open(&args.kernel)?;
    let cells = sample(&profile, args.cells, args.seed);
    let Some(oracle) = &args.oracle else {
        let mut out = std::io::stdout().lock();
        for cell in &cells {
            writeln!(out, "{}", cell.request.to_json()?)?;
        }
        return Ok(());
    };
    let mut oracle = veristable_oracle::open(oracle)?;
    let requests: Vec<&LoadRequest> = cells.iter().map(|cell| &cell.request).collect();
    let mut answers: Vec<Option<Answer>> = vec![None; cells.len()];
    let options = LoadOptions { log_level: 2, ..LoadOptions::default() };
    oracle.load(&requests, &options, &mut |at, answer| {
        if let Some(place) = answers.get_mut(at) {
            *place = Some(answer);
        }
    })?;
    let mut sums = [0u32; 3];
    for (cell, answer) in cells.iter().zip(&answers) {
        let judgement = answer.as_ref().map_or(Judgement::Undetermined, |answer| {
            let loaded = answer.verdict == Verdict::Loaded;
            cell.expected.judge(loaded, &answer.log_text())
        });
        let text = || answer.as_ref().map_or_else(String::new, |answer| answer.verdict.to_string());
        let log = || answer.as_ref().map_or_else(String::new, |a| a.log_text().into_owned());
        match judgement {
            Judgement::Confirmed => sums[0] += 1,
            Judgement::Contradicted => {
                sums[1] += 1;
                println!(
                    "contradicted: {} ({:?}): {}\n{}",
                    cell.what,
                    cell.expected,
                    text(),
                    log()
                );
            }
            Judgement::Undetermined => {
                sums[2] += 1;
                let log = log();
                let line = log.lines().rfind(|line| !line.starts_with("processed")).unwrap_or("");
                println!("undetermined: {}: {}: {line}", cell.what, text());
            }
        }
    }
    let [confirmed, contradicted, undetermined] = sums;
    println!(
        "{} on {} ({}): {} cells, seed {}: {confirmed} confirmed, {contradicted} contradicted, \
         {undetermined} undetermined",
        args.kernel,
        oracle.name(),
        oracle.kernel(),
        cells.len(),
        args.seed
    );
    if contradicted > 0 {
        bail!("the kernel does not do what the profile says");
    }
    Ok(())
}
