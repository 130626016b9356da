// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Packet data and metadata (`check_packet_access`), and classic packet loads (`check_ld_abs`).

use super::plain::Part;
use super::{Access, Span};
use crate::design::Design;
use crate::domain::Tnum;
use crate::errno::Errno;
use crate::log::state::TnumText;
use crate::messages::Memory;
use crate::outcome::Step;
use crate::simulate::objects::Leaving;
use crate::simulate::sim::Sim;
use crate::simulate::step::Next;
use crate::state::{FrameFlags, Kind, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, ProgType};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Whether the program may reach into packets directly (`may_access_direct_pkt_data`).
    /// `helper`: a helper does it, and its prototype says whether it may (`pkt_access`).
    pub(crate) fn may_access_packet(&self, writes: bool, helper: Option<bool>) -> bool {
        match self.env.prog.rules {
            ProgType::LWT_IN
            | ProgType::LWT_OUT
            | ProgType::LWT_SEG6LOCAL
            | ProgType::SK_REUSEPORT
            | ProgType::FLOW_DISSECTOR
            | ProgType::CGROUP_SKB => !writes && helper.unwrap_or(true),
            ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::LWT_XMIT
            | ProgType::SK_SKB
            | ProgType::SK_MSG => helper.unwrap_or(true),
            ProgType::CGROUP_SOCKOPT => true,
            _ => false,
        }
    }

    /// A load or store.
    pub(super) fn access_packet(
        &mut self,
        span: Span,
        pointer: &RegState,
        range: i32,
        access: Access,
    ) -> Step {
        if let Access::Write(value) = access {
            if !self.may_access_packet(true, None) {
                return self.env.reject(Memory::WritePacket);
            }
            self.refuse_leak(value, "packet")?;
        }
        self.check_packet(Part::of(span, pointer), pointer, range)?;
        self.loaded_unknown(access)
    }

    /// A part of a packet must lie within what was compared with its end
    /// (`check_packet_access`).
    pub(super) fn check_packet(&mut self, part: Part, pointer: &RegState, range: i32) -> Step {
        let reg = part.reg.number();
        // The range counts from behind the variable offset.
        if pointer.value.s64.min < 0 {
            return self.env.reject(Memory::NegativeMin { reg });
        }
        let Ok(range) = u32::try_from(range) else {
            return self.env.reject_with(Errno::EINVAL, Memory::OutsidePacket { reg });
        };
        if !self.fits_region(part, pointer, range)? {
            return self.env.reject(Memory::OutsidePacket { reg });
        }
        Ok(())
    }

    /// Packets begin two bytes behind an aligned address (`check_pkt_ptr_alignment`).
    pub(super) fn check_packet_alignment(&mut self, pointer: &RegState, span: Span) -> Step {
        const IP_ALIGN: i32 = 2;
        let constant = IP_ALIGN.wrapping_add(pointer.off).wrapping_add(span.off);
        let constant = Tnum::constant(i64::from(constant).cast_unsigned());
        if pointer.value.bits.add(constant).is_aligned(u64::from(span.size)) {
            return Ok(());
        }
        let var_off = TnumText(pointer.value.bits).text();
        let (reg_off, Span { off, size, .. }) = (pointer.off, span);
        self.env.reject(Memory::MisalignedPacket { var_off, reg_off, off, size })
    }

    /// Classic packet loads are for programs on socket buffers (`may_access_skb`).
    pub(crate) fn check_classic_load_program(&mut self) -> Step {
        match self.env.prog.rules {
            ProgType::SOCKET_FILTER | ProgType::SCHED_CLS | ProgType::SCHED_ACT => {}
            _ => return self.env.reject(Memory::LdAbsProgram),
        }
        self.refuse_in_callback()
    }

    /// Callbacks may not load so, since that may return.
    fn refuse_in_callback(&mut self) -> Step {
        if self.env.has(Behaviour::ClassicLoadReturns) {
            for frame in self.cur.frames().skip(1) {
                if self.store.frame(frame)?.flags.contains(FrameFlags::IN_CALLBACK) {
                    return self.env.reject(Memory::LdAbsInCallback);
                }
            }
        }
        Ok(())
    }

    /// `BPF_LD_ABS` and `BPF_LD_IND`: a call in disguise that loads from the packet of the socket
    /// buffer in R6 to R0. `index`: the register with the variable part of the offset.
    pub(crate) fn classic_load(&mut self, index: Option<Reg>) -> Step<Next> {
        self.refuse_in_callback()?;
        self.read(Reg::R6, true)?;
        self.check_resource_leak(Leaving::ClassicLoad, true)?;
        let context = self.copy_of(Reg::R6)?;
        if !matches!(context.kind, Kind::Ctx) || !context.flags.is_empty() {
            return self.env.reject(Memory::LdAbsContext);
        }
        if let Some(index) = index {
            self.read(index, true)?;
        }
        self.check_unmoved(Reg::R6, &context, false)?;
        for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.reg_mut(reg)?.set_not_init();
            self.write(reg, false)?;
        }
        self.reg_mut(Reg::R0)?.set_unknown();
        let after = self.insn + 1;
        if self.cur.depth == 0 || !self.env.has(Behaviour::ClassicLoadReturns) {
            return Ok(Next::Insn(after));
        }
        // It loads, or the function returns 0 (`bpf_gen_ld_abs`).
        self.touch_reg(Reg::R0);
        self.push_branch(after, self.insn, false, Errno::ENOMEM)?;
        self.reg_mut(Reg::R0)?.set_number(0);
        match self.return_to_caller()? {
            Next::Returned(insn) => Ok(Next::Insn(insn)),
            other => Ok(other),
        }
    }
}
