// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The text of an instruction, with the names of what it calls (`verbose_insn`).

use crate::design::Dialect;
use crate::env::{Env, MapIndex, Target};
use crate::mem::Text;
use crate::outcome::Abort;
use crate::trace::{Event, Level, Observer};
use core::fmt;
use veristable_isa::{Insn, Names, Style};
use veristable_kernel::HelperId;

/// The one name or address that one instruction needs.
struct CallName {
    helper: Option<Text>,
    kfunc: Option<Text>,
    /// Where the kernel shows an address that only it knows: a placeholder of the same width, on
    /// which the columns of the log depend. Whoever compares logs replaces both.
    address: Option<u64>,
}

/// Placeholders: what maps and values look like on 64-bit kernels.
const MAP_ADDRESS: u64 = 0xffff_8880_0000_0000;
const VARIABLE_ADDRESS: u64 = 0xffff_ffff_8200_0000;

impl Names for CallName {
    fn helper(&self, _: u32) -> Option<&str> {
        self.helper.as_ref().map(Text::as_str)
    }

    fn call(&self, _: Insn) -> Option<&str> {
        self.kfunc.as_ref().map(Text::as_str)
    }

    fn imm64(&self, out: &mut dyn fmt::Write, _: Insn, imm: u64) -> fmt::Result {
        write!(out, "{:#x}", self.address.unwrap_or(imm))
    }
}

impl<O: Observer> Env<'_, O> {
    /// Emits the instruction that is simulated next. Call it where [`Level::Path`] is wanted.
    ///
    /// # Errors
    ///
    /// None that the input can cause.
    pub fn emit_insn(&mut self, index: u32) -> Result<(), Abort> {
        if !self.wants(Level::Path) {
            return Ok(());
        }
        self.with_insn_text(index, |observer, text| observer.event(Event::Insn { index, text }))
    }

    /// Hands an instruction's text to the observer.
    ///
    /// # Errors
    ///
    /// None that the input can cause.
    pub fn with_insn_text(
        &mut self,
        index: u32,
        show: impl FnOnce(&mut O, &dyn fmt::Display),
    ) -> Result<(), Abort> {
        let insn = self.code.insn(index)?;
        let style = Style {
            dialect: match self.dialect {
                Dialect::V6_12 => veristable_isa::Dialect::LINUX_6_12,
                Dialect::V6_18 => veristable_isa::Dialect::LINUX_6_18,
            },
            allow_ptr_leaks: self.privileges.allow_ptr_leaks,
        };
        let names = self.call_name(index, insn, style)?;
        let text = veristable_isa::disasm::Text {
            insn,
            next: self.code.insns.get(index as usize + 1).copied(),
            style,
            names: &names,
        };
        show(self.observer, &text);
        Ok(())
    }

    fn call_name(&self, index: u32, insn: Insn, style: Style) -> Result<CallName, Abort> {
        let helper = if insn.is_helper_call() {
            let id = HelperId(insn.imm.cast_unsigned());
            self.kernel.helper_name(id).map(|name| Text::format(format_args!("bpf_{name}")))
        } else {
            None
        };
        let kfunc = match self.code.aux(index)?.target {
            Target::Kfunc(number) => Some(Text::new(self.kfuncs.at(number as usize)?.name)),
            // A call without an id names type 0, whose name is empty.
            Target::None if insn.is_kfunc_call() => Some(Text::default()),
            _ => None,
        };
        Ok(CallName { helper, kfunc, address: self.shown_address(index, insn, style)? })
    }

    fn shown_address(&self, index: u32, insn: Insn, style: Style) -> Result<Option<u64>, Abort> {
        if style.masks(insn) {
            return Ok(None);
        }
        let of = |map: MapIndex| MAP_ADDRESS + (u64::from(map.0) << 12);
        Ok(match self.code.aux(index)?.target {
            Target::Map(map) => Some(of(map)),
            Target::MapValue { map, offset } => Some(of(map) + u64::from(offset)),
            Target::KernelVariable(_) => Some(VARIABLE_ADDRESS),
            Target::None | Target::Subprog(_) | Target::Kfunc(_) => None,
        })
    }
}
