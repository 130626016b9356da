// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Will this kernel load this BPF program, and if not, why not?
#[derive(Parser, Debug)]
#[command(name = "veristable", version, about, max_term_width = 100)]
#[command(after_help = "\
Exit status: 0 everything is accepted; 1 something is rejected or cannot be linked; 2 wrong usage or
unreadable input; 3 nothing is rejected but something is not decided.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Say what a kernel's verifier says about each program
    #[command(after_help = "\
Examples:
  veristable check prog.bpf.o
  veristable check --kernel 6.12.117 --kernel 6.18.15 prog.bpf.o
  veristable check --prog on_exec --log-level 2 prog.bpf.o
  veristable check -G debug=1 -G 'limits[2]=64' --map-size events=4096 prog.bpf.o
  veristable check --format json *.bpf.o | jq 'select(.verdict == \"rejected\")'

A FILE is a BPF object, or load requests as JSON (one a line) or in the binary form.")]
    Check(CheckArgs),

    /// Check, and ask a real kernel whether it agrees
    #[command(after_help = "\
Examples:
  veristable confirm --oracle live prog.bpf.o
  veristable confirm --oracle vm:6.18.15 --logs prog.bpf.o
  veristable confirm --oracle vm:6.12.117 --probe

The live kernel needs root; programs are loaded and closed again, never attached or run. A guest needs
qemu-system-x86_64, and downloads its kernel on first use.

Exit status: 0 the oracle agrees with every verdict; 1 something disagrees; 2 wrong usage, unreadable
input, or no oracle; 3 nothing disagrees but something is not decided.")]
    Confirm(ConfirmArgs),

    /// Write the load requests of an object as JSON, one a line
    #[command(after_help = "\
Example:
  veristable requests --kernel 6.18.15 prog.bpf.o > requests.json && veristable check requests.json")]
    Requests(RequestsArgs),

    /// List the kernels that can be named with --kernel
    Kernels,

    /// Write completions for a shell to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Write the manual page to standard output
    Man,
}

/// How objects become load requests.
#[derive(Args, Debug, Clone)]
pub(crate) struct LinkArgs {
    /// Only programs with this name (may be repeated)
    #[arg(long = "prog", value_name = "NAME")]
    pub(crate) programs: Vec<String>,

    /// Set a global variable of read-only or initialised data before linking, as veristat does
    #[arg(short = 'G', long = "set", value_name = "NAME=VALUE")]
    pub(crate) globals: Vec<String>,

    /// Set the number of entries of a map (0 in the object becomes 1 unless given)
    #[arg(long, value_name = "MAP=N")]
    pub(crate) map_size: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Kernel whose answer is wanted (may be repeated): a name of `veristable kernels`, or `live`
    #[arg(long = "kernel", value_name = "NAME", default_value = "6.18.15")]
    pub(crate) kernels: Vec<String>,

    #[command(flatten)]
    pub(crate) link: LinkArgs,

    /// Also write the log that the kernel would write: 1 the last path, 2 every path, +4 statistics
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..16))]
    pub(crate) log_level: u32,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// Objects or load requests
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ConfirmArgs {
    /// Who is asked: `live`, or `vm:NAME` for a Debian kernel in a guest
    #[arg(long, value_name = "ORACLE")]
    pub(crate) oracle: String,

    /// Kernel whose answer is predicted [default: the oracle's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,

    #[command(flatten)]
    pub(crate) link: LinkArgs,

    /// Print both logs of every disagreement
    #[arg(long)]
    pub(crate) logs: bool,

    /// Only find out whether the oracle answers
    #[arg(long)]
    pub(crate) probe: bool,

    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// Objects or load requests
    #[arg(value_name = "FILE", required_unless_present = "probe")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RequestsArgs {
    /// Kernel to link for
    #[arg(long, value_name = "NAME", default_value = "6.18.15")]
    pub(crate) kernel: String,

    #[command(flatten)]
    pub(crate) link: LinkArgs,

    /// Objects or load requests
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// A table, and each refusal with its source line
    Text,
    /// One object a line
    Json,
    /// Comma-separated values with veristat's column names
    Csv,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Color {
    /// On terminals, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether output to `stream` is to be coloured.
    pub(crate) fn wanted(self, stream: &impl std::io::IsTerminal) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}
