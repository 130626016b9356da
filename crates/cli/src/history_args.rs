// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The command line of `veristable history`.

use crate::args::Color;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use veristable_history::boundary::Preset;
use veristable_report::{Format, HistoryFormat};

pub(crate) const HELP: &str = "\
Examples:
  veristable history --range v6.3^..v6.13 linux.git
  veristable history --boundary kernel/bpf/verifier.c --boundary include/linux/bpf_verifier.h linux.git
  veristable history --range v6.1..master --tree stable/linux-6.1.y --fail-on missing-security --cves vulns/cve linux.git
  veristable history --commits commits.json --patchsets patchsets.json --tree changelog.Debian.gz
  veristable history --format html --tree queue-6.6=stable-queue/queue-6.6 linux.git > history.html
  veristable history --references linux-6.12 --references linux-7.3

A boundary is the set of files that could be replaced together; what it would let through is counted. Tests,
documents, tools and samples do not count. Patterns: * and ? within a name, ** across directories, DIR/.

A TREE is a branch, tag or commit of the repository, a directory of patches (with or without `series`), the
changelog of a Debian kernel package, or CNA pairs (.dyad files). A file wins over a branch of the same name.
Each row says by which method a commit was found there, and how sure that is. Without a repository, commits
older than the range are taken for part of every tree.

The repository is only read, no network is used, and nothing in it is run.

Exit status: 0; 1 a condition of --fail-on holds; 2 wrong usage or unreadable input.";

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// A boundary with a name
    #[arg(long, value_enum, default_value_t = PresetName::Xu, conflicts_with = "boundary")]
    pub(crate) preset: PresetName,

    /// Files inside of the boundary (may be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) boundary: Vec<String>,

    /// Files that do not count, beside tests, documents, tools and samples (may be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) ignore: Vec<String>,

    /// Commits that are looked at: A..B, or B with everything before [default: HEAD]
    #[arg(long, value_name = "RANGE", requires = "repository")]
    pub(crate) range: Option<String>,

    /// A stable tree (may be repeated)
    #[arg(long = "tree", value_name = "[NAME=]TREE")]
    pub(crate) trees: Vec<String>,

    /// Vulnerabilities: .dyad files of the CNA, a directory with them, or JSON
    #[arg(long, value_name = "PATH")]
    pub(crate) cves: Option<PathBuf>,

    /// Do not read patches: faster, but without symbols, patch ids and trials
    #[arg(long)]
    pub(crate) no_patches: bool,

    /// Also list every commit (text)
    #[arg(long)]
    pub(crate) list: bool,

    /// Exit with status 1 if a tree lacks such (may be repeated)
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) fail_on: Vec<FailOn>,

    /// Commits as JSON, instead of a repository
    #[arg(long, value_name = "FILE", conflicts_with = "repository")]
    pub(crate) commits: Option<PathBuf>,

    /// Merged patch sets as JSON
    #[arg(long, value_name = "FILE", requires = "commits")]
    pub(crate) patchsets: Option<PathBuf>,

    /// Write commits.json and patchsets.json into this directory, and nothing else
    #[arg(long, value_name = "DIR")]
    pub(crate) write_data: Option<PathBuf>,

    /// List the kernel symbols that the verifier in a source tree or an object file refers to; with two,
    /// how they differ
    #[arg(long, value_name = "PATH", conflicts_with_all = ["repository", "commits"])]
    pub(crate) references: Vec<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t = HistoryOutput::Text)]
    pub(crate) format: HistoryOutput,

    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// A local git repository, bare or not
    #[arg(value_name = "REPOSITORY", required_unless_present_any = ["commits", "references"])]
    pub(crate) repository: Option<PathBuf>,
}

/// Boundaries with names.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PresetName {
    /// kernel/bpf/verifier.c, as Daniel Xu counted
    Xu,
    /// The files that it was split into
    #[value(name = "verifier-7")]
    Verifier7,
    /// Everything in kernel/bpf
    KernelBpf,
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Xu => Self::Xu,
            PresetName::Verifier7 => Self::Verifier7,
            PresetName::KernelBpf => Self::KernelBpf,
        }
    }
}

/// What a tree must not lack.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FailOn {
    /// A fix of what it has
    #[value(name = "missing-fix")]
    Fix,
    /// A fix of a vulnerability
    #[value(name = "missing-security")]
    Security,
    /// Tests that came with a fix that it has
    #[value(name = "missing-test")]
    Test,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HistoryOutput {
    /// For people: tables
    Text,
    /// One object
    Json,
    /// A line for each commit
    Csv,
    /// One page with pictures
    Html,
    /// Drafts of mails that ask for what trees lack
    Mail,
}

impl HistoryOutput {
    pub(crate) fn of(self, color: bool) -> HistoryFormat {
        match self {
            Self::Text => HistoryFormat::Common(Format::Text { color }),
            Self::Json => HistoryFormat::Common(Format::Json),
            Self::Csv => HistoryFormat::Common(Format::Csv),
            Self::Html => HistoryFormat::Html,
            Self::Mail => HistoryFormat::Mail,
        }
    }
}
