// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The main loop (`do_check`).

use super::sim::{KindMemo, Sim};
use crate::design::{Design, Liveness};
use crate::env::{DecodedOp, InsnFlags};
use crate::errno::Errno;
use crate::messages::Path;
use crate::outcome::{Abort, Step, Stop};
use crate::prune::Visit;
use crate::state::{Access, LinkedRegs};
use crate::trace::{Event, Level, Observer};
use veristable_isa::{CallKind, Op};
use veristable_kernel::Behaviour;

/// Instructions that may be simulated (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_PROCESSED: u32 = 1_000_000;

/// What comes after an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The instruction with this index.
    Insn(u32),
    /// The same, and its full state is printed first: a function was left.
    Returned(u32),
    /// Nothing: the path ends well.
    EndOfPath,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Simulates every path from the current instruction on.
    pub(crate) fn run_paths(&mut self) -> Step {
        let mut print_state = false;
        self.last = -1;
        loop {
            let next = self.one(&mut print_state)?;
            match next {
                Next::Insn(insn) => self.insn = insn,
                Next::Returned(insn) => {
                    self.insn = insn;
                    print_state = true;
                }
                Next::EndOfPath => {
                    if !self.end_path()? {
                        return Ok(());
                    }
                    print_state = true;
                }
            }
        }
    }

    /// One instruction, from the comparison with earlier states to its effect.
    fn one(&mut self, print_state: &mut bool) -> Step<Next> {
        let insn = self.insn;
        self.env.insn = Some(insn);
        self.env.tick()?;
        self.in_history = false;
        self.previous = self.last;
        let count = self.env.code.len();
        if insn >= count {
            return self.env.reject(Path::InvalidIndex { insn, count });
        }
        self.env.stats.processed_insns += 1;
        let processed = self.env.stats.processed_insns;
        if processed > MAX_PROCESSED {
            return self.env.reject(Path::TooLarge { processed });
        }
        self.cur.last_insn = self.previous;
        self.cur.insn = insn;
        let flags = self.env.code.aux(insn)?.flags;
        if flags.contains(InsnFlags::PRUNE_POINT) && self.visit(insn)? == Visit::Known {
            self.print_safe(*print_state);
            return Ok(Next::EndOfPath);
        }
        if flags.contains(InsnFlags::JMP_POINT) {
            self.note_history(Access::default(), LinkedRegs::default())?;
        }
        self.print_before(print_state)?;
        if !self.cur.speculative {
            self.set_flag(insn, InsnFlags::SEEN)?;
        }
        self.last = i32::try_from(insn).unwrap_or(i32::MAX);
        let fenced = self.cur.speculative && self.env.has(Behaviour::SpeculationBarriers);
        if fenced && self.has_flag(insn, InsnFlags::NOSPEC)? {
            return Ok(Next::EndOfPath);
        }
        D::Liveness::begin_insn(self)?;
        let result = self.execute(insn);
        let recoverable =
            matches!(result, Err(Stop::Rejected(Errno::EPERM | Errno::EACCES | Errno::EINVAL)));
        if result.is_ok() || recoverable {
            D::Liveness::commit_insn(self)?;
        }
        if recoverable && fenced {
            // The processor is stopped from getting here by misprediction.
            self.set_flag(insn, InsnFlags::NOSPEC)?;
            self.forget_masking()?;
            return Ok(Next::EndOfPath);
        }
        let next = result?;
        if fenced && self.has_flag(insn, InsnFlags::NOSPEC_RESULT)? {
            return Ok(Next::EndOfPath);
        }
        Ok(next)
    }

    /// How the instruction is masked does not matter any more.
    fn forget_masking(&mut self) -> Result<(), Abort> {
        let of_kind = &mut self.memo()?.of_kind;
        if matches!(of_kind, KindMemo::Arithmetic(_)) {
            *of_kind = KindMemo::Nothing;
        }
        Ok(())
    }

    fn print_safe(&mut self, print_state: bool) {
        if self.env.wants(Level::Path) {
            let from = print_state.then_some(u32::try_from(self.previous).unwrap_or(0));
            let (index, speculative) = (self.insn, self.cur.speculative);
            self.env.emit(Event::Safe { index, from, speculative });
        }
    }

    /// What the log shows before an instruction: the state of a branch just taken up, what the
    /// last instruction changed, the source line, the instruction.
    fn print_before(&mut self, print_state: &mut bool) -> Step {
        self.env.forget_messages();
        let index = self.insn;
        if *print_state && self.env.wants(Level::Full) {
            let from = u32::try_from(self.previous).unwrap_or(0);
            let speculative = self.cur.speculative;
            self.with_view(self.cur.depth, |event, state| {
                event(Event::From { from, to: index, speculative, state });
            });
            *print_state = false;
        }
        if self.env.wants(Level::Path) {
            if self.touched.any() {
                self.print_insn_state();
            }
            self.env.source_line(index, &"; ");
            self.env.emit_insn(index)?;
        }
        Ok(())
    }

    /// The effect of an instruction (`do_check_insn`).
    fn execute(&mut self, insn: u32) -> Step<Next> {
        let decoded = self.env.code.aux(insn)?.op;
        if !self.memo()?.fields_tested && is_classic_load(self.env.code.insn(insn)?.code) {
            self.check_classic_load_program()?;
        }
        let DecodedOp::Op(op) = decoded else {
            crate::analysis::fields::check(self.env, insn)?;
            return Err(Abort::Internal("instruction without a type").into());
        };
        if matches!(op, Op::Branch { .. } | Op::Goto { .. } | Op::Call(_) | Op::Exit)
            || matches!(op, Op::MayGoto { .. } | Op::GotoX { .. })
        {
            self.jumps = self.jumps.wrapping_add(1);
        }
        if let Op::Branch { dst, width, .. } = op {
            // The kernel reads the first operand before it tests the fields.
            self.read(dst, width == veristable_isa::Width::W64)?;
        }
        if !self.memo()?.fields_tested {
            crate::analysis::fields::check(self.env, insn)?;
            self.memo()?.fields_tested = true;
        }
        let after = insn + u32::try_from(op.slots()).unwrap_or(1);
        if op.slots() > 1 && !self.cur.speculative {
            self.set_flag(insn + 1, InsnFlags::SEEN)?;
        }
        if let Op::Call(call) = op {
            self.check_call_under_lock(call)?;
        }
        match op {
            Op::Alu { op, width, dst, src } => self.alu(op, width, dst, src)?,
            Op::MovSx { width, from, dst, src } => self.move_extended(width, from, dst, src)?,
            Op::Neg { width, dst } => self.negate(width, dst)?,
            Op::Swap { kind, bits, dst } => self.swap_bytes(kind, bits, dst)?,
            Op::AddrSpaceCast { dst, src, to, .. } => self.cast_address(dst, src, to)?,
            Op::Load { size, sign_extend, dst, base, off } => {
                self.load(size, sign_extend, dst, base, off)?;
            }
            Op::Store { size, base, off, value } => self.store(size, base, off, value)?,
            Op::Atomic { op, size, base, off, src } => self.atomic(op, size, base, off, src)?,
            Op::LoadAcquire { size, dst, base, off } => self.load_acquire(size, dst, base, off)?,
            Op::StoreRelease { size, base, off, src } => {
                self.store_release(size, base, off, src)?;
            }
            Op::LoadAbs { .. } => return self.classic_load(None),
            Op::LoadInd { src, .. } => return self.classic_load(Some(src)),
            Op::LoadImm64 { dst, value } => self.load_wide(dst, value)?,
            Op::Goto { off, .. } => return Ok(Next::Insn(target(insn, off))),
            // No opcode before 6.19 (`bpf_opcode_in_insntable`), and so on no built-in kernel.
            Op::GotoX { .. } => return self.env.unsupported("indirect jump", ""),
            Op::Branch { op, width, dst, src, off } => {
                return self.branch(op, width, dst, src, i32::from(off));
            }
            Op::MayGoto { off } => return self.may_goto(i32::from(off)),
            Op::Call(CallKind::Subprog { .. }) => return self.call_subprogram(),
            Op::Call(CallKind::Helper { id }) => return self.call_helper(id),
            Op::Call(CallKind::Kfunc { .. }) => return self.call_kfunc(),
            Op::Exit => return self.exit(),
        }
        Ok(Next::Insn(after))
    }
}

/// The slot that a jump of `off` slots goes to. The control flow graph was checked before.
pub(crate) fn target(insn: u32, off: i32) -> u32 {
    insn.wrapping_add(1).wrapping_add(off.cast_unsigned())
}

/// `BPF_LD | BPF_ABS` or `BPF_LD | BPF_IND`.
const fn is_classic_load(code: u8) -> bool {
    code & 0x07 == 0 && matches!(code & 0xe0, 0x20 | 0x40)
}
