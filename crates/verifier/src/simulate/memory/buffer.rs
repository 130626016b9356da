// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Memory that a callee reads or writes (`check_helper_mem_access`, `check_mem_size_reg`,
//! `check_mem_reg`, `check_kfunc_mem_size_reg`).

use super::map_fields::Accessor;
use super::plain::Part;
use super::{Access, Span};
use crate::design::Design;
use crate::errno::Errno;
use crate::log::state::TypeName;
use crate::messages::Memory;
use crate::outcome::{Step, Stop};
use crate::simulate::sim::Sim;
use crate::state::{Kind, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{ProgType, TypeFlags};

/// What the callee does with the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BufferUse {
    /// An instruction loads from it, at an offset that is not known: it must be initialised.
    Load,
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

/// Sizes must be below this (`BPF_MAX_VAR_SIZ`).
const MAX_SIZE: u64 = 1 << 29;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `size` bytes behind an argument (`check_helper_mem_access`), which count as negative from
    /// 2 GiB on: some kinds of memory do not mind. Gives the stack that the call
    /// has to write, for [`BufferUse::Fill`] of stack memory.
    pub(crate) fn check_buffer(
        &mut self,
        reg: Reg,
        size: u32,
        zero_size_allowed: bool,
        access: BufferUse,
    ) -> Step<Option<FilledStack>> {
        let pointer = self.copy_of(reg)?;
        let part = Part { reg, off: pointer.off, size, zero_size_allowed };
        let writes = matches!(access, BufferUse::Write | BufferUse::Fill);
        match pointer.kind {
            Kind::Packet { range } | Kind::PacketMeta { range } => {
                self.check_packet(part, &pointer, range)?;
            }
            Kind::MapKey { map, .. } => {
                self.refuse_write(reg, &pointer, writes)?;
                let key_size = self.map_spec(map)?.key_size;
                self.check_region(Part { zero_size_allowed: false, ..part }, &pointer, key_size)?;
            }
            Kind::MapValue { map, .. } => {
                self.check_map_direction(part, map, writes)?;
                self.check_map_value(part, &pointer, map, Accessor::Callee)?;
            }
            Kind::Mem { size, .. } => {
                if pointer.flags.contains(TypeFlags::MEM_RDONLY) {
                    self.refuse_write(reg, &pointer, writes)?;
                }
                self.check_region(part, &pointer, size)?;
            }
            Kind::Buf => self.check_open_buffer(part, &pointer, writes)?,
            Kind::Stack => return self.check_stack_range(part, &pointer, access),
            Kind::BtfId { .. } => {
                let span = Span { base: reg, off: 0, size };
                self.access_btf(span, &pointer, Access::Read(None))?;
            }
            Kind::Ctx if !converts_context(self.env.prog.rules) => {
                self.check_context_bytes(part, writes)?;
            }
            _ => self.check_no_bytes(part, &pointer)?,
        }
        Ok(None)
    }

    fn refuse_write(&mut self, reg: Reg, pointer: &RegState, writes: bool) -> Step {
        if writes {
            let (reg, ty) = (reg.number(), TypeName::of(pointer).text());
            return self.env.reject(Memory::ReadOnly { reg, ty });
        }
        Ok(())
    }

    /// Bytes of a context that is memory: the last one decides.
    fn check_context_bytes(&mut self, part: Part, writes: bool) -> Step {
        if part.size == 0 {
            // The kernel says nothing.
            return match part.zero_size_allowed {
                true => Ok(()),
                false => Err(Stop::Rejected(Errno::EACCES)),
            };
        }
        let last = part.size.cast_signed().wrapping_sub(1);
        let span = Span { base: part.reg, off: last, size: 1 };
        let access = if writes { Access::Write(None) } else { Access::Read(None) };
        self.access(span, access, false, false)
    }

    /// What is no memory will do only where no byte of it is touched.
    fn check_no_bytes(&mut self, part: Part, pointer: &RegState) -> Step {
        if part.zero_size_allowed && part.size == 0 && pointer.is_null() {
            return Ok(());
        }
        let (reg, ty) = (part.reg.number(), TypeName::of(pointer).text());
        self.env.reject(Memory::NotMemory { reg, ty, expected: "fp" })
    }

    /// A buffer whose size is in the next register (`check_mem_size_reg`).
    pub(crate) fn check_sized_buffer(
        &mut self,
        memory: Reg,
        size: Reg,
        zero_size_allowed: bool,
        access: BufferUse,
    ) -> Step<Option<FilledStack>> {
        let value = self.reg(size)?.value;
        let reg = size.number();
        // What is only partly filled must be initialised.
        let access = match access {
            BufferUse::Fill if !value.bits.is_const() => BufferUse::Write,
            other => other,
        };
        if value.s64.min < 0 {
            return self.env.reject(Memory::NegativeSize { reg });
        }
        if value.u64.min == 0 && !zero_size_allowed {
            let (min, max) = (value.u64.min.cast_signed(), value.u64.max.cast_signed());
            return self.env.reject(Memory::ZeroSizedRange { reg, min, max });
        }
        let bytes = match u32::try_from(value.u64.max) {
            Ok(bytes) if value.u64.max < MAX_SIZE => bytes,
            _ => return self.env.reject(Memory::UnboundedSize { reg }),
        };
        let filled = self.check_buffer(memory, bytes, zero_size_allowed, access)?;
        self.mark_precise(size)?;
        Ok(filled)
    }

    /// `size` bytes that a function reads and writes, or null (`check_mem_reg`).
    pub(crate) fn check_memory(&mut self, reg: Reg, size: u32) -> Step {
        if self.reg(reg)?.is_null() {
            return Ok(());
        }
        self.with_non_null(reg, |sim| {
            sim.check_buffer(reg, size, true, BufferUse::Read)?;
            sim.check_buffer(reg, size, true, BufferUse::Write)?;
            Ok(())
        })
    }

    /// Memory that a kfunc reads and writes, with its size in the next register
    /// (`check_kfunc_mem_size_reg`).
    pub(crate) fn check_sized_memory(&mut self, memory: Reg, size: Reg) -> Step {
        self.with_non_null(memory, |sim| {
            sim.check_sized_buffer(memory, size, true, BufferUse::Read)?;
            sim.check_sized_buffer(memory, size, true, BufferUse::Write)?;
            Ok(())
        })
    }

    /// Does something as if a pointer that may be null were none.
    fn with_non_null(&mut self, reg: Reg, check: impl FnOnce(&mut Self) -> Step) -> Step {
        let saved = self.copy_of(reg)?;
        if !saved.may_be_null() {
            return check(self);
        }
        let assumed = self.not_null(&saved)?;
        *self.reg_mut(reg)? = assumed;
        check(self)?;
        *self.reg_mut(reg)? = saved;
        Ok(())
    }
}

/// Whether accesses to the context of such programs are rewritten (`convert_ctx_access`): then it
/// is not plain memory.
const fn converts_context(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::SOCKET_FILTER
            | ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::PERF_EVENT
            | ProgType::CGROUP_SKB
            | ProgType::CGROUP_SOCK
            | ProgType::LWT_IN
            | ProgType::LWT_OUT
            | ProgType::LWT_XMIT
            | ProgType::LWT_SEG6LOCAL
            | ProgType::SOCK_OPS
            | ProgType::SK_SKB
            | ProgType::SK_MSG
            | ProgType::CGROUP_SOCK_ADDR
            | ProgType::FLOW_DISSECTOR
            | ProgType::CGROUP_SYSCTL
            | ProgType::CGROUP_SOCKOPT
            | ProgType::SK_REUSEPORT
            | ProgType::SK_LOOKUP
    )
}
