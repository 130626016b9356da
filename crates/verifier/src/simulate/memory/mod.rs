// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Loads, stores and atomic operations (`check_mem_access` and its callers).

mod arena;
mod btf;
mod buffer;
mod ctx;
mod map;
mod map_fields;
mod packet;
mod plain;
mod range;
mod sock;
mod stack;

pub(crate) use buffer::{BufferUse, FilledStack};
pub(crate) use ctx::{CtxLoad, CtxLoads};
pub(crate) use map::{MapTable, only_read};
pub(crate) use map_fields::Accessor;
pub(crate) use plain::Part;

use super::sim::{KindMemo, Sim};
use crate::design::Design;
use crate::domain::Narrow;
use crate::env::InsnFlags;
use crate::log::state::{TnumText, TypeName};
use crate::messages::Memory;
use crate::outcome::Step;
use crate::state::{Kind, RegState};
use crate::trace::Observer;
use veristable_isa::{AtomicOp, Operand, Reg, Size};
use veristable_kernel::{Behaviour, RegBase, TypeFlags};

/// What an access does with memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Reads into a register, or only looks whether it could.
    Read(Option<Reg>),
    /// Writes a register, or something unknown; an immediate is in the instruction.
    Write(Option<Reg>),
}

/// Where and how much: `size` bytes at `base + off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// The pointer.
    pub(crate) base: Reg,
    /// Distance in bytes.
    pub(crate) off: i32,
    /// Bytes: 1, 2, 4 or 8.
    pub(crate) size: u32,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `dst = *(size *)(base + off)`
    pub(crate) fn load(
        &mut self,
        size: Size,
        sign_extend: bool,
        dst: Reg,
        base: Reg,
        off: i16,
    ) -> Step {
        self.load_from(size, sign_extend, dst, base, off, false, "ldx")
    }

    /// The same with acquire semantics.
    pub(crate) fn load_acquire(&mut self, size: Size, dst: Reg, base: Reg, off: i16) -> Step {
        self.load_from(size, false, dst, base, off, true, "atomic_load")?;
        // The kernel looks at the pointer after the load, which may have overwritten it.
        let pointer = self.copy_of(base)?;
        if !self.allows_atomics(&pointer)? {
            let (reg, ty) = (base.number(), TypeName::of(&pointer).text());
            return self.env.reject(Memory::AtomicLoad { reg, ty });
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one instruction")]
    fn load_from(
        &mut self,
        size: Size,
        sign_extend: bool,
        dst: Reg,
        base: Reg,
        off: i16,
        strict: bool,
        place: &'static str,
    ) -> Step {
        // A load-acquire is a store to the test of operand widths (`is_reg64`).
        let wide = if strict { size == Size::DW } else { size == Size::DW || sign_extend };
        let base_is_number = self.reg_if_exists(base).is_some_and(RegState::is_scalar);
        self.read(base, !strict || !base_is_number || size == Size::DW)?;
        self.write(dst, wide)?;
        let pointer = self.copy_of(base)?;
        let span = Span { base, off: i32::from(off), size: size.bytes() };
        self.access(span, Access::Read(Some(dst)), strict, sign_extend)?;
        self.remember_pointer(&pointer, !strict)?;
        if sign_extend && matches!(pointer.kind, Kind::Arena) {
            self.set_flag(self.insn, InsnFlags::ARENA_SIGN_LOAD)?;
        }
        self.check_invariants(dst, place)
    }

    fn reg_if_exists(&self, reg: Reg) -> Option<&RegState> {
        self.reg(reg).ok()
    }

    /// `*(size *)(base + off) = value`
    pub(crate) fn store(&mut self, size: Size, base: Reg, off: i16, value: Operand) -> Step {
        match value {
            Operand::Reg(src) => self.store_reg(size, base, off, src, false),
            Operand::Imm(_) => {
                self.read(base, true)?;
                let pointer = self.copy_of(base)?;
                let span = Span { base, off: i32::from(off), size: size.bytes() };
                self.access(span, Access::Write(None), false, false)?;
                self.remember_pointer(&pointer, false)
            }
        }
    }

    /// A register store with release semantics.
    pub(crate) fn store_release(&mut self, size: Size, base: Reg, off: i16, src: Reg) -> Step {
        self.store_reg(size, base, off, src, true)?;
        self.check_atomic_store(base)
    }

    fn store_reg(&mut self, size: Size, base: Reg, off: i16, src: Reg, strict: bool) -> Step {
        self.read_for_store(src, size)?;
        self.read_for_store(base, size)?;
        let pointer = self.copy_of(base)?;
        let span = Span { base, off: i32::from(off), size: size.bytes() };
        self.access(span, Access::Write(Some(src)), strict, false)?;
        self.remember_pointer(&pointer, false)
    }

    /// An operand of a store counts as wide if it is no number.
    fn read_for_store(&mut self, reg: Reg, size: Size) -> Step {
        let is_number = self.reg_if_exists(reg).is_some_and(RegState::is_scalar);
        self.read(reg, !is_number || size == Size::DW)
    }

    fn check_atomic_store(&mut self, base: Reg) -> Step {
        let pointer = self.copy_of(base)?;
        if !self.allows_atomics(&pointer)? {
            let (reg, ty) = (base.number(), TypeName::of(&pointer).text());
            return self.env.reject(Memory::AtomicStore { reg, ty });
        }
        Ok(())
    }

    /// Atomic read-modify-write (`check_atomic_rmw`).
    pub(crate) fn atomic(
        &mut self,
        op: AtomicOp,
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Step {
        if !matches!(size, Size::W | Size::DW) {
            return self.env.reject(Memory::AtomicSize);
        }
        self.read_for_store(src, size)?;
        self.read_for_store(base, size)?;
        if op == AtomicOp::Cmpxchg {
            self.read_for_store(Reg::R0, size)?;
            self.refuse_leak(Some(Reg::R0), "mem")?;
        }
        self.refuse_leak(Some(src), "mem")?;
        self.check_atomic_store(base)?;
        let result = op.result(src);
        if let Some(result) = result {
            self.write_unknown(result, size == Size::DW)?;
        }
        let span = Span { base, off: i32::from(off), size: size.bytes() };
        self.access(span, Access::Read(None), true, false)?;
        if result.is_some() {
            self.access(span, Access::Read(result), true, false)?;
        }
        let pointer = self.copy_of(base)?;
        let is_arena = matches!(pointer.kind, Kind::Arena) && pointer.flags.is_empty();
        if is_arena || self.env.has(Behaviour::AtomicsRememberPointer) {
            self.remember_pointer(&pointer, false)?;
        }
        self.access(span, Access::Write(None), true, false)
    }

    /// One access (`check_mem_access`). `strict`: alignment counts whatever the program says.
    pub(crate) fn access(
        &mut self,
        span: Span,
        access: Access,
        strict: bool,
        sign_extend: bool,
    ) -> Step {
        let pointer = self.copy_of(span.base)?;
        self.check_alignment(&pointer, span, strict)?;
        self.access_kind(span, &pointer, access, sign_extend)?;
        if let (Access::Read(Some(dst)), Some(size)) = (access, Narrow::from_bytes(span.size))
            && self.reg(dst)?.is_scalar()
        {
            let rules = self.env.rules;
            let value = &mut self.reg_mut(dst)?.value;
            if sign_extend {
                value.sign_extend(size);
            } else {
                value.truncate(size, rules);
            }
        }
        Ok(())
    }

    /// The access, by what the pointer points to.
    fn access_kind(
        &mut self,
        span: Span,
        pointer: &RegState,
        access: Access,
        sign_extend: bool,
    ) -> Step {
        let plain = pointer.flags.is_empty();
        match pointer.kind {
            Kind::MapKey { map, .. } if plain => self.access_key(span, pointer, map, access),
            Kind::MapValue { map, .. } if plain => {
                self.access_map_value(span, pointer, map, access, sign_extend)
            }
            Kind::Mem { size, .. } => self.access_plain(span, pointer, size, access),
            Kind::Ctx if plain => self.access_ctx(span, pointer, access, sign_extend),
            Kind::Stack if plain => self.access_stack(span, pointer, access),
            Kind::Packet { range } | Kind::PacketMeta { range } if plain => {
                self.access_packet(span, pointer, range, access)
            }
            Kind::FlowKeys if plain => self.access_flow_keys(span, pointer, access),
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock if plain => {
                self.access_socket(span, pointer, access)
            }
            Kind::TpBuffer if plain => self.access_tracepoint_buffer(span, pointer, access),
            Kind::BtfId { .. } if !pointer.may_be_null() => self.access_btf(span, pointer, access),
            Kind::ConstMapPtr { map, .. } if plain => {
                self.access_map_itself(span, pointer, map, access)
            }
            Kind::Buf
                if pointer.may_be_null() && self.env.has(Behaviour::NullableBuffersChecked) =>
            {
                let (reg, ty) = (span.base.number(), TypeName::of(pointer).text());
                self.env.reject(Memory::Invalid { reg, ty })
            }
            Kind::Buf => self.access_buffer(span, pointer, access),
            // Faults of arena accesses are handled when they happen.
            Kind::Arena if plain => self.loaded_unknown(access),
            _ => {
                let (reg, ty) = (span.base.number(), TypeName::of(pointer).text());
                self.env.reject(Memory::Invalid { reg, ty })
            }
        }
    }

    /// `check_ptr_alignment`
    pub(crate) fn check_alignment(&mut self, pointer: &RegState, span: Span, strict: bool) -> Step {
        let plain = pointer.flags.is_empty();
        let strict = strict || self.env.prog.strict_alignment;
        let area = match pointer.kind {
            Kind::Packet { .. } | Kind::PacketMeta { .. } if plain => {
                if !strict || span.size == 1 {
                    return Ok(());
                }
                return self.check_packet_alignment(pointer, span);
            }
            Kind::Arena if plain => return Ok(()),
            _ if !plain => "",
            Kind::FlowKeys => "flow keys ",
            Kind::MapKey { .. } => "key ",
            Kind::MapValue { .. } => "value ",
            Kind::Ctx => "context ",
            Kind::Stack => "stack ",
            Kind::Socket => "sock ",
            Kind::SockCommon => "sock_common ",
            Kind::TcpSock => "tcp_sock ",
            Kind::XdpSock => "xdp_sock ",
            _ => "",
        };
        if !(strict || area == "stack ") || span.size == 1 {
            return Ok(());
        }
        let constant = pointer.off.wrapping_add(span.off);
        let constant = crate::domain::Tnum::constant(i64::from(constant).cast_unsigned());
        if pointer.value.bits.add(constant).is_aligned(u64::from(span.size)) {
            return Ok(());
        }
        let var_off = TnumText(pointer.value.bits).text();
        let (reg_off, Span { off, size, .. }) = (pointer.off, span);
        self.env.reject(Memory::Misaligned { area, var_off, reg_off, off, size })
    }

    /// Whether atomic instructions may use a pointer (`atomic_ptr_type_ok`).
    fn allows_atomics(&self, pointer: &RegState) -> Step<bool> {
        if !pointer.flags.is_empty() {
            return Ok(true);
        }
        match pointer.kind {
            Kind::Ctx
            | Kind::Packet { .. }
            | Kind::PacketMeta { .. }
            | Kind::FlowKeys
            | Kind::Socket
            | Kind::SockCommon
            | Kind::TcpSock
            | Kind::XdpSock => Ok(false),
            Kind::Arena => self.jit_has_atomic(),
            _ => Ok(true),
        }
    }

    /// One instruction may not use pointers whose accesses are rewritten differently
    /// (`save_aux_ptr_type`).
    fn remember_pointer(&mut self, pointer: &RegState, trust_may_differ: bool) -> Step {
        let ty = (pointer.kind.base(), pointer.flags);
        let memo = self.memo()?;
        let KindMemo::Access(base, flags) = memo.of_kind else {
            if !matches!(pointer.kind, Kind::NotInit) {
                memo.of_kind = KindMemo::Access(ty.0, ty.1);
            }
            return Ok(());
        };
        let before = (base, flags);
        if ty == before || (mixes(ty.0) && mixes(before.0)) {
            return Ok(());
        }
        let either = |flag| ty.1.contains(flag) || before.1.contains(flag);
        let with_memory = self.env.has(Behaviour::WalkToPrimitive);
        let mixes_trust = |base| base == RegBase::BtfId || (with_memory && base == RegBase::Mem);
        if !trust_may_differ || !mixes_trust(ty.0) || !mixes_trust(before.0) {
            return self.env.reject(Memory::DifferentPointers);
        }
        let base = if ty.0 == RegBase::Mem || before.0 == RegBase::Mem {
            RegBase::Mem
        } else {
            RegBase::BtfId
        };
        let mut flags = TypeFlags::empty();
        let untrusted = either(TypeFlags::PTR_UNTRUSTED) || !with_memory;
        flags.set(TypeFlags::PTR_UNTRUSTED, untrusted);
        flags.set(TypeFlags::MEM_RDONLY, either(TypeFlags::MEM_RDONLY));
        self.memo()?.of_kind = KindMemo::Access(base, flags);
        Ok(())
    }
}

/// Accesses through it are rewritten like those through others (`reg_type_mismatch_ok`).
const fn mixes(base: RegBase) -> bool {
    !matches!(
        base,
        RegBase::Ctx
            | RegBase::Socket
            | RegBase::SockCommon
            | RegBase::TcpSock
            | RegBase::XdpSock
            | RegBase::BtfId
            | RegBase::Arena
    )
}
