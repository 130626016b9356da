// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Reading the verifier's log.
//!
//! A log is a trace (instructions, register states, source lines, precision marks), then the
//! message of a rejection, then statistics.

use serde::{Deserialize, Serialize};
use veristable_isa::Insn;

/// The statistics line (`print_verification_stats`, `kernel/bpf/verifier.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Instructions processed.
    pub processed_insns: u64,
    /// The limit that it is compared with.
    pub limit: u64,
    /// Most states kept at one instruction.
    pub max_states_per_insn: u64,
    /// States kept in all.
    pub total_states: u64,
    /// Most states alive at one time.
    pub peak_states: u64,
    /// Longest walk of read marks.
    pub mark_read: u64,
}

/// The last statistics line of a log; its presence means that the verifier judged the program.
#[must_use]
pub fn stats(log: &str) -> Option<Stats> {
    log.lines().rev().find_map(parse_stats)
}

fn parse_stats(line: &str) -> Option<Stats> {
    let rest = line.strip_prefix("processed ")?;
    let (processed, rest) = rest.split_once(" insns (limit ")?;
    let (limit, rest) = rest.split_once(") max_states_per_insn ")?;
    let (max, rest) = rest.split_once(" total_states ")?;
    let (total, rest) = rest.split_once(" peak_states ")?;
    let (peak, mark_read) = rest.split_once(" mark_read ")?;
    Some(Stats {
        processed_insns: processed.parse().ok()?,
        limit: limit.parse().ok()?,
        max_states_per_insn: max.parse().ok()?,
        total_states: total.parse().ok()?,
        peak_states: peak.parse().ok()?,
        mark_read: mark_read.trim_end().parse().ok()?,
    })
}

/// The kernel's `verification time`, in microseconds.
#[must_use]
pub fn verification_time(log: &str) -> Option<u64> {
    log.lines().rev().find_map(|line| {
        line.strip_prefix("verification time ")?.strip_suffix(" usec")?.parse().ok()
    })
}

/// The message: the lines after the last instruction, state, source or `mark_precise` line and
/// before the statistics. Empty for an accepted program.
#[must_use]
pub fn message(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let end = statistics_start(&lines);
    let body = lines.get(..end).unwrap_or_default();
    let start = body.iter().rposition(|line| is_trace(line)).map_or(0, |at| at + 1);
    body.get(start..)
        .unwrap_or_default()
        .iter()
        .map(|line| without_statistics(line))
        .filter(|line| !line.trim().is_empty() && !is_candidate_cache(line))
        .collect()
}

/// Whether a line shows the kernel's cache of candidates for CO-RE relocations, in which there is
/// what earlier programs left (`print_cand_cache`, `kernel/bpf/btf.c`).
fn is_candidate_cache(line: &str) -> bool {
    // 6.12 begins the line with a space after one of its messages.
    let line = line.strip_prefix(' ').unwrap_or(line);
    line.starts_with("vmlinux_cand_cache:") || line.starts_with("module_cand_cache:")
}

/// A message without a line end of its own runs into the statistics.
fn without_statistics(line: &str) -> &str {
    let time = line.find("verification time ").filter(|_| line.ends_with(" usec"));
    let depth = line.find("stack depth ").filter(|at| {
        let rest = line.get(at + "stack depth ".len()..).unwrap_or_default();
        rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+')
    });
    line.get(..time.or(depth).unwrap_or(line.len())).unwrap_or(line)
}

/// The number of the line where the statistics begin.
fn statistics_start(lines: &[&str]) -> usize {
    let Some(processed) = lines.iter().rposition(|line| parse_stats(line).is_some()) else {
        return lines.len();
    };
    let above = lines.get(..processed).unwrap_or_default();
    let is_statistic = |line: &&str| {
        ["verification time ", "stack depth ", "subprog ", "insns processed "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    processed - above.iter().rev().take_while(|line| is_statistic(line)).count()
}

/// Whether a line belongs to the trace and not to a message.
#[must_use]
pub fn is_trace(line: &str) -> bool {
    let text = line.trim_start();
    if text.starts_with(';') {
        return true; // source
    }
    if TRACE_STARTS.iter().any(|start| text.starts_with(start)) {
        return true;
    }
    if text.contains(" frame ") && text.contains(" insn ") && text.starts_with('(') {
        return true; // "(0) frame 0 insn 3 +live -8", stack liveness of 6.18
    }
    if text.contains(" live stack update done in ") {
        return true;
    }
    if let Some(rest) = text.strip_prefix("from ") {
        return is_from_to(rest);
    }
    if let Some(rest) = text.strip_prefix("func#") {
        // "func#0 @0", the list of subprograms at level 2
        return number(rest).is_some_and(|(_, rest)| rest.starts_with(" @"));
    }
    is_state(text) || is_numbered(text)
}

/// Starts of lines of the trace that are neither instructions nor registers: precision marks of
/// several ages, headings of states at calls, and what level 2 tells of analyses before simulation.
const TRACE_STARTS: [&str; 15] = [
    "mark_precise: ",
    "last_idx ",
    "regs=",
    "parent state regs=",
    "parent didn't have regs=",
    "falling back to forcing all scalars precise",
    "propagating ",
    "caller:",
    "callee:",
    "returning from callee:",
    "to caller at ",
    "Live regs before insn:",
    "topo_order[",
    "subprog#",
    "stack use/def ",
];

/// `3 to 5: …`, `3 to 5 (speculative execution): …`
fn is_from_to(rest: &str) -> bool {
    let second = number(rest).and_then(|(_, rest)| rest.strip_prefix(" to ")).and_then(number);
    second.is_some_and(|(_, rest)| rest.starts_with(':') || rest.starts_with(" ("))
}

/// ` R0=…`, `R1_w=…`, `frame1: R…`
fn is_state(text: &str) -> bool {
    let text = match text.strip_prefix("frame").and_then(number) {
        Some((_, rest)) => match rest.strip_prefix(':') {
            Some(rest) => rest.trim_start(),
            None => return false,
        },
        None => text,
    };
    let Some((_, rest)) = text.strip_prefix('R').and_then(number) else {
        return text.starts_with("fp-") && text.contains('=');
    };
    let marks = rest.trim_start_matches(['_', 'r', 'w', 'P', 'D']);
    marks.starts_with('=')
}

/// `7: (95) exit`, `7: R0=…`, `7: safe`, and `  7: ..2....... (b7) r0 = 0` of the live registers.
fn is_numbered(text: &str) -> bool {
    let Some((_, rest)) = number(text).and_then(|(n, rest)| Some((n, rest.strip_prefix(':')?)))
    else {
        return false;
    };
    let rest = rest.trim_start();
    rest.is_empty()
        || rest == "safe"
        || is_opcode(rest)
        || rest.starts_with("BUG_") // the disassembler's text of an operation that does not exist
        || is_state(rest)
        || rest.split_once(' ').is_some_and(|(live, insn)| is_live(live) && is_opcode(insn.trim()))
}

fn is_live(text: &str) -> bool {
    text.len() >= 10 && text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
}

/// `(b7) …`
fn is_opcode(text: &str) -> bool {
    text.strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(code, _)| code.len() == 2 && u8::from_str_radix(code, 16).is_ok())
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// What replaces a number that only the running kernel knows.
pub const RUNTIME_VALUE: &str = "0xRUNTIME";

/// The log without what differs from one load to the next: the `verification time` line and the
/// kernel's cache of CO-RE candidates are left out, and the value of a 64-bit load that stands for a map, a map value, a variable or a function
/// of the kernel (source register not 0 in `insns`) is replaced by [`RUNTIME_VALUE`].
#[must_use]
pub fn normalise(log: &str, insns: &[Insn]) -> String {
    let mut out = String::with_capacity(log.len());
    for line in log.split_inclusive('\n') {
        if is_candidate_cache(line) {
            out.push_str(line.split(|c: char| c != ' ').next().unwrap_or(""));
            continue;
        }
        // It may follow a message that has no line end of its own.
        if let Some((before, _)) = line.split_once("verification time ")
            && line.trim_end().ends_with(" usec")
        {
            out.push_str(before);
            continue;
        }
        match runtime_value(line, insns) {
            Some((start, end)) => {
                out.push_str(&line[..start]);
                out.push_str(RUNTIME_VALUE);
                out.push_str(&line[end..]);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// Where in a line the value of a pseudo load stands.
fn runtime_value(line: &str, insns: &[Insn]) -> Option<(usize, usize)> {
    let opcode = line.find("(18) r")?;
    // "12: (18) …", or "mark_precise: … before 12: (18) …"
    let mut head = line.get(..opcode)?.trim_end();
    if let Some((before, live)) = head.rsplit_once(' ')
        && is_live(live)
    {
        head = before.trim_end();
    }
    let index = head.strip_suffix(':')?;
    let digits = index.len() - index.bytes().rev().take_while(u8::is_ascii_digit).count();
    let index: usize = index.get(digits..)?.parse().ok()?;
    if insns.get(index)?.src() == 0 {
        return None;
    }
    let start = opcode + line.get(opcode..)?.find("0x")?;
    let len = line.get(start + 2..)?.bytes().take_while(u8::is_ascii_hexdigit).count();
    Some((start, start + 2 + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTED: &str = "func#0 @0\n\
        Live regs before insn:\n\
        \x20 0: .1........ (bf) r6 = r1\n\
        \x20 1: .......... (95) exit\n\
        0: R1=ctx() R10=fp0\n\
        ; int f(void *ctx) @ a.bpf.c:3\n\
        0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()\n\
        1: (95) exit\n\
        R0 !read_ok\n\
        verification time 23 usec\n\
        stack depth 0+8\n\
        processed 2 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 3 \
        mark_read 4\n";

    #[test]
    fn a_message_without_a_line_end_runs_into_the_statistics() {
        let ours = "bad recordstack depth 0\nprocessed 0 insns (limit 1000000) \
                    max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
        let theirs = ours.replace("stack depth", "verification time 9 usec\nstack depth");
        assert_eq!(message(ours), ["bad record"]);
        assert_eq!(message(&theirs), ["bad record"]);
        assert_eq!(normalise(&theirs, &[]), normalise(ours, &[]));
    }

    #[test]
    fn a_rejection_is_read() {
        let want = Stats {
            processed_insns: 2,
            limit: 1_000_000,
            max_states_per_insn: 1,
            total_states: 2,
            peak_states: 3,
            mark_read: 4,
        };
        assert_eq!(stats(REJECTED), Some(want));
        assert_eq!(verification_time(REJECTED), Some(23));
        assert_eq!(message(REJECTED), ["R0 !read_ok"]);
        assert_eq!(stats("processed many insns"), None);
    }

    #[test]
    fn statistics_of_later_kernels_are_not_message() {
        let log = "invalid BPF_LD_IMM insn\nverification time 1 usec\nstack depth max 8\n\
                   subprog 0 (main) main insns_self 1 insns_total 1 stack 8\n\
                   processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 \
                   peak_states 0 mark_read 0\n";
        assert_eq!(message(log), ["invalid BPF_LD_IMM insn"]);
        let log = log.replace(
            "subprog 0 (main) main insns_self 1 insns_total 1 stack 8",
            "insns processed 2",
        );
        assert_eq!(message(&log), ["invalid BPF_LD_IMM insn"]);
    }

    #[test]
    fn lines_of_the_trace() {
        let trace = [
            "7: (95) exit",
            "12: R0=1 R10=fp0",
            "12: frame1: R0=1",
            " frame1: R1_w=scalar()",
            " R0_rwP=inv0 R10=fp0 fp-8=mmmmmmmm",
            "from 3 to 5: R0=1",
            "from 3 to 5 (speculative execution): safe",
            "5: safe",
            "mark_precise: frame0: regs=r1 stack= before 3: (bf) r1 = r0",
            "regs=4 stack=0 before 2: (b7) r2 = 8",
            "func#1 @8",
            "to caller at 4:",
            "topo_order[0] = ",
            "subprog#0: analyzing (depth 0)...",
            "stack use/def subprog#0 (d0,cs0):",
            "(0) frame 0 insn 3 +live -8",
            "; x = *p;",
            "  3: 01........ (85) call bpf_ktime_get_ns#5",
        ];
        for line in trace {
            assert!(is_trace(line), "{line}");
        }
        let message = [
            "R0 !read_ok",
            "R1 invalid mem access 'scalar'",
            "func#1 at 5: bad",
            "from nowhere",
            "math between map_value pointer and register with unbounded min value is not allowed",
            "invalid access to packet, off=0 size=8, R1(id=0,off=0,r=0)",
            "back-edge from insn 3 to 1",
            "Caller passes invalid args into func#1 ('f')",
        ];
        for line in message {
            assert!(!is_trace(line), "{line}");
        }
    }

    #[test]
    fn only_pseudo_loads_are_normalised() {
        let insns = [
            Insn::new(0x18, 1, 1, 0, 0),
            Insn::default(),
            Insn::new(0x18, 2, 0, 0, 5),
            Insn::default(),
        ];
        let log = "0: (18) r1 = 0xffff9d1c83b6a000 ; R1=map_ptr()\n2: (18) r2 = 0x5\n\
                   \x20 0: ..2....... (18) r1 = 0xffff9d1c83b6a000\nverification time 9 usec\nend";
        let want = "0: (18) r1 = 0xRUNTIME ; R1=map_ptr()\n2: (18) r2 = 0x5\n\
                    \x20 0: ..2....... (18) r1 = 0xRUNTIME\nend";
        assert_eq!(normalise(log, &insns), want);
    }
}
