// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Regions of known size at a register, map keys, plain memory and buffers
//! (`check_mem_region_access`, `check_buffer_access`).

use super::{Access, Span};
use crate::design::Design;
use crate::log::state::{TnumText, TypeName};
use crate::messages::Memory;
use crate::outcome::Step;
use crate::simulate::pointer::MAX_VAR_OFF;
use crate::simulate::sim::Sim;
use crate::state::{Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::TypeFlags;

/// A part of a region: `size` bytes at a constant distance from a pointer, whose own constant
/// offset is part of that distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The pointer.
    pub(crate) reg: Reg,
    /// Distance in bytes, without the pointer's variable offset.
    pub(crate) off: i32,
    /// Bytes.
    pub(crate) size: u32,
    /// No bytes at all will do.
    pub(crate) zero_size_allowed: bool,
}

impl Part {
    /// The bytes of a load or store through `pointer`.
    pub(super) const fn of(span: Span, pointer: &RegState) -> Self {
        let off = span.off.wrapping_add(pointer.off);
        Self { reg: span.base, off, size: span.size, zero_size_allowed: false }
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A part must lie within its region wherever the pointer's variable offset puts it
    /// (`check_mem_region_access`). `region`: bytes of the region.
    pub(crate) fn check_region(&mut self, part: Part, pointer: &RegState, region: u32) -> Step {
        let reg = part.reg.number();
        let (s64, u64) = (pointer.value.s64, pointer.value.u64);
        let lowest = s64.min.wrapping_add(i64::from(part.off));
        if s64.min < 0 && (s64.min == i64::MIN || i32::try_from(lowest).is_err() || lowest < 0) {
            return self.env.reject(Memory::NegativeMin { reg });
        }
        // The kernel cuts both offsets to 32 bits.
        let lowest = Part { off: lowest as i32, ..part };
        if !self.fits_region(lowest, pointer, region)? {
            return self.env.reject(Memory::MinOutside { reg });
        }
        if u64.max >= MAX_VAR_OFF.cast_unsigned() {
            return self.env.reject(Memory::Unbounded { reg });
        }
        let highest = u64.max.wrapping_add(i64::from(part.off).cast_unsigned());
        let highest = Part { off: highest as i32, ..part };
        if !self.fits_region(highest, pointer, region)? {
            return self.env.reject(Memory::MaxOutside { reg });
        }
        Ok(())
    }

    /// Whether a part at a constant offset lies within its region; says so if not
    /// (`__check_mem_access`).
    pub(super) fn fits_region(
        &mut self,
        part: Part,
        pointer: &RegState,
        region: u32,
    ) -> Step<bool> {
        let Part { reg, off, size, zero_size_allowed } = part;
        let size = size.cast_signed();
        let size_ok = size > 0 || (size == 0 && zero_size_allowed);
        if off >= 0 && size_ok && i64::from(off) + i64::from(size) <= i64::from(region) {
            return Ok(true);
        }
        let plain = pointer.flags.is_empty();
        let message = match pointer.kind {
            Kind::MapKey { .. } if plain => {
                Memory::KeyBounds { key_size: region.cast_signed(), off, size }
            }
            Kind::MapValue { .. } if plain => {
                Memory::ValueBounds { value_size: region.cast_signed(), off, size }
            }
            Kind::Packet { .. } | Kind::PacketMeta { .. } if plain => Memory::PacketBounds {
                off,
                size,
                reg: reg.number(),
                id: pointer.id.0.cast_signed(),
                range: region.cast_signed(),
            },
            _ => Memory::Bounds { mem_size: region, off, size },
        };
        self.env.say(message)?;
        Ok(false)
    }

    /// A pointer that must stay as it was given: no offset, unless a constant one is allowed
    /// (`__check_ptr_off_reg`).
    pub(crate) fn check_unmoved(&mut self, reg: Reg, pointer: &RegState, fixed_ok: bool) -> Step {
        let (reg, off) = (reg.number(), pointer.off);
        let ty = TypeName::of(pointer);
        if off < 0 {
            return self.env.reject(Memory::NegativeOffset { ty: ty.text(), reg, off });
        }
        if !fixed_ok && off != 0 {
            return self.env.reject(Memory::ModifiedPointer { ty: ty.text(), reg, off });
        }
        if !pointer.value.bits.equals(0) {
            let var_off = TnumText(pointer.value.bits).text();
            return self.env.reject(Memory::VariablePointer { ty: ty.text(), var_off });
        }
        Ok(())
    }

    /// Whether a pointer that is passed to a function has an offset that its kind may have there
    /// (`check_func_arg_reg_off`). `releases`: the function takes the object away.
    pub(crate) fn check_passed_offset(
        &mut self,
        reg: Reg,
        pointer: &RegState,
        releases: bool,
    ) -> Step {
        if releases {
            if pointer.off != 0 {
                return self.env.reject(Memory::ReleasedWithOffset { reg: reg.number() });
            }
            return self.check_unmoved(reg, pointer, false);
        }
        match passed_offset(pointer) {
            PassedOffset::Any => Ok(()),
            PassedOffset::Fixed => self.check_unmoved(reg, pointer, true),
            PassedOffset::None => self.check_unmoved(reg, pointer, false),
        }
    }

    /// A register that is stored must not be a pointer if the program may not see those.
    pub(super) fn refuse_leak(&mut self, value: Option<Reg>, place: &'static str) -> Step {
        match value {
            Some(reg) if self.is_secret(reg)? => {
                self.env.reject(Memory::Leaks { reg: reg.number(), place })
            }
            _ => Ok(()),
        }
    }

    /// What is loaded can be any number.
    pub(super) fn loaded_unknown(&mut self, access: Access) -> Step {
        if let Access::Read(Some(dst)) = access {
            self.reg_mut(dst)?.set_unknown();
        }
        Ok(())
    }

    /// A load through a pointer to a map's key.
    pub(super) fn access_key(
        &mut self,
        span: Span,
        pointer: &RegState,
        map: MapRef,
        access: Access,
    ) -> Step {
        if matches!(access, Access::Write(_)) {
            return self.env.reject(Memory::WriteKey { reg: span.base.number() });
        }
        let key_size = self.map_spec(map)?.key_size;
        self.check_region(Part::of(span, pointer), pointer, key_size)?;
        self.loaded_unknown(access)
    }

    /// An access to plain memory of `size` bytes.
    pub(super) fn access_plain(
        &mut self,
        span: Span,
        pointer: &RegState,
        size: u32,
        access: Access,
    ) -> Step {
        let (reg, ty) = (span.base.number(), TypeName::of(pointer));
        if pointer.may_be_null() {
            return self.env.reject(Memory::Invalid { reg, ty: ty.text() });
        }
        let read_only = pointer.flags.contains(TypeFlags::MEM_RDONLY);
        if let Access::Write(value) = access {
            if read_only {
                return self.env.reject(Memory::ReadOnly { reg, ty: ty.text() });
            }
            self.refuse_leak(value, "mem")?;
        }
        // What is untrusted is read by probing, whatever its size.
        if !(read_only && pointer.flags.contains(TypeFlags::PTR_UNTRUSTED)) {
            self.check_region(Part::of(span, pointer), pointer, size)?;
        }
        self.loaded_unknown(access)
    }

    /// An access to a buffer whose size is only known when the program attaches.
    pub(super) fn access_buffer(&mut self, span: Span, pointer: &RegState, access: Access) -> Step {
        let writes = matches!(access, Access::Write(_));
        self.check_open_buffer(Part::of(span, pointer), pointer, writes)?;
        self.loaded_unknown(access)
    }

    /// A part of such a buffer (`check_buffer_access`).
    pub(super) fn check_open_buffer(
        &mut self,
        part: Part,
        pointer: &RegState,
        writes: bool,
    ) -> Step {
        let read_only = pointer.flags.contains(TypeFlags::MEM_RDONLY);
        if read_only && writes {
            let (reg, ty) = (part.reg.number(), TypeName::of(pointer).text());
            return self.env.reject(Memory::ReadOnly { reg, ty });
        }
        self.check_buffer_offset(part, pointer, if read_only { "rdonly" } else { "rdwr" })
    }

    /// An access to a tracepoint's writable buffer, whose size is checked when the program
    /// attaches (`check_tp_buffer_access`).
    pub(super) fn access_tracepoint_buffer(
        &mut self,
        span: Span,
        pointer: &RegState,
        access: Access,
    ) -> Step {
        self.check_buffer_offset(Part::of(span, pointer), pointer, "tracepoint")?;
        self.loaded_unknown(access)
    }

    /// `__check_buffer_access`
    fn check_buffer_offset(&mut self, part: Part, pointer: &RegState, info: &'static str) -> Step {
        let Part { off, size, .. } = part;
        let reg = part.reg.number();
        if off < 0 {
            let size = size.cast_signed();
            return self.env.reject(Memory::Buffer { reg, info, off, size });
        }
        if !pointer.value.bits.equals(0) {
            let var_off = TnumText(pointer.value.bits).text();
            return self.env.reject(Memory::VariableBuffer { reg, off, var_off });
        }
        Ok(())
    }
}

/// What offset a pointer may have that is passed on.
enum PassedOffset {
    Any,
    Fixed,
    None,
}

fn passed_offset(pointer: &RegState) -> PassedOffset {
    const RDONLY: TypeFlags = TypeFlags::MEM_RDONLY;
    const OWNED: TypeFlags = TypeFlags::MEM_ALLOC.union(TypeFlags::NON_OWN_REF);
    let (plain, flags) = (pointer.flags.is_empty(), pointer.flags);
    let free = match pointer.kind {
        Kind::Stack
        | Kind::Packet { .. }
        | Kind::PacketMeta { .. }
        | Kind::MapKey { .. }
        | Kind::MapValue { .. }
        | Kind::Arena
        | Kind::Scalar => plain,
        Kind::Mem { .. } => plain || flags == RDONLY || flags == TypeFlags::MEM_RINGBUF,
        Kind::Buf => plain || flags == RDONLY,
        _ => false,
    };
    let fixed = [
        TypeFlags::empty(),
        TypeFlags::MEM_ALLOC,
        TypeFlags::PTR_TRUSTED,
        TypeFlags::MEM_RCU,
        OWNED,
        OWNED.union(TypeFlags::MEM_RCU),
    ];
    match pointer.kind {
        _ if free => PassedOffset::Any,
        Kind::BtfId { .. } if fixed.contains(&flags) => PassedOffset::Fixed,
        _ => PassedOffset::None,
    }
}
