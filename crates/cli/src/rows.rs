// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From outcomes to rows of a report.

use std::time::Instant;
use veristable_btf::{Btf, LineInfo, Record};
use veristable_isa::{Dialect, Insn, Names, Style, disassemble};
use veristable_kernel::{DesignId, HelperId, Kernel, Profile, ProgType};
use veristable_needs::{ItemKind, missing};
use veristable_object::{LinkError, Object};
use veristable_program::{Capabilities, LoadRequest, LogRequest};
use veristable_report::{Instruction, Missing, Row, SourceLine, Stats, Verdict};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect as Words, Machine, Options, Outcome, Rejected, Silent, verify};

/// Bytes of log that are kept; libbpf's own buffer has this size as well.
const LOG_SIZE: u32 = 16 << 20;

/// How programs are asked about, beside what the requests say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Level of the log that is wanted, 0 for none.
    pub(crate) log_level: u32,
    /// The machine that would load.
    pub(crate) machine: Machine,
}

impl Asked {
    fn options(self) -> Options<'static> {
        Options { machine: self.machine, ..Options::default() }
    }
}

/// A program that is not loadable as no loader can link it, or not known to be.
pub(crate) fn unlinked(row: Row, error: &LinkError, object: &Object, kernel: &dyn Kernel) -> Row {
    let why = error.to_string();
    if let LinkError::UnknownFact(_) = error {
        return undecided(row, why);
    }
    let info = object.programs().find(|p| p.name == row.program && p.section == row.section);
    let missing = info.and_then(|info| missing::at_link(error, object, &info, kernel));
    Row { message: Some(why), missing: missing.map(lacking), ..row }
}

/// A thing that is missing, for the report.
fn lacking(missing: veristable_needs::Missing) -> Missing {
    let veristable_needs::Missing { kind, name, why } = missing;
    Missing { kind: kind.to_string(), name, why }
}

/// Names the behaviours that a refusal hangs on: those in which `kernel` would have to be as
/// `other`, which accepts the program.
pub(crate) fn explain(
    row: &mut Row,
    request: &LoadRequest,
    kernel: &Profile,
    other: &Profile,
    asked: Asked,
) {
    let Outcome::Rejected(rejected) = verify(request, kernel, &asked.options(), &mut Silent) else {
        return;
    };
    let found = veristable_needs::responsible(request, &rejected, kernel, other);
    if found.is_empty() {
        return;
    }
    let ids: Vec<&str> = found.iter().map(|behaviour| behaviour.id()).collect();
    let docs: Vec<&str> = found.iter().map(|behaviour| behaviour.doc().trim()).collect();
    row.missing = Some(Missing {
        kind: ItemKind::Behaviour.to_string(),
        name: ids.join(", "),
        why: docs.join(" "),
    });
}

/// What a loader with fewer capabilities lacks, if with more of them the program is accepted: the
/// smallest set that suffices.
fn missing_capabilities(
    request: &LoadRequest,
    kernel: &dyn Kernel,
    asked: Asked,
) -> Option<Missing> {
    let accepted = |capabilities: Capabilities| {
        let request = LoadRequest { capabilities, ..request.clone() };
        let outcome = verify(&request, kernel, &asked.options(), &mut Silent);
        matches!(outcome, Outcome::Accepted(_))
    };
    let absent: Vec<Capabilities> =
        Capabilities::all().difference(request.capabilities).iter().collect();
    if absent.is_empty() || !accepted(Capabilities::all()) {
        return None;
    }
    let mut sets: Vec<Capabilities> = (1..1_u32 << absent.len())
        .map(|set| {
            (0..).zip(&absent).filter(move |(bit, _)| set >> bit & 1 != 0).map(|(_, one)| *one)
        })
        .map(|members| members.collect())
        .collect();
    // CAP_SYS_ADMIN stands in for others, and is much to ask for.
    sets.sort_by_key(|set| (set.contains(Capabilities::SYS_ADMIN), set.iter().count()));
    let enough = sets.into_iter().find(|set| accepted(request.capabilities | *set))?;
    let names: Vec<String> = enough.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    Some(Missing {
        kind: "capability".to_owned(),
        name: names.join(", "),
        why: "the loader does not have it, and with it the program is accepted".to_owned(),
    })
}

/// Verifies a request and fills in what is found. `object` is where it was linked from.
pub(crate) fn verified(
    row: Row,
    request: &LoadRequest,
    object: Option<&Object>,
    kernel: &dyn Kernel,
    asked: Asked,
) -> Row {
    if let Some(missing) = missing::map(request, kernel) {
        let message = Some(missing.why.clone());
        return Row { message, missing: Some(lacking(missing)), ..typed(row, request) };
    }
    let (level, options) = (asked.log_level, asked.options());
    let started = Instant::now();
    let (outcome, log) = if level == 0 {
        (verify(request, kernel, &options, &mut Silent), None)
    } else {
        let mut request = request.clone();
        request.log = LogRequest { level, size: LOG_SIZE };
        let mut log = KernelLog::new(request.log, Words::of(kernel.design()));
        let outcome = verify(&request, kernel, &options, &mut log);
        (outcome, Some(log.text()))
    };
    let time_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let row = Row {
        stats: outcome.stats().map(stats),
        time_us: Some(time_us),
        log,
        ..typed(row, request)
    };
    match outcome {
        Outcome::Accepted(_) => Row { verdict: Verdict::Accepted, ..row },
        Outcome::Rejected(rejected) => {
            let lacks = missing_capabilities(request, kernel, asked);
            let missing = || missing::at_verification(&rejected, request, object, kernel);
            let missing = lacks.or_else(|| missing().map(lacking));
            Row { missing, ..rejection(row, &rejected, request, kernel) }
        }
        Outcome::Unsupported(feature) => Row {
            insn: feature.insn.and_then(|i| instruction(request, kernel, i)),
            ..undecided(row, feature.to_string())
        },
        Outcome::UnknownFact(fact) => undecided(row, format!("unknown fact: {fact}")),
        Outcome::Aborted(abort) => undecided(row, abort.to_string()),
    }
}

/// A row with what the request says of the program.
fn typed(row: Row, request: &LoadRequest) -> Row {
    Row {
        prog_type: prog_type(request.prog_type),
        attach_type: attach_type(request),
        program_insns: request.insns.len() as u64,
        ..row
    }
}

fn undecided(row: Row, why: String) -> Row {
    Row { verdict: Verdict::Unsupported, message: Some(why), ..row }
}

fn rejection(row: Row, rejected: &Rejected, request: &LoadRequest, kernel: &dyn Kernel) -> Row {
    Row {
        verdict: Verdict::Rejected,
        errno: Some(i32::from(rejected.errno.0)),
        message: Some(message(rejected, Words::of(kernel.design()))).filter(|m| !m.is_empty()),
        insn: rejected.insn.and_then(|i| instruction(request, kernel, i)),
        ..row
    }
}

/// The kernel's words for a rejection, as they end its log.
fn message(rejected: &Rejected, words: Words) -> String {
    let mut text = String::new();
    for message in &rejected.messages {
        text.push_str(&message.text(words).to_string());
        if message.ends_line() {
            text.push('\n');
        }
    }
    text.trim_end_matches('\n').to_owned()
}

fn stats(stats: &veristable_verifier::Stats) -> Stats {
    Stats {
        processed_insns: stats.processed_insns.into(),
        total_states: stats.total_states.into(),
        peak_states: stats.peak_states.into(),
        max_states_per_insn: stats.max_states_per_insn.into(),
    }
}

/// A program type in the lower-case spelling of its constant.
fn prog_type(ty: ProgType) -> String {
    ty.name().map_or_else(|| ty.0.to_string(), str::to_ascii_lowercase)
}

fn attach_type(request: &LoadRequest) -> String {
    let ty = request.expected_attach_type;
    match request.prog_type {
        ProgType::STRUCT_OPS => ty.0.to_string(),
        _ if ty.0 == 0 => String::new(),
        _ => ty.name().map_or_else(|| ty.0.to_string(), str::to_ascii_lowercase),
    }
}

/// Names of helpers as the kernel knows them.
struct HelperNames<'a>(&'a dyn Kernel);

impl Names for HelperNames<'_> {
    fn helper(&self, id: u32) -> Option<&str> {
        self.0.helper_name(HelperId(id))
    }
}

/// An instruction of the linked program, with its source line.
fn instruction(request: &LoadRequest, kernel: &dyn Kernel, index: u32) -> Option<Instruction> {
    let at = usize::try_from(index).ok()?;
    let insn: Insn = *request.insns.get(at)?;
    let next = request.insns.get(at + 1).copied();
    let dialect = match kernel.design() {
        DesignId::V6_12 => Dialect::LINUX_6_12,
        _ => Dialect::LINUX_6_18,
    };
    let style = Style { dialect, allow_ptr_leaks: true };
    let mut text = String::new();
    disassemble(&mut text, insn, next, style, &HelperNames(kernel)).ok()?;
    Some(Instruction { index, text, source: source_line(request, index) })
}

/// The last line info record at or before an instruction.
fn source_line(request: &LoadRequest, index: u32) -> Option<SourceLine> {
    let table = &request.line_info;
    let btf = Btf::open(request.btf.as_deref()?).ok()?;
    let record = table
        .bytes
        .chunks_exact(usize::try_from(table.rec_size).ok().filter(|size| *size > 0)?)
        .map_while(LineInfo::read)
        .take_while(|record| record.insn_offset <= index)
        .last()?;
    let file = record.file(&btf).into_owned();
    Some(SourceLine {
        file,
        line: record.line(),
        column: record.column(),
        text: record.text(&btf).trim().to_owned(),
    })
}
