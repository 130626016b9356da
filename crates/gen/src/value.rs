// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a generated program's registers and stack hold, as far as the generator wants to know.
//!
//! Less than a verifier knows: enough that most of what is made from it is right.

use veristable_isa::Reg;

/// A number's least and greatest value, signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Range {
    /// Anything.
    pub(crate) const ANY: Self = Self { min: i64::MIN, max: i64::MAX };

    /// One number.
    pub(crate) const fn of(value: i64) -> Self {
        Self { min: value, max: value }
    }

    /// From 0 to a number.
    pub(crate) const fn up_to(max: i64) -> Self {
        Self { min: 0, max }
    }

    /// The number, if it is only one.
    pub(crate) fn known(self) -> Option<i64> {
        (self.min == self.max).then_some(self.min)
    }

    fn join(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// What memory a pointer points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Region {
    /// The value of a map of the pool.
    MapValue(usize),
    /// Packet data; the size is what was checked.
    Packet,
    /// Packet metadata.
    PacketMeta,
    /// Memory of a ring buffer.
    Record,
    /// Other memory that may be written.
    Plain,
    /// Memory that may only be read.
    ReadOnly,
    /// An object that the program made, by its type in the pool's BTF.
    Own(u32),
    /// Memory of an arena.
    Arena,
}

/// A pointer into memory of a known size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Memory {
    pub(crate) region: Region,
    /// Fixed offset.
    pub(crate) off: i32,
    /// What may have been added to that at most.
    pub(crate) spread: i32,
    /// Bytes of the region.
    pub(crate) size: i32,
    /// Number of the pointer among those that may be NULL; 0 if it is not.
    pub(crate) null: u32,
    /// Number of the reference that keeps it; 0 without.
    pub(crate) owner: u32,
}

/// What a pointer points to that is not plain memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A kernel structure by its type; whether it is trusted.
    Kernel(u32, bool),
    /// `struct bpf_sock`, with all its fields.
    Socket,
    /// `struct bpf_sock`, with the common fields.
    SockCommon,
    /// `struct bpf_tcp_sock`.
    TcpSock,
    /// `struct bpf_xdp_sock`.
    XdpSock,
    /// Flow keys.
    FlowKeys,
}

/// What a register or a stack slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Uninit,
    Scalar(Range),
    Ctx,
    /// The function's own stack at an offset from its end.
    Frame(i32),
    /// A map of the pool.
    Map(usize),
    /// A map that may be NULL (by number), looked up in a map of maps.
    Inner(u32),
    PacketEnd,
    Memory(Memory),
    Object {
        what: What,
        null: u32,
        owner: u32,
    },
    /// A pointer that is good for nothing but being passed on.
    Opaque,
}

impl Value {
    /// Any number.
    pub(crate) const ANY: Self = Self::Scalar(Range::ANY);

    /// Number among the pointers that may be NULL; 0 if it is none.
    pub(crate) const fn null(&self) -> u32 {
        match self {
            Self::Memory(memory) => memory.null,
            Self::Object { null, .. } | Self::Inner(null) => *null,
            _ => 0,
        }
    }

    /// The reference that keeps it; 0 without.
    pub(crate) const fn owner(&self) -> u32 {
        match self {
            Self::Memory(memory) => memory.owner,
            Self::Object { owner, .. } => *owner,
            _ => 0,
        }
    }

    /// The pointer known not to be NULL.
    pub(crate) fn checked(self) -> Self {
        match self {
            Self::Memory(memory) => Self::Memory(Memory { null: 0, ..memory }),
            Self::Object { what, owner, .. } => Self::Object { what, null: 0, owner },
            Self::Inner(_) => Self::Inner(0),
            other => other,
        }
    }

    /// Whether it is a number.
    pub(crate) const fn is_scalar(&self) -> bool {
        matches!(self, Self::Scalar(_))
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(a.join(b)),
            (Self::Memory(a), Self::Memory(b)) if a.region == Region::Packet => {
                let size = a.size.min(b.size);
                let same = a == (Memory { size: a.size, ..b });
                if same { Self::Memory(Memory { size, ..a }) } else { Self::Uninit }
            }
            _ => Self::Uninit,
        }
    }
}

/// Eight bytes of stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    /// Which bytes were written, lowest address first.
    pub(crate) written: u8,
    /// What was stored with eight bytes.
    pub(crate) value: Value,
}

impl Slot {
    const EMPTY: Self = Self { written: 0, value: Value::Uninit };
}

/// Slots of stack.
pub(crate) const SLOTS: usize = 64;

/// A function's registers and stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) regs: [Value; 11],
    /// Slot 0 is at the highest addresses: offsets -8 to -1.
    pub(crate) stack: [Slot; SLOTS],
}

impl State {
    pub(crate) fn new() -> Self {
        let mut regs = [Value::Uninit; 11];
        regs[10] = Value::Frame(0);
        Self { regs, stack: [Slot::EMPTY; SLOTS] }
    }

    pub(crate) fn reg(&self, reg: Reg) -> Value {
        self.regs.get(reg.index()).copied().unwrap_or(Value::Uninit)
    }

    pub(crate) fn set(&mut self, reg: Reg, value: Value) {
        if let Some(place) = self.regs.get_mut(reg.index()) {
            *place = value;
        }
    }

    /// What both ways into a place have in common.
    pub(crate) fn join(&mut self, other: &Self) {
        for (a, b) in self.regs.iter_mut().zip(&other.regs) {
            *a = a.join(*b);
        }
        for (a, b) in self.stack.iter_mut().zip(&other.stack) {
            let value = a.value.join(b.value);
            *a = Slot { written: a.written & b.written, value };
        }
    }

    /// A call: arguments are gone.
    pub(crate) fn call(&mut self, result: Value) {
        self.set(Reg::R0, result);
        for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.set(reg, Value::Uninit);
        }
    }

    /// Changes every value.
    pub(crate) fn each(&mut self, mut change: impl FnMut(Value) -> Value) {
        for value in &mut self.regs {
            *value = change(*value);
        }
        for slot in &mut self.stack {
            slot.value = change(slot.value);
        }
    }

    /// After a test: the pointers of a number are not NULL, or the number 0.
    pub(crate) fn null_checked(&mut self, null: u32, is_null: bool) {
        self.each(|value| match value {
            value if null == 0 || value.null() != null => value,
            _ if is_null => Value::Scalar(Range::of(0)),
            value => value.checked(),
        });
    }

    /// A reference was given back.
    pub(crate) fn released(&mut self, owner: u32) {
        self.each(|value| if owner != 0 && value.owner() == owner { Value::Uninit } else { value });
    }

    /// Packet data may have moved.
    pub(crate) fn packet_changed(&mut self) {
        self.each(|value| match value {
            Value::PacketEnd => Value::Uninit,
            Value::Memory(Memory { region: Region::Packet | Region::PacketMeta, .. }) => {
                Value::Uninit
            }
            value => value,
        });
    }

    /// The slot and the byte in it of an offset below the frame pointer.
    pub(crate) fn place(off: i32) -> Option<(usize, u32)> {
        let slot = usize::try_from(-1 - off).ok()? / 8;
        (slot < SLOTS).then_some((slot, off.rem_euclid(8) as u32))
    }

    /// Bytes of the stack are written; a whole slot keeps what it is.
    pub(crate) fn write(&mut self, off: i32, size: i32, value: Value) {
        let whole = size == 8 && off % 8 == 0;
        for at in off..off.saturating_add(size) {
            let Some((slot, byte)) = Self::place(at) else { continue };
            if let Some(slot) = self.stack.get_mut(slot) {
                slot.written |= 1 << byte;
                slot.value = if whole { value } else { Value::ANY };
            }
        }
    }

    /// Whether bytes of the stack were written.
    pub(crate) fn is_written(&self, off: i32, size: i32) -> bool {
        (off..off.saturating_add(size)).all(|at| {
            let Some((slot, byte)) = Self::place(at) else { return false };
            self.stack
                .get(slot)
                .is_some_and(|slot| slot.written & 1 << byte != 0 && slot.value != Value::Uninit)
        })
    }
}
