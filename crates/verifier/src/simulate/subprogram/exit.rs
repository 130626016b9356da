// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The end of a function and of the program (`process_bpf_exit_full`, `check_return_code`).

use crate::env::SubprogId;
use crate::log::state::TypeName;
use crate::mem::Text;
use crate::messages::Path;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::simulate::step::Next;
use crate::state::{Callsite, FrameFlags, Kind, RegState};
use crate::trace::{Level, Observer};
use core::fmt::Write;
use veristable_isa::Reg;
use veristable_kernel::{ProgType, ReturnRange};

impl<O: Observer> Sim<'_, '_, O> {
    /// The exit instruction. Nothing is held that could leak: taking it is not built.
    pub(crate) fn exit(&mut self) -> Step<Next> {
        if self.cur.depth > 0 {
            return self.return_to_caller();
        }
        self.check_return_value()?;
        Ok(Next::EndOfPath)
    }

    /// A static subprogram returns (`prepare_func_exit`).
    fn return_to_caller(&mut self) -> Step<Next> {
        self.update_live_stack()?;
        let depth = self.cur.depth;
        let callee = self.store.frame(self.cur.current()?)?;
        let (callsite, flags) = (callee.callsite, callee.flags);
        let result = self.copy_of(Reg::R0)?;
        if result.kind == Kind::Stack && result.flags.is_empty() {
            return self.env.reject(Path::ReturnsStackPointer);
        }
        let Callsite::Insn(call) = callsite else {
            return self.env.unsupported("asynchronous callback", "");
        };
        if flags.contains(FrameFlags::IN_CALLBACK) {
            return self.env.unsupported("callback", "return");
        }
        let budget = &self.env.budget;
        let caller = self.store.frame_mut(budget, self.cur.frame_mut(depth - 1)?)?;
        *caller.reg_mut(Reg::R0.index())? = result;
        if self.env.wants(Level::Path) {
            self.print_frame("returning from callee:\n", depth);
            let heading = Text::format(format_args!("to caller at {}:\n", call + 1));
            self.print_frame(heading.as_str(), depth - 1);
        }
        if let Some(frame) = self.cur.pop_frame() {
            self.store.release(&self.env.budget, frame)?;
        }
        Ok(Next::Returned(call + 1))
    }

    /// What R0 may be at the end.
    fn check_return_value(&mut self) -> Step {
        const PLACE: &str = "At program exit";
        let frame = self.store.frame(self.cur.frame(0)?)?;
        let is_subprogram = frame.subprog != SubprogId::MAIN;
        if !frame.flags.is_empty() {
            return self.env.unsupported("callback", "return value");
        }
        let rules = self.env.prog.rules;
        if !is_subprogram && matches!(rules, ProgType::LSM | ProgType::STRUCT_OPS) {
            return self.env.unsupported("return value", rules.name().unwrap_or(""));
        }
        self.read(Reg::R0, true)?;
        let reg = Reg::R0.number();
        if self.is_secret(Reg::R0)? {
            return self.env.reject(Path::LeaksReturnValue { reg });
        }
        let result = self.copy_of(Reg::R0)?;
        let ty = TypeName::of(&result);
        if is_subprogram {
            if !result.is_scalar() {
                return self.env.reject(Path::SubprogramReturns { reg, ty: ty.text() });
            }
            return Ok(());
        }
        let ReturnRange::Within(min, max) = self.return_range()? else { return Ok(()) };
        if !result.is_scalar() {
            return self.env.reject(Path::NotKnown { place: PLACE, reg, ty: ty.text() });
        }
        self.mark_precise(Reg::R0)?;
        let range = result.value.s64;
        if i64::from(min) <= range.min && range.max <= i64::from(max) {
            return Ok(());
        }
        let has = range_text(&result);
        self.env.reject(Path::OutOfRange { place: PLACE, reg: "R0", has, min, max })
    }

    fn return_range(&mut self) -> Step<ReturnRange> {
        // The attach type that counts is the one after the load gate's corrections.
        let context = veristable_kernel::ProgContext {
            expected_attach_type: self.env.prog.attach_type,
            prog_type: self.env.prog.rules,
            ..self.env.request.context()
        };
        Ok(self.env.kernel.return_range(&context)?)
    }
}

/// What `verbose_invalid_scalar` says of the range.
fn range_text(reg: &RegState) -> Text {
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
