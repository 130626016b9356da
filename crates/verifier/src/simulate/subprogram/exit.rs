// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The end of a function and of the program (`process_bpf_exit_full`, `check_return_code`).

use crate::design::{Design, Liveness};
use crate::env::InsnFlags;
use crate::mem::Text;
use crate::messages::{Functions, Path};
use crate::outcome::{Abort, Step};
use crate::simulate::objects::Leaving;
use crate::simulate::sim::Sim;
use crate::simulate::step::Next;
use crate::state::{Callsite, FrameFlags, Kind, RegState};
use crate::trace::{Level, Observer};
use core::fmt::Write;
use veristable_isa::Reg;
use veristable_kernel::Behaviour;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The exit instruction (`process_bpf_exit_full`).
    pub(crate) fn exit(&mut self) -> Step<Next> {
        self.check_resource_leak(Leaving::Exit, self.cur.depth == 0)?;
        if self.cur.depth > 0 {
            return self.return_to_caller();
        }
        self.check_return_code(Reg::R0)?;
        Ok(Next::EndOfPath)
    }

    /// An exception was thrown: the whole program ends, whatever frame this is.
    pub(crate) fn throw(&mut self) -> Step<Next> {
        let everywhere = !self.env.has(Behaviour::UnifiedRegionChecks);
        self.check_resource_leak(Leaving::Throw, everywhere || self.cur.depth == 0)?;
        Ok(Next::EndOfPath)
    }

    /// A subprogram or a synchronous callback returns (`prepare_func_exit`).
    pub(crate) fn return_to_caller(&mut self) -> Step<Next> {
        D::Liveness::returning(self)?;
        let depth = self.cur.depth;
        let callee = self.store.frame(self.cur.current()?)?;
        let (callsite, range) = (callee.callsite, callee.callback_range);
        let calls_back = callee.flags.contains(FrameFlags::IN_CALLBACK);
        let result = self.copy_of(Reg::R0)?;
        if matches!(result.kind, Kind::Stack) && result.flags.is_empty() {
            return self.env.reject(Path::ReturnsStackPointer);
        }
        let Callsite::Insn(call) = callsite else {
            return Err(Abort::Internal("return without a call").into());
        };
        if calls_back {
            self.check_callback_result(&result, range)?;
            if !self.has_flag(call, InsnFlags::CALLS_CALLBACK)? {
                let insn = self.insn;
                return self
                    .bug(format_args!("in callback at {insn}, callsite {call} !calls_callback"));
            }
        } else {
            let budget = &self.env.budget;
            let caller = self.store.frame_mut(budget, self.cur.frame_mut(depth - 1)?)?;
            *caller.reg_mut(Reg::R0.index())? = result;
            D::Liveness::result_taken(self)?;
        }
        // A callback's caller calls it again, until that makes no difference.
        let next = if calls_back { call } else { call + 1 };
        if self.env.wants(Level::Path) {
            if !calls_back {
                self.cur.hand_refs_over(&self.env.budget, &mut self.store)?;
            }
            self.print_frame("returning from callee:\n", depth);
            let heading = Text::format(format_args!("to caller at {next}:\n"));
            self.print_frame(heading.as_str(), depth - 1);
        }
        if let Some(frame) = self.cur.pop_frame() {
            self.store.release(&self.env.budget, frame)?;
            self.cur.take_refs_back(&mut self.store, !calls_back)?;
            D::Liveness::returned(self);
        }
        if calls_back {
            self.widen_callback(next)?;
        }
        Ok(Next::Returned(next))
    }

    /// What a synchronous callback returns.
    fn check_callback_result(&mut self, result: &RegState, (min, max): (i32, i32)) -> Step {
        if !result.is_scalar() {
            return self.env.reject(Functions::CallbackResult);
        }
        D::Liveness::read_reg(self, Reg::R0, true)?;
        self.mark_precise(Reg::R0)?;
        let range = result.value.s64;
        if i64::from(min) <= range.min && range.max <= i64::from(max) {
            return Ok(());
        }
        let (place, has) = ("At callback return", range_text(result));
        self.env.reject(Path::OutOfRange { place, reg: "R0", has, min, max })
    }
}

/// What `verbose_invalid_scalar` says of the range.
pub(super) fn range_text(reg: &RegState) -> Text {
    let mut text = Text::default();
    let range = reg.value.s64;
    // Writing to a text never fails.
    if range.min > i64::MIN {
        let _ = write!(text, " smin={}", range.min);
    }
    if range.max < i64::MAX {
        let _ = write!(text, " smax={}", range.max);
    }
    if text.as_str().is_empty() {
        let _ = text.write_str(" unknown scalar value");
    }
    text
}
