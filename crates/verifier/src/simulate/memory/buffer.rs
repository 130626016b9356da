// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Memory that a callee reads or writes (`check_helper_mem_access`, `check_mem_size_reg`).

use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_isa::Reg;

/// What the callee does with the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BufferUse {
    /// Reads it: it must be initialised.
    Read,
    /// Writes it, and may read it: it must be initialised and writable.
    Write,
    /// Writes it without reading (`MEM_UNINIT`): stack need not be initialised, the call
    /// writes it afterwards.
    Fill,
}

/// Stack that a call fills: the register that points there and the bytes, for the call to write
/// after its arguments were checked (`meta->regno`, `meta->access_size`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FilledStack {
    /// The argument.
    pub(crate) reg: Reg,
    /// Bytes.
    pub(crate) size: u32,
}

impl<O: Observer> Sim<'_, '_, O> {
    /// `size` bytes behind an argument (`check_helper_mem_access`). Gives the stack that the call
    /// has to write, for [`BufferUse::Fill`] of stack memory.
    pub(crate) fn check_buffer(
        &mut self,
        reg: Reg,
        size: u32,
        zero_size_allowed: bool,
        access: BufferUse,
    ) -> Step<Option<FilledStack>> {
        let _ = (reg, size, zero_size_allowed, access);
        self.env.unsupported("buffer argument", "")
    }

    /// A buffer whose size is in the next register (`check_mem_size_reg`).
    pub(crate) fn check_sized_buffer(
        &mut self,
        memory: Reg,
        size: Reg,
        zero_size_allowed: bool,
        access: BufferUse,
    ) -> Step<Option<FilledStack>> {
        let _ = (memory, size, zero_size_allowed, access);
        self.env.unsupported("buffer argument", "with a size")
    }
}
