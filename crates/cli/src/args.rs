// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use veristable_program::Capabilities;

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
  veristable check --caps bpf,net_admin prog.bpf.o
  veristable check --caps none --unprivileged-bpf-disabled 0 filter.bpf.o
  veristable check --format json *.bpf.o | jq 'select(.verdict == \"rejected\")'

With several kernels the table has a line for each program and a column for each kernel. A kernel that
refuses says what it lacks (helper, kfunc, map type, program type, attach target, instruction, kernel
type, behaviour) where that is the reason, else the first line of its message and the place.

With --caps the loader has only these capabilities; maps are its own. Programs that would load with
more say which.

A FILE is a BPF object, or load requests as JSON (one a line) or in the binary form.

Exit status: 0 every kernel accepts every program; 1 something is rejected or cannot be linked; 2 wrong
usage or unreadable input; 3 nothing is rejected but something is not decided.")]
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

    /// List what programs need of a kernel, and which kernels have it
    #[command(after_help = "\
Examples:
  veristable needs prog.bpf.o
  veristable needs --kernel 6.12.117 --kernel live *.bpf.o
  veristable needs --format json prog.bpf.o | jq 'select(any(.kernels[]; .has == false))'

Listed are program and attach types, attach targets, helpers, kfuncs, map types, classes of instructions
that came after 5.10, kernel symbols, configuration options, and the types and fields that CO-RE looks
for. This is read from the file: a program may never get to what it uses. Optional is what a program
asks after first, or declares weak. `check` says whether a kernel loads it.

Exit status: 0, also if a kernel lacks something; 2 wrong usage or unreadable input.")]
    Needs(NeedsArgs),

    /// Say what changed in a verifier, what of it could be carried over, and what stable trees lack
    #[command(after_help = crate::history_args::HELP)]
    History(crate::history_args::HistoryArgs),

    /// List, show, compare and capture kernels
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },

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

#[derive(Subcommand, Debug)]
pub(crate) enum ProfileCommand {
    /// List the kernels that can be named with --kernel
    List,

    /// Show what is known of a kernel
    #[command(after_help = "\
Examples:
  veristable profile show 6.18.15
  veristable profile show 6.18.15 --section kfuncs --section helpers
  veristable profile show live --section all --format json

Sections: kernel, inputs, limits, behaviours, jit, helpers, kfuncs, program-types, contexts, map-types,
struct-ops, lsm-hooks, tracepoints, lists, destructors, config; all.")]
    Show(ShowArgs),

    /// Show how two kernels differ
    #[command(after_help = "\
Examples:
  veristable profile diff 6.12.117 6.18.15
  veristable profile diff 6.18.15 live --section behaviours --section kfuncs

Compared are limits, behaviours, jit, helpers, kfuncs, program-types, contexts, map-types, struct-ops and
lsm-hooks, unless sections are named.

Exit status: 0 no difference; 1 differences; 2 wrong usage.")]
    Diff(DiffArgs),

    /// Capture the running kernel's profile into a file
    #[command(after_help = "\
Examples:
  sudo veristable profile capture              # into the cache: --kernel live then knows its behaviours
  sudo veristable profile capture server.profile && veristable check --kernel server.profile prog.bpf.o
  veristable profile capture --no-probes laptop.profile
  veristable profile capture --oracle vm:6.18.15 guest.profile

BTF, configuration and symbols are read from files. Behaviours of the verifier are found out by loading
tiny fixed programs, which needs root; they are closed again, never attached or run. Everything else is
taken over from the nearest built-in kernel, and says so. Addresses of symbols are not stored.")]
    Capture(CaptureArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// A kernel as for --kernel
    #[arg(value_name = "NAME")]
    pub(crate) kernel: String,

    /// Only this section (may be repeated); `all` for every one
    #[arg(long = "section", value_name = "SECTION")]
    pub(crate) sections: Vec<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// A kernel as for --kernel
    #[arg(value_name = "A")]
    pub(crate) left: String,

    /// Another
    #[arg(value_name = "B")]
    pub(crate) right: String,

    /// Only this section (may be repeated); `all` for every one
    #[arg(long = "section", value_name = "SECTION")]
    pub(crate) sections: Vec<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Args, Debug)]
pub(crate) struct CaptureArgs {
    /// Whose kernel: `live`, or `vm:NAME` for a Debian kernel in a guest
    #[arg(long, value_name = "ORACLE", default_value = "live")]
    pub(crate) oracle: String,

    /// Load nothing: behaviours are those of the nearest built-in kernel
    #[arg(long)]
    pub(crate) no_probes: bool,

    /// Where to [default: the cache, under the kernel's release]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct NeedsArgs {
    /// Kernel that is asked (may be repeated) [default: every built-in one]
    #[arg(long = "kernel", value_name = "NAME")]
    pub(crate) kernels: Vec<String>,

    /// Only programs with this name (may be repeated)
    #[arg(long = "prog", value_name = "NAME")]
    pub(crate) programs: Vec<String>,

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

impl NeedsArgs {
    /// How the files are read.
    pub(crate) fn link(&self) -> LinkArgs {
        let programs = self.programs.clone();
        LinkArgs { programs, ..LinkArgs::default() }
    }
}

/// How objects become load requests.
#[derive(Args, Debug, Clone, Default)]
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

    /// Capabilities of the loader, joined by commas: bpf, perfmon, net_admin, sys_admin, sys_boot, all
    /// or none [default: all, or what a load request says]
    #[arg(long, value_name = "LIST", value_parser = Capabilities::from_text)]
    pub(crate) caps: Option<Capabilities>,

    /// The program that one of the object's programs traces or replaces a function of (may be
    /// repeated); without a function the one that the program's section names. It counts as loaded
    #[arg(long = "target", value_name = "PROG=OBJECT:TARGET[:FUNCTION]")]
    pub(crate) targets: Vec<String>,
}

/// What of the machine changes an answer, beside its kernel.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct MachineArgs {
    /// Value of kernel.unprivileged_bpf_disabled: with 0, a loader without CAP_BPF may load socket
    /// filters and packet programs of cgroups
    #[arg(long, value_name = "0|1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..3))]
    pub(crate) unprivileged_bpf_disabled: u8,

    /// The kernel was started with mitigations=off
    #[arg(long)]
    pub(crate) mitigations_off: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Kernel whose answer is wanted (may be repeated): a name of `veristable kernels`, `live` for
    /// the running one, or the file of a captured one
    #[arg(long = "kernel", value_name = "NAME", default_value = "6.18.15")]
    pub(crate) kernels: Vec<String>,

    #[command(flatten)]
    pub(crate) link: LinkArgs,

    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    /// Verify everything anew; else verdicts that took long are kept in the cache, by the content of
    /// the request, the kernel and this program
    #[arg(long)]
    pub(crate) no_cache: bool,

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
    /// For people: a table and details
    Text,
    /// One object a line
    Json,
    /// Comma-separated values (of `check` with veristat's column names)
    Csv,
}

impl Format {
    /// The format for what is written at once.
    pub(crate) fn of(self, color: bool) -> veristable_report::Format {
        match self {
            Self::Text => veristable_report::Format::Text { color },
            Self::Json => veristable_report::Format::Json,
            Self::Csv => veristable_report::Format::Csv,
        }
    }
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
