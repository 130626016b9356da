// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Tables of tests that are C: a generated program prints them, one JSON object a line.
//!
//! Each table has a harness of its own; the steps around it are the same and stand here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use veristable_corpus::cache;

use super::apt::Apt;
use super::source::{Line, Sources};
use super::tools;

/// The functions that every harness prints with; they go in front of it.
pub(super) const COMMON: &str = include_str!("dump_common.c");

/// The directory of the BPF selftests in a source tree.
pub(super) const SELFTESTS: &str = "tools/testing/selftests/bpf";

/// Arguments of a subcommand that dumps a table.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel lines to dump; all that have the table when left out
    #[arg(value_enum)]
    lines: Vec<Line>,
    /// Fetch the package lists again even if they are recent
    #[arg(long)]
    refresh: bool,
}

/// A table of tests.
pub(super) struct Table {
    /// The sets are called `PREFIX-LINE`.
    pub(super) prefix: &'static str,
    /// The lines that have it.
    pub(super) lines: &'static [Line],
    /// Name of the dump in the set's directory.
    pub(super) file: &'static str,
    /// Generates the program from a source tree in a work directory, and compiles it.
    pub(super) compile: fn(tree: &Path, work: &Path) -> Result<PathBuf>,
    /// Reads a set's dump back and says what is in it: a dump that the library cannot read is of
    /// no use.
    pub(super) read_back: fn(dir: &Path) -> Result<String>,
}

impl Table {
    /// Dumps the chosen lines; a line that the archive no longer has does not keep the others away.
    pub(super) fn run(&self, args: &Args) -> Result<()> {
        if !tools::present("gcc") {
            bail!("gcc is not installed: install the packages gcc and libc6-dev");
        }
        let apt = Apt::open(args.refresh)?;
        let lines = if args.lines.is_empty() { self.lines } else { &args.lines };
        let mut failed = Vec::new();
        for line in lines {
            let set = format!("{}-{}", self.prefix, line.name());
            if let Err(error) = self.dump(&apt, *line, &set) {
                eprintln!("{set}: {error:#}");
                failed.push(set);
            }
        }
        if !failed.is_empty() {
            bail!("not made: {}", failed.join(", "));
        }
        Ok(())
    }

    fn dump(&self, apt: &Apt, line: Line, set: &str) -> Result<()> {
        let sources = Sources::open(apt, line)?;
        let dir = cache::set_dir(set)?;
        let work = dir.join(".build");
        super::remove_dir(&work)?;
        let program = (self.compile)(&sources.tree, &work)?;
        eprintln!("{set}: running the dump");
        let text = tools::output(&mut Command::new(&program))?;
        cache::write_whole(&dir.join(self.file), &text)?;
        let about = format!("{}={}\n", sources.package, sources.version);
        cache::write_whole(&dir.join("source.txt"), about.as_bytes())?;
        super::remove_dir(&work)?;
        println!("{}: {}", dir.display(), (self.read_back)(&dir)?);
        Ok(())
    }
}
