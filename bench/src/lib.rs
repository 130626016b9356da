// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A fixed set of programs, whose verification is counted in instructions by
//! `cargo bench -p veristable-bench`; `accepted.txt` holds the figures that stand.
//!
//! All are ours: made in code (`made`) or compiled from `examples/`. Each is of one kind of work,
//! large enough that this work outweighs what every verification costs, and small enough for
//! valgrind. A change of a program changes its figure: rather add one than change one.
#![forbid(unsafe_code)]

mod made;

use anyhow::{Context, Result, bail};
use veristable_corpus::rules;
use veristable_kernel::{Kernel, Profile};
use veristable_object::{LinkOptions, Object};
use veristable_program::{LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Machine, Options, Outcome, verify};

/// The kernel whose verifier is counted.
pub const KERNEL: &str = "6.18.15";

/// Name and source of every program.
pub const SET: [(&str, Source); 14] = [
    ("straight", Source::Made(made::straight)),
    ("diamonds", Source::Made(made::diamonds)),
    ("bounded_loop", Source::Made(made::bounded_loop)),
    ("nested_loops", Source::Made(made::nested_loops)),
    ("subprograms", Source::Made(made::subprograms)),
    ("map_values", Source::Made(made::map_values)),
    ("precision", Source::Made(made::precision)),
    ("callback", Source::Made(made::callback)),
    ("iterator", Source::Made(made::iterator)),
    ("kernel_types", Source::Made(made::kernel_types)),
    ("packet", Source::Made(made::packet)),
    ("references", Source::Made(made::references)),
    ("example_xdp_ports", Source::Example(include_bytes!("../../examples/xdp_ports.bpf.o"))),
    ("example_subprog", Source::Example(include_bytes!("../../examples/subprog.bpf.o"))),
];

/// Where a program comes from.
#[derive(Clone, Copy)]
pub enum Source {
    /// A function writes it, in the form of rule files.
    Made(fn() -> String),
    /// The first program of an object of `examples/`.
    Example(&'static [u8]),
}

/// Everything that [`run`](Prepared::run) needs.
#[derive(Debug)]
pub struct Prepared {
    request: LoadRequest,
    kernel: Profile,
    log: KernelLog,
    options: Options<'static>,
}

impl Prepared {
    /// Makes a program of the [`SET`] and opens the kernel.
    ///
    /// # Errors
    ///
    /// No program has the name, it cannot be made, or the kernel cannot be opened.
    pub fn new(name: &str) -> Result<Self> {
        let kernel = veristable_profiles::open(KERNEL)?;
        let source = SET.iter().find(|(known, _)| *known == name).map(|(_, source)| *source);
        let source = source.with_context(|| format!("no program {name}"))?;
        let request = request(source, &kernel).with_context(|| name.to_owned())?;
        let request = LoadRequest { log: LogRequest::default(), ..request };
        let log = KernelLog::new(request.log, Dialect::of(kernel.design()));
        // What the machine has must not be asked of the one that counts.
        let machine = Machine { cpus: Some(1), ..Machine::default() };
        let options = Options { machine, ..Options::default() };
        Ok(Self { request, kernel, log, options })
    }

    /// What is counted.
    pub fn run(&mut self) -> Outcome {
        verify(&self.request, &self.kernel, &self.options, &mut self.log)
    }
}

fn request(source: Source, kernel: &Profile) -> Result<LoadRequest> {
    match source {
        Source::Made(text) => {
            let cases = rules::parse(&text(), kernel)?;
            Ok(cases.into_iter().next().context("no case")?.request)
        }
        Source::Example(bytes) => {
            let linked = Object::parse(bytes, "example")?.link(kernel, &LinkOptions::default());
            let Some((_, request)) = linked.programs.into_iter().next() else {
                bail!("no program in it");
            };
            Ok(request?)
        }
    }
}
