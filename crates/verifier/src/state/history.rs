// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! How a path came to where it is, for going back over it.

/// One entry of the history of jumps (`struct bpf_jmp_history_entry`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryEntry {
    /// The instruction.
    pub insn: u32,
    /// The instruction before it; -1 before the first.
    pub previous: i32,
    /// What the instruction accessed.
    pub access: Access,
    /// Registers that learnt something together there.
    pub linked: LinkedRegs,
}

/// What an instruction accessed (`INSN_F_*`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Access {
    /// A slot that a register was spilled to or filled from.
    pub slot: Option<Place>,
    /// The comparison's first operand is a stack pointer.
    pub dst_is_stack: bool,
    /// The comparison's second operand is a stack pointer.
    pub src_is_stack: bool,
}

impl Access {
    /// Of a slot in a frame.
    #[must_use]
    pub const fn slot(frame: u8, slot: u8) -> Self {
        Self { slot: Some(Place { frame, slot }), dst_is_stack: false, src_is_stack: false }
    }

    /// Both; the flags of one instruction add up.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            slot: self.slot.or(other.slot),
            dst_is_stack: self.dst_is_stack || other.dst_is_stack,
            src_is_stack: self.src_is_stack || other.src_is_stack,
        }
    }
}

/// A stack slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Frame number.
    pub frame: u8,
    /// Slot number, 0 to 63.
    pub slot: u8,
}

/// A register or a spilled one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linked {
    /// A register of a frame.
    Reg {
        /// Frame number.
        frame: u8,
        /// Register number.
        reg: u8,
    },
    /// A stack slot.
    Slot(Place),
}

/// Up to six registers or slots that share an id (`struct linked_regs`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LinkedRegs {
    entries: [u16; Self::MAX],
    len: u8,
}

impl LinkedRegs {
    /// `LINKED_REGS_MAX`
    pub const MAX: usize = 6;
    const IS_REG: u16 = 1 << 9;

    /// Adds one; false if there is no room.
    pub fn push(&mut self, linked: Linked) -> bool {
        let Some(place) = self.entries.get_mut(usize::from(self.len)) else { return false };
        *place = match linked {
            Linked::Reg { frame, reg } => {
                Self::IS_REG | u16::from(reg & 0x3f) << 3 | u16::from(frame & 7)
            }
            Linked::Slot(Place { frame, slot }) => {
                u16::from(slot & 0x3f) << 3 | u16::from(frame & 7)
            }
        };
        self.len += 1;
        true
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Linked> + use<> {
        let Self { entries, len } = *self;
        entries.into_iter().take(usize::from(len)).map(|entry| {
            let (frame, number) = ((entry & 7) as u8, (entry >> 3 & 0x3f) as u8);
            if entry & Self::IS_REG == 0 {
                Linked::Slot(Place { frame, slot: number })
            } else {
                Linked::Reg { frame, reg: number }
            }
        })
    }
}
