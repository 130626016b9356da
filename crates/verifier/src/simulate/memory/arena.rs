// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arena memory: pointers are made from numbers, and faults are handled when they happen.

use crate::design::Design;
use crate::messages::Fields;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::Kind;
use crate::trace::Observer;
use veristable_isa::{AtomicOp, Op, Reg};
use veristable_kernel::MapType;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `dst = src`, moved to another address space (`check_alu_op`).
    pub(crate) fn cast_address(&mut self, dst: Reg, src: Reg, to: u16) -> Step {
        if !self.has_arena() {
            return self.env.reject(Fields::AddrSpaceCastWithoutArena);
        }
        self.read(src, true)?;
        self.write_unknown(dst, true)?;
        if to == 0 {
            let def = self.insn + 1;
            let reg = self.reg_mut(dst)?;
            // Such a pointer is the low half of an address.
            (reg.kind, reg.subreg_def) = (Kind::Arena, def);
        }
        self.check_invariants(dst, "alu")
    }

    fn has_arena(&self) -> bool {
        let maps = self.env.used_maps.iter();
        let mut maps = maps.filter_map(|used| self.env.request.maps.get(used.request as usize));
        maps.any(|map| map.spec.map_type == MapType::ARENA)
    }

    /// Whether the current instruction is an atomic one that the JIT can make for arena memory
    /// (`bpf_jit_supports_insn` of `arch/x86/net/bpf_jit_comp.c`).
    pub(super) fn jit_has_atomic(&self) -> Step<bool> {
        const LOOPS: [AtomicOp; 3] = [AtomicOp::FetchAnd, AtomicOp::FetchOr, AtomicOp::FetchXor];
        if self.env.kernel.id().arch != "amd64" {
            // The built-in kernels are of this architecture.
            return self.env.unsupported("arena", "atomics of another architecture than amd64");
        }
        Ok(match self.op(self.insn)? {
            Some(Op::Atomic { op, .. }) => !LOOPS.contains(&op),
            _ => true,
        })
    }
}
