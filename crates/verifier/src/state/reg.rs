// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a register, or a spilled one, holds.

use crate::domain::Quad;
use crate::env::{MapIndex, SubprogId};
use veristable_btf::TypeId;
use veristable_kernel::{RegBase, TypeFlags};
use veristable_program::MapSpec;

/// What is known of a register (`struct bpf_reg_state` without `precise`, which stands in
/// [`super::FrameMarks`]).
#[derive(Clone, Copy, Debug)]
pub struct RegState {
    /// What it is and what belongs to that.
    pub kind: Kind,
    /// Modifiers of the kind.
    pub flags: TypeFlags,
    /// Pointers: the constant part of the offset in bytes. Scalars: the distance to the scalars
    /// that share its id, if [`RegId::has_distance`]; otherwise left over.
    pub off: i32,
    /// Which others it is known to move with.
    pub id: RegId,
    /// The resource that it belongs to, 0 if none.
    pub ref_id: u32,
    /// The instruction after the one that last set only the low half (and so cleared the upper
    /// one), 0 if there is none: `subreg_def`.
    pub subreg_def: u32,
    /// Stack pointers: whose stack. The kernel keeps this apart from the type and does not carry
    /// it along in `scalar += pointer`, so neither is it part of [`Kind::Stack`].
    pub frame: u8,
    /// What it was before that the kernel has not wiped, and compares with other states.
    pub residue: Residue,
    /// Scalars: the number. Pointers: the variable part of the offset.
    pub value: Quad,
}

/// What a pointer leaves behind in the union that goes with the type (`struct bpf_reg_state`): when it
/// turns out to be null (`mark_ptr_or_null_reg`), or a map's value turns out to be a socket
/// (`mark_ptr_not_null_reg`), only the type is overwritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Residue(u32);

impl Residue {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Low bits that hold a number; those above say of what kind.
    const BITS: u32 = 29;

    /// What a pointer of this kind leaves. The uid of an inner map, the dynptr of a slice and the BTF
    /// of a type are not in it.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        let (tag, number) = match kind {
            Kind::ConstMapPtr { map, .. }
            | Kind::MapValue { map, .. }
            | Kind::MapKey { map, .. } => (1, map.index.0.wrapping_mul(2) | u32::from(map.inner)),
            Kind::Mem { size: 0, dynptr_id: 0 } => return Self::NONE,
            Kind::Mem { size, .. } => (2, size),
            Kind::BtfId { id, .. } => (3, id.0),
            _ => return Self::NONE,
        };
        Self(tag << Self::BITS | number & ((1 << Self::BITS) - 1))
    }

    /// Nothing is left.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What a register holds: the base of `enum bpf_reg_type`, with the union that goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing that may be read.
    NotInit,
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// A map itself.
    ConstMapPtr {
        /// Which.
        map: MapRef,
        /// For inner maps: distinguishes look-ups of the outer map, else 0.
        uid: u32,
    },
    /// A map's value.
    MapValue {
        /// Which map's.
        map: MapRef,
        /// As in [`Kind::ConstMapPtr`].
        uid: u32,
    },
    /// A map's key.
    MapKey {
        /// Which map's.
        map: MapRef,
        /// As in [`Kind::ConstMapPtr`].
        uid: u32,
    },
    /// The stack of [`RegState::frame`].
    Stack,
    /// Packet metadata.
    PacketMeta {
        /// Bytes from its start that may be read.
        range: i32,
    },
    /// Packet data.
    Packet {
        /// Bytes from its start that may be read; negative: at or beyond the end.
        range: i32,
    },
    /// The end of packet data.
    PacketEnd,
    /// Flow dissector keys.
    FlowKeys,
    /// A full socket.
    Socket,
    /// A socket of any kind.
    SockCommon,
    /// A TCP socket.
    TcpSock,
    /// A tracepoint's writable buffer.
    TpBuffer,
    /// An XDP socket.
    XdpSock,
    /// A kernel object.
    BtfId {
        /// Which BTF the type counts in.
        btf: BtfRef,
        /// Its type there.
        id: TypeId,
    },
    /// Plain memory.
    Mem {
        /// Its size in bytes.
        size: u32,
        /// The dynptr that it is a slice of, 0 if none.
        dynptr_id: u32,
    },
    /// Arena memory.
    Arena,
    /// A buffer whose size is checked when the program attaches.
    Buf,
    /// A subprogram's address.
    Func(SubprogId),
    /// A dynptr: passed to a callback, or in a stack slot.
    Dynptr {
        /// What memory it describes.
        kind: DynptrKind,
        /// The first of its two slots.
        first_slot: bool,
    },
    /// Only in stack slots: an iterator.
    Iter {
        /// Which BTF the type counts in.
        btf: BtfRef,
        /// Its structure there.
        id: TypeId,
        /// How far it is.
        state: IterState,
        /// How often it was advanced; 24 bits count.
        depth: u32,
    },
    /// Only in stack slots: saved interrupt flags.
    IrqFlag {
        /// Saved by a lock, not by `bpf_local_irq_save`.
        by_lock: bool,
    },
}

impl Kind {
    /// The kernel's base type. Objects in stack slots have no type of their own there.
    #[must_use]
    pub const fn base(self) -> RegBase {
        match self {
            Self::NotInit => RegBase::NotInit,
            Self::Scalar => RegBase::Scalar,
            Self::Ctx => RegBase::Ctx,
            Self::ConstMapPtr { .. } => RegBase::ConstMapPtr,
            Self::MapValue { .. } => RegBase::MapValue,
            Self::MapKey { .. } => RegBase::MapKey,
            Self::Stack | Self::Iter { .. } | Self::IrqFlag { .. } => RegBase::Stack,
            Self::PacketMeta { .. } => RegBase::PacketMeta,
            Self::Packet { .. } => RegBase::Packet,
            Self::PacketEnd => RegBase::PacketEnd,
            Self::FlowKeys => RegBase::FlowKeys,
            Self::Socket => RegBase::Socket,
            Self::SockCommon => RegBase::SockCommon,
            Self::TcpSock => RegBase::TcpSock,
            Self::TpBuffer => RegBase::TpBuffer,
            Self::XdpSock => RegBase::XdpSock,
            Self::BtfId { .. } => RegBase::BtfId,
            Self::Mem { .. } => RegBase::Mem,
            Self::Arena => RegBase::Arena,
            Self::Buf => RegBase::Buf,
            Self::Func(_) => RegBase::Func,
            Self::Dynptr { .. } => RegBase::Dynptr,
        }
    }

    /// Whether a register of this kind may be spilled as what it is (`is_spillable_regtype`).
    #[must_use]
    pub const fn is_spillable_pointer(self) -> bool {
        !matches!(self, Self::NotInit | Self::Scalar | Self::TpBuffer | Self::Dynptr { .. })
    }

    /// Packet data or metadata, not the end (`type_is_pkt_pointer`).
    #[must_use]
    pub const fn is_packet(self) -> bool {
        matches!(self, Self::Packet { .. } | Self::PacketMeta { .. })
    }
}

/// Which BTF a type's id counts in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BtfRef {
    /// The kernel's own (`btf_vmlinux`).
    Kernel,
    /// The program's: objects that it allocates itself.
    Program,
    /// A module's, by its index in [`crate::env::Env::used_btfs`].
    Module(u32),
    /// That of maps which another loader made: objects that its programs allocate. By its index in
    /// `Prog::map_btfs`.
    Maps(u32),
}

impl BtfRef {
    /// Whether its types are those of programs, not of the kernel (`!btf_is_kernel`).
    #[must_use]
    pub const fn is_programs(self) -> bool {
        matches!(self, Self::Program | Self::Maps(_))
    }
}

/// A map as a pointer names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapRef {
    /// The map in use.
    pub index: MapIndex,
    /// Its inner map rather than itself.
    pub inner: bool,
}

impl MapRef {
    /// The name that the kernel has for it: the first 15 bytes; none for an inner map, of which it
    /// knows what all that may be put there have in common (`bpf_map_meta_alloc`,
    /// `kernel/bpf/map_in_map.c`).
    #[must_use]
    pub fn name(self, spec: &MapSpec) -> &str {
        match self.inner {
            true => "",
            false => spec.name.get(..15).unwrap_or(&spec.name),
        }
    }
}

/// What memory a dynptr describes (`enum bpf_dynptr_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DynptrKind {
    /// The program's own memory.
    Local,
    /// A ring buffer record.
    Ringbuf,
    /// A socket buffer.
    Skb,
    /// An XDP packet.
    Xdp,
    /// Metadata of a socket buffer.
    SkbMeta,
}

/// How far an iterator is (`enum bpf_iter_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IterState {
    /// A slot that is not its first.
    Invalid,
    /// May give another element.
    Active,
    /// Gives no more.
    Drained,
}

/// Which registers move together: 0 for none. Numbers come from one counter and are printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RegId(pub u32);

impl RegId {
    /// Moves with no other.
    pub const NONE: Self = Self(0);
    const WIDE_DISTANCE: u32 = 1 << 31;
    const HALF_DISTANCE: u32 = 1 << 30;
    const DISTANCE: u32 = Self::WIDE_DISTANCE | Self::HALF_DISTANCE;

    /// Whether it moves with no other.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether [`RegState::off`] is a distance to the others (`BPF_ADD_CONST`).
    #[must_use]
    pub const fn has_distance(self) -> bool {
        self.0 & Self::DISTANCE != 0
    }

    /// Whether the distance is one of low halves, with nothing above (`BPF_ADD_CONST32`).
    #[must_use]
    pub const fn has_half_distance(self) -> bool {
        self.0 & Self::HALF_DISTANCE != 0
    }

    /// Whether one has a distance of low halves and the other one of whole numbers, so that
    /// neither follows from the other.
    #[must_use]
    pub const fn is_at_odds(self, other: Self) -> bool {
        (self.0 ^ other.0) & Self::DISTANCE == Self::DISTANCE
    }

    /// The same group, at a distance; `half`: of low halves.
    #[must_use]
    pub const fn with_distance(self, half: bool) -> Self {
        Self(self.0 | if half { Self::HALF_DISTANCE } else { Self::WIDE_DISTANCE })
    }

    /// Whether both have a distance of the same kind, or none.
    #[must_use]
    pub const fn has_same_kind(self, other: Self) -> bool {
        (self.0 ^ other.0) & Self::DISTANCE == 0
    }

    /// The group's number.
    #[must_use]
    pub const fn group(self) -> u32 {
        self.0 & !Self::DISTANCE
    }
}

impl RegState {
    /// Nothing that may be read.
    pub const NOT_INIT: Self = Self::of(Kind::NotInit, Quad::UNKNOWN);
    /// Any number.
    pub const UNKNOWN: Self = Self::of(Kind::Scalar, Quad::UNKNOWN);
    /// The number 0.
    pub const ZERO: Self = Self::scalar(0);

    /// Something of this kind with this number or offset and nothing else.
    #[must_use]
    pub const fn of(kind: Kind, value: Quad) -> Self {
        Self {
            kind,
            flags: TypeFlags::empty(),
            off: 0,
            id: RegId::NONE,
            ref_id: 0,
            subreg_def: 0,
            frame: 0,
            residue: Residue::NONE,
            value,
        }
    }

    /// This number.
    #[must_use]
    pub const fn scalar(number: u64) -> Self {
        Self::of(Kind::Scalar, Quad::constant(number))
    }

    /// A pointer to the start of what `kind` says.
    #[must_use]
    pub const fn pointer(kind: Kind) -> Self {
        Self::of(kind, Quad::ZERO)
    }

    /// The frame pointer of a frame.
    #[must_use]
    pub const fn frame_pointer(frame: u8) -> Self {
        let mut this = Self::pointer(Kind::Stack);
        this.frame = frame;
        this
    }

    /// Makes it any number; `subreg_def` stays (`__mark_reg_unknown`).
    pub fn set_unknown(&mut self) {
        *self = Self { subreg_def: self.subreg_def, ..Self::UNKNOWN };
    }

    /// Makes it unreadable; `subreg_def` stays (`__mark_reg_not_init`).
    pub fn set_not_init(&mut self) {
        *self = Self { subreg_def: self.subreg_def, ..Self::NOT_INIT };
    }

    /// Makes it this number; `subreg_def` and the left-over frame stay (`__mark_reg_known`).
    pub fn set_number(&mut self, number: u64) {
        let Self { subreg_def, frame, .. } = *self;
        *self = Self { subreg_def, frame, ..Self::scalar(number) };
    }

    /// Whether it is a number.
    #[must_use]
    #[inline]
    pub const fn is_scalar(&self) -> bool {
        matches!(self.kind, Kind::Scalar)
    }

    /// Whether it is a number or may not be read at all: not a pointer.
    #[must_use]
    pub fn is_pointer(&self) -> bool {
        !self.is_scalar()
    }

    /// The number, if it is one and known.
    #[must_use]
    pub fn as_const(&self) -> Option<u64> {
        if self.is_scalar() { self.value.as_const() } else { None }
    }

    /// Whether it is the number 0 (`register_is_null`).
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_const() == Some(0)
    }

    /// Whether a pointer may be null.
    #[must_use]
    pub const fn may_be_null(&self) -> bool {
        self.flags.contains(TypeFlags::PTR_MAYBE_NULL)
    }

    /// How many low bits its value needs (`get_reg_width`).
    #[must_use]
    pub const fn width(&self) -> u32 {
        64 - self.value.u64.max.leading_zeros()
    }

    /// Same kind (whatever belongs to it) and same modifiers: `type` is equal.
    #[must_use]
    pub fn same_type(&self, other: &Self) -> bool {
        self.kind.base() == other.kind.base() && self.flags == other.flags
    }

    /// Everything before `var_off` is equal.
    #[must_use]
    pub fn same_head(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.flags == other.flags
            && self.off == other.off
            && self.residue == other.residue
    }

    /// Everything before `id` is equal.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.same_head(other) && self.value == other.value
    }

    /// Everything before `frameno` is equal (`states_maybe_looping`).
    #[must_use]
    pub fn same_with_ids(&self, other: &Self) -> bool {
        self.same_content(other) && self.id == other.id && self.ref_id == other.ref_id
    }

    /// Parts with what it moves along with. `distance_too`: the kernel forgets the distance as
    /// well (`clear_scalar_id`).
    pub fn unlink(&mut self, distance_too: bool) {
        self.id = RegId::NONE;
        if distance_too {
            self.off = 0;
        }
    }

    /// Gives a scalar an id before it is copied, unless it is constant; a distance is dropped
    /// (`assign_scalar_id_before_mov`). `counter` is the last id given.
    pub fn link(&mut self, counter: &mut u32) {
        if !self.is_scalar() {
            return;
        }
        if self.id.has_distance() {
            self.id = RegId::NONE;
            self.off = 0;
        }
        if self.id.is_none() && !self.value.bits.is_const() {
            *counter = counter.wrapping_add(1);
            self.id = RegId(*counter);
        }
    }
}
