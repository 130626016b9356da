// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of subprograms (`check_func_call`).

use crate::env::{SubprogFlags, Target};
use crate::log::state::Touched;
use crate::messages::Path;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::simulate::step::Next;
use crate::state::{Callsite, Frame, MAX_FRAMES};
use crate::trace::{Level, Observer};
use veristable_isa::Reg;

/// Registers that a call destroys: R0 to R5.
const CALLER_SAVED: u8 = 6;

impl<O: Observer> Sim<'_, '_, O> {
    /// A call of a function of the program.
    pub(crate) fn call_subprogram(&mut self) -> Step<Next> {
        let Target::Subprog(subprog) = self.env.code.aux(self.insn)?.target else {
            return self.env.unsupported("subprogram call", "unresolved");
        };
        let info = *self.env.subprog(subprog)?;
        if info.flags.contains(SubprogFlags::IS_GLOBAL) {
            return self.env.unsupported("global subprogram", "");
        }
        if !self.env.code.func_info.is_empty() {
            // The kernel compares the arguments with the function's BTF type, and says so in the
            // log, although a mismatch is no error for a static function.
            return self.env.unsupported("static subprogram", "with function info");
        }
        let caller_depth = self.cur.depth;
        if usize::from(caller_depth) + 1 >= MAX_FRAMES {
            let frames = u32::from(caller_depth) + 2;
            return self.env.reject(Path::TooManyFrames { frames });
        }
        let mut callee = Frame::new(Callsite::Insn(self.insn), caller_depth + 1, subprog);
        for number in 1..=5 {
            *callee.reg_mut(number)? = *self.store.frame(self.cur.current()?)?.reg(number)?;
        }
        self.touched = Touched::ALL;
        // The caller keeps R6 to R9.
        for number in 0..CALLER_SAVED {
            self.reg_mut(Reg::new(number))?.set_not_init();
            self.write(Reg::new(number), false)?;
        }
        let id = self.store.add(&self.env.budget, callee)?;
        if !self.cur.push_frame(id) {
            return self.bug(format_args!("Frame {} already allocated", caller_depth + 1));
        }
        self.forget_instance();
        if self.env.wants(Level::Path) {
            self.print_frame("caller:\n", caller_depth);
            self.print_frame("callee:\n", caller_depth + 1);
        }
        self.touch_reg(Reg::R0);
        Ok(Next::Insn(info.start))
    }
}
