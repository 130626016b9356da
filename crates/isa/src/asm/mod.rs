// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! An assembler, for tests.
//!
//! One instruction a line, in the kernel's text ([`mod@crate::disasm`]) or LLVM's. Whatever
//! [`listing`] writes assembles to the same slots.
//!
//! ```text
//! ; A comment. Numbers are decimal or 0x hexadecimal.
//!     r0 = 0                      ; moves: r1 = r2, w1 = w2, r1 = (s8)r2
//!     r2 = 0x123456789 ll         ; 64-bit immediate load (two slots)
//!     w1 += -5                    ; also -= *= /= s/= %= s%= &= |= ^= <<= >>= s>>=
//!     r1 = -r1
//!     r1 = be16 r1                ; le16, bswap16; 32 and 64
//!     r0 = *(u32 *)(r1 + 4)       ; u8 to u64; s8, s16, s32
//!     *(u64 *)(r10 - 8) = r0      ; or a number
//!     r0 = *(u16 *)skb[r3 + 12]   ; or skb[12]
//!     lock *(u64 *)(r1 + 0) += r2 ; also |= &= ^=
//!     r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)
//!     r0 = atomic_cmpxchg((u32 *)(r1 + 0), r0, r2)
//!     r0 = load_acquire((u32 *)(r1 + 0))
//!     store_release((u32 *)(r1 + 0), r2)
//!     r1 = addr_space_cast(r1, 0, 1)
//! again:
//!     if r1 s> 5 goto again       ; or goto +2, goto pc+2
//!     goto out                    ; gotol, may_goto; gotox r1
//!     call callee                 ; a label; or pc+3
//!     call bpf_map_lookup_elem    ; a helper or kernel function that the resolver knows
//!     call 1                      ; a helper by number
//!     call kfunc 77 off 1         ; a kernel function by BTF id (and fd_array index) or name
//!     r1 = map[counters]          ; or map[fd:3], map[idx:0]
//!     r1 = map[counters][16]      ; the map's value, plus 16
//!     r1 = btf[bpf_prog_active]   ; kernel symbol; or btf[id:5], btf[id:5][7] with a BTF's fd 7
//!     r1 = func[callee]           ; address of a subprogram; or func[pc+5]
//!     .raw 0xb7 1 0 0 -1          ; any slot: code, dst, src, off, imm
//! out:
//!     exit
//! callee: exit
//! ```
//!
//! In front of an instruction may stand its slot number and its opcode, as in the kernel's logs:
//! `3: (b7) r1 = 0`. Both are checked. The opcode `(18)` makes a 64-bit immediate load of a plain
//! number; the kernel does not write `ll`. Registers are `r0` to `r15` although those over 10 do not
//! exist, so that tests can name them.

mod error;
mod listing;
mod parse;
mod scan;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub use error::{Error, ErrorKind};
pub use listing::{Listing, listing};

use crate::op::{CallKind, Imm64, Op};
use crate::{Encoded, Insn, encode};
use error::Failure;
use parse::{Statement, statement, with_distance};
use scan::Scanner;

/// What names mean.
pub trait Resolver {
    /// Number of a helper.
    fn helper(&self, name: &str) -> Option<i32> {
        let _ = name;
        None
    }

    /// BTF id of a kernel function and index of its BTF in `fd_array` (0 for vmlinux).
    fn kfunc(&self, name: &str) -> Option<(i32, i16)> {
        let _ = name;
        None
    }

    /// File descriptor of a map.
    fn map(&self, name: &str) -> Option<i32> {
        let _ = name;
        None
    }

    /// BTF id of a kernel variable or function and file descriptor of its BTF (0 for vmlinux).
    fn symbol(&self, name: &str) -> Option<(u32, i32)> {
        let _ = name;
        None
    }
}

/// Knows no names.
impl Resolver for () {}

/// An assembled text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program<'a> {
    /// The slots.
    pub insns: Vec<Insn>,
    /// One entry for each instruction, in order.
    pub lines: Vec<Line<'a>>,
    /// Labels and the slots they stand for, in order of the text. A label at the end stands for the
    /// slot after the last one.
    pub labels: Vec<(&'a str, usize)>,
    /// Comments on lines without an instruction.
    pub comments: Vec<Comment<'a>>,
}

/// Where an instruction came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Its (first) slot.
    pub slot: usize,
    /// Line of the text, from 1.
    pub line: usize,
    /// The comment on the line, without semicolon and surrounding white space.
    pub comment: Option<&'a str>,
}

/// A comment on a line of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comment<'a> {
    /// Slot of the next instruction.
    pub slot: usize,
    /// Line of the text, from 1.
    pub line: usize,
    /// The comment, without semicolon and surrounding white space.
    pub text: &'a str,
}

/// A statement on its way to slots.
struct Draft<'a> {
    statement: Statement<'a>,
    /// Text of the line, for columns.
    text: &'a str,
    line: usize,
    slot: usize,
    /// The opcode written in front and its byte position.
    code: Option<(u8, usize)>,
}

/// Assembles a text.
///
/// Needs memory in proportion to the text: two slots for a line at most.
///
/// # Errors
///
/// The first error in the text; errors about names come after all others.
pub fn assemble<'a>(text: &'a str, resolver: &dyn Resolver) -> Result<Program<'a>, Error> {
    let mut program =
        Program { insns: Vec::new(), lines: Vec::new(), labels: Vec::new(), comments: Vec::new() };
    let mut labels = BTreeMap::new();
    let mut drafts = Vec::new();
    let mut slot = 0;
    for (number, text) in (1..).zip(text.lines()) {
        let (code, comment) = match text.split_once(';') {
            Some((code, comment)) => (code, Some(comment.trim())),
            None => (text, None),
        };
        let draft = read_line(code, number, slot, &mut labels, &mut program.labels)
            .map_err(|failure| failure.place(number, text))?;
        if let Some(draft) = draft {
            program.lines.push(Line { slot, line: number, comment });
            slot += slots(&draft.statement);
            drafts.push(draft);
        } else if let Some(text) = comment {
            program.comments.push(Comment { slot, line: number, text });
        }
    }
    for draft in &drafts {
        let slots =
            finish(draft, &labels, resolver).map_err(|f| f.place(draft.line, draft.text))?;
        program.insns.extend(slots.iter());
    }
    Ok(program)
}

/// Slots a statement will take.
fn slots(statement: &Statement<'_>) -> usize {
    match statement {
        Statement::Slots(slots) => slots.iter().count(),
        Statement::ToLabel { op, .. } => op.slots(),
        Statement::Call { .. } | Statement::CallKfunc { .. } => 1,
        Statement::Map { .. } | Statement::Symbol { .. } => 2,
    }
}

/// Reads labels and the instruction of a line without its comment.
fn read_line<'a>(
    text: &'a str,
    line: usize,
    slot: usize,
    labels: &mut BTreeMap<&'a str, usize>,
    in_order: &mut Vec<(&'a str, usize)>,
) -> Result<Option<Draft<'a>>, Failure> {
    let s = &mut Scanner::new(text);
    loop {
        let start = s.at();
        if let Some(label) = s.name()
            && s.eat(":")
        {
            if labels.insert(label.text, slot).is_some() {
                return Err(label.fail(ErrorKind::DuplicateLabel(label.text.to_owned())));
            }
            in_order.push((label.text, slot));
            continue;
        }
        s.back_to(start);
        let written = s.number()?;
        if let Some(written) = written
            && s.eat(":")
        {
            if usize::try_from(written) != Ok(slot) {
                return Err(Failure { at: start, kind: ErrorKind::Slot { actual: slot } });
            }
            continue;
        }
        s.back_to(start);
        break;
    }
    if s.at_end() {
        return Ok(None);
    }
    let at = s.at();
    let code = s.opcode();
    let statement = statement(s, code)?;
    if !s.at_end() {
        return s.fail(ErrorKind::Trailing);
    }
    Ok(Some(Draft { statement, text, line, slot, code: code.map(|code| (code, at)) }))
}

/// Fills in what names mean.
fn finish(
    draft: &Draft<'_>,
    labels: &BTreeMap<&str, usize>,
    resolver: &dyn Resolver,
) -> Result<Encoded, Failure> {
    let distance_to = |slot: usize| {
        let distance = i128::try_from(slot).ok()? - i128::try_from(draft.slot).ok()? - 1;
        i32::try_from(distance).ok()
    };
    let to_label = |op, slot| {
        let op = distance_to(slot).and_then(|distance| with_distance(op, distance));
        op.ok_or(ErrorKind::TooFar)
    };
    let encoded = match draft.statement {
        Statement::Slots(slots) => slots,
        Statement::ToLabel { op, label } => {
            let op = match labels.get(label.text) {
                Some(&slot) => to_label(op, slot),
                None => Err(ErrorKind::UnknownLabel(label.text.to_owned())),
            };
            encode(op.map_err(|kind| label.fail(kind))?)
        }
        Statement::Call { name, number } => {
            let op = match (labels.get(name.text), number) {
                (Some(&slot), None) => to_label(Op::Call(CallKind::Subprog { off: 0 }), slot),
                _ => call_by_name(name.text, number, resolver).map(Op::Call),
            };
            encode(op.map_err(|kind| name.fail(kind))?)
        }
        Statement::CallKfunc { name } => {
            let (btf_id, fd_idx) = resolver
                .kfunc(name.text)
                .ok_or_else(|| name.fail(ErrorKind::UnknownFunction(name.text.to_owned())))?;
            encode(Op::Call(CallKind::Kfunc { btf_id, fd_idx }))
        }
        Statement::Map { dst, name, off } => {
            let fd = resolver
                .map(name.text)
                .ok_or_else(|| name.fail(ErrorKind::UnknownMap(name.text.to_owned())))?;
            let value = match off {
                Some(off) => Imm64::MapValue { fd, off },
                None => Imm64::MapFd { fd },
            };
            encode(Op::LoadImm64 { dst, value })
        }
        Statement::Symbol { dst, name } => {
            let (id, btf_fd) = resolver
                .symbol(name.text)
                .ok_or_else(|| name.fail(ErrorKind::UnknownSymbol(name.text.to_owned())))?;
            encode(Op::LoadImm64 { dst, value: Imm64::BtfId { id, btf_fd } })
        }
    };
    match draft.code {
        Some((written, at)) if written != encoded.first().code => {
            let kind = ErrorKind::Opcode { written, encoded: encoded.first().code };
            Err(Failure { at, kind })
        }
        _ => Ok(encoded),
    }
}

/// A helper or kernel function by its name, whose number must be `number` if that is given.
fn call_by_name(
    name: &str,
    number: Option<i32>,
    resolver: &dyn Resolver,
) -> Result<CallKind, ErrorKind> {
    let (resolved, kind) = if let Some(id) = resolver.helper(name) {
        (id, CallKind::Helper { id })
    } else if let Some((btf_id, fd_idx)) = resolver.kfunc(name) {
        (btf_id, CallKind::Kfunc { btf_id, fd_idx })
    } else {
        return Err(ErrorKind::UnknownFunction(name.to_owned()));
    };
    match number {
        Some(written) if written != resolved => {
            Err(ErrorKind::FunctionNumber { written, resolved })
        }
        _ => Ok(kind),
    }
}
