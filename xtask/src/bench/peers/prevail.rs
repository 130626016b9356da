// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One program, by the crate `prevail`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use prevail::crab::ebpf_domain::DomainContext;
use prevail::crab::var_registry::VariableRegistry;
use prevail::elf_loader::ElfObject;
use prevail::fwd_analyzer;
use prevail::ir::program::Program;
use prevail::ir::unmarshal::unmarshal;
use prevail::linux::linux_platform::LinuxPlatform;
use prevail::spec::config::{EbpfRuntimeConfig, EbpfVerifierOptions, VerbosityOptions};
use prevail::spec::type_descriptors::RawProgram;
use serde::{Deserialize, Serialize};

use super::OneArgs;

/// A program that takes longer is not timed again.
const LONG: Duration = Duration::from_secs(1);
/// Bytes of address space that a program may take.
const SPACE: u64 = 6 << 30;

/// What `prevail` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// It is safe.
    Accepted,
    /// It may not be safe.
    Refused,
    /// It has something that `prevail` does not know.
    NotUnderstood(String),
}

/// An answer about one program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) said: Said,
    /// The shortest time of all rounds; zero for what is not understood.
    pub(super) time: Duration,
}

/// Prints the [`Answer`] as JSON in the last line.
pub(super) fn one(args: &OneArgs) -> Result<()> {
    let limit = rustix::process::Rlimit { current: Some(SPACE), maximum: Some(SPACE) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit)?;
    println!("{}", serde_json::to_string(&answer(args)?)?);
    Ok(())
}

/// The options that its command line has without arguments.
fn options() -> EbpfVerifierOptions {
    EbpfVerifierOptions {
        runtime: EbpfRuntimeConfig::default(),
        verbosity_opts: VerbosityOptions { simplify: true, ..VerbosityOptions::default() },
        must_have_exit: true,
        mock_map_fds: true,
    }
}

fn answer(args: &OneArgs) -> Result<Answer> {
    let mut platform = LinuxPlatform::new();
    let not_understood =
        |why: String| Answer { said: Said::NotUnderstood(why), time: Duration::ZERO };
    let path = args.object.to_str().context("a path that is no UTF-8")?;
    let found = ElfObject::new(path, options())
        .and_then(|mut object| object.get_programs(&args.section, &args.function, &mut platform));
    let mut programs = match found {
        Ok(programs) => programs,
        Err(error) => return Ok(not_understood(error.to_string())),
    };
    let (Some(program), true) = (programs.pop(), programs.is_empty()) else {
        return Ok(not_understood("no such program, or several".to_owned()));
    };
    platform.map_descriptors = program.info.map_descriptors.clone();
    platform.set_program_type(&program.info.program_type);
    let mut best: Option<Answer> = None;
    for _ in 0..args.rounds.max(1) {
        let mut program = program.clone();
        let started = Instant::now();
        let said = verify(&mut program, &platform);
        let time = started.elapsed();
        if matches!(said, Said::NotUnderstood(_)) {
            return Ok(Answer { said, time: Duration::ZERO });
        }
        let time = best.map_or(time, |best| best.time.min(time));
        best = Some(Answer { said, time });
        if time > LONG {
            break;
        }
    }
    best.context("no round")
}

/// From instructions to the verdict.
fn verify(program: &mut RawProgram, platform: &LinuxPlatform) -> Said {
    let options = options();
    let mut notes = Vec::new();
    let sequence = match unmarshal(&program.prog, &mut notes, &program.info, platform, &options) {
        Ok(sequence) => sequence,
        Err(error) => return Said::NotUnderstood(error.to_string()),
    };
    let graph = match Program::from_sequence(&sequence, &mut program.info, platform, &options) {
        Ok(graph) => graph,
        Err(error) => return Said::NotUnderstood(error.to_string()),
    };
    let context = DomainContext {
        program_info: &program.info,
        program: &graph,
        runtime: &options.runtime,
        options: &options,
        platform,
    };
    let mut registry = VariableRegistry::new();
    let result = fwd_analyzer::analyze(&graph, &context, &mut registry);
    if result.failed { Said::Refused } else { Said::Accepted }
}
