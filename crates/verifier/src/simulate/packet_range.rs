// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What comparing packet pointers with the end of the packet says of how far they may be read
//! (`try_match_pkt_pointers`, `find_good_pkt_pointers`, `is_pkt_ptr_branch_taken`).

use super::sim::Sim;
use crate::design::Design;
use crate::domain::flipped;
use crate::outcome::Step;
use crate::state::{Kind, RegState};
use crate::trace::Observer;
use veristable_isa::{CmpOp, Reg};
use veristable_kernel::RegBase;

/// Range of a pointer that is at or beyond the end of the packet (`AT_PKT_END`).
const AT_END: i32 = -1;
/// Range of a pointer that is beyond the end (`BEYOND_PKT_END`).
const BEYOND_END: i32 = -2;
/// Packets are not longer (`MAX_PACKET_OFF`).
const MAX_PACKET: u64 = 0xffff;

/// Which of the two ways of a jump.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Through,
    Taken,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A packet pointer was compared with the packet's end, or a metadata pointer with its start.
    /// False if the comparison is none of these.
    pub(crate) fn learn_packet_range(&mut self, op: CmpOp, dst: Reg, src: Reg) -> Step<bool> {
        let (left, right) = (self.copy_of(dst)?, self.copy_of(src)?);
        // `pointer op end` from here on.
        let (reg, pointer, op) = if ends(&left, &right) {
            (dst, left, op)
        } else if ends(&right, &left) {
            (src, right, flipped(op))
        } else {
            return Ok(false);
        };
        // Where the pointer is not beyond the end, whether it could be at the end; and where it
        // is beyond, whether it could be at the end.
        let (within, may_reach_end, outside, may_be_at_end) = match op {
            CmpOp::Gt => (Way::Through, true, Way::Taken, false),
            CmpOp::Lt => (Way::Taken, false, Way::Through, true),
            CmpOp::Ge => (Way::Through, false, Way::Taken, true),
            CmpOp::Le => (Way::Taken, true, Way::Through, false),
            _ => return Ok(false),
        };
        self.extend_range(within, &pointer, !may_reach_end)?;
        if matches!(pointer.kind, Kind::Packet { .. }) {
            let range = if may_be_at_end { AT_END } else { BEYOND_END };
            self.set_range(outside, reg, range)?;
        }
        Ok(true)
    }

    /// The bytes before `pointer` may be read, and the one at it if `open`, through every pointer
    /// that has the same variable offset.
    fn extend_range(&mut self, way: Way, pointer: &RegState, open: bool) -> Step {
        let off = pointer.off;
        if off < 0 || (off == 0 && open) {
            return Ok(());
        }
        let max = pointer.value.u64.max;
        // The sum could overflow otherwise.
        let Ok(distance) = u64::try_from(off) else { return Ok(()) };
        if max > MAX_PACKET || max.wrapping_add(distance) > MAX_PACKET {
            return Ok(());
        }
        let reach = off.wrapping_add(i32::from(open));
        let (base, id) = (pointer.kind.base(), pointer.id);
        let wanted = |reg: &RegState| {
            reg.kind.base() == base
                && reg.flags.is_empty()
                && reg.id == id
                && range_of(reg.kind) < reach
        };
        let change = |reg: &mut RegState| reg.kind = with_range(reg.kind, reach);
        match way {
            Way::Through => self.update_regs(wanted, change),
            Way::Taken => self.update_regs_of_branch(wanted, change),
        }
    }

    fn set_range(&mut self, way: Way, reg: Reg, range: i32) -> Step {
        let reg = match way {
            Way::Through => self.reg_mut(reg)?,
            Way::Taken => self.branch_reg(reg)?,
        };
        reg.kind = Kind::Packet { range };
        Ok(())
    }
}

/// Whether `end` is what `pointer` is compared with: the packet's end for packet data, its start
/// for metadata.
fn ends(pointer: &RegState, end: &RegState) -> bool {
    if !pointer.flags.is_empty() || !end.flags.is_empty() {
        return false;
    }
    match (pointer.kind.base(), end.kind) {
        (RegBase::Packet, Kind::PacketEnd) => true,
        (RegBase::PacketMeta, Kind::Packet { .. }) => {
            end.id.is_none() && end.off == 0 && end.value.bits.equals(0)
        }
        _ => false,
    }
}

const fn range_of(kind: Kind) -> i32 {
    match kind {
        Kind::Packet { range } | Kind::PacketMeta { range } => range,
        _ => 0,
    }
}

const fn with_range(kind: Kind, range: i32) -> Kind {
    match kind {
        Kind::Packet { .. } => Kind::Packet { range },
        Kind::PacketMeta { .. } => Kind::PacketMeta { range },
        other => other,
    }
}

/// Which way a comparison of two packet pointers goes, if that is certain: the one has been found
/// to be at or beyond the end.
pub(crate) fn decide_packet(op: CmpOp, left: &RegState, right: &RegState) -> Option<bool> {
    let (pointer, op) = if matches!(right.kind, Kind::PacketEnd) {
        (left, op)
    } else if matches!(left.kind, Kind::PacketEnd) {
        (right, flipped(op))
    } else {
        return None;
    };
    match (op, range_of(pointer.kind)) {
        (CmpOp::Le | CmpOp::Gt, BEYOND_END) => Some(op == CmpOp::Gt),
        (CmpOp::Lt | CmpOp::Ge, BEYOND_END | AT_END) => Some(op == CmpOp::Ge),
        _ => None,
    }
}
