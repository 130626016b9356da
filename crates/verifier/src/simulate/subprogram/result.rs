// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the program and its asynchronous callbacks may return (`check_return_code`).

use super::exit::range_text;
use crate::design::Design;
use crate::env::SubprogId;
use crate::log::state::TypeName;
use crate::messages::{BtfAccess, Path};
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, FrameFlags, Kind as Holds};
use crate::trace::Observer;
use veristable_btf::{Kind, TypeId};
use veristable_isa::Reg;
use veristable_kernel::{AttachType, Behaviour, ProgType, ReturnRange};

/// Which values may be returned.
#[derive(Clone, Copy)]
struct Allowed {
    /// Where the program ends, as messages say it.
    place: &'static str,
    min: i32,
    max: i32,
    /// Only the low half counts.
    low_half: bool,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// What a register may hold where the program ends: R0 at its end, R1 where it throws.
    pub(crate) fn check_return_code(&mut self, reg: Reg) -> Step {
        let frame = self.store.frame(self.cur.frame(0)?)?;
        let is_subprogram = frame.subprog != SubprogId::MAIN;
        let (flags, range) = (frame.flags, frame.callback_range);
        let handles_exception = flags.contains(FrameFlags::IN_EXCEPTION_CALLBACK);
        let is_whole = !is_subprogram || handles_exception;
        if is_whole {
            if self.returns_nothing() {
                return Ok(());
            }
            let looks_for_pointers = self.env.has(Behaviour::StructOpsReturns);
            if looks_for_pointers && !handles_exception && self.env.replaces_struct_ops() {
                // The kernel looks the result's type up in BTF that a replacement does not have,
                // and reads through a null pointer (`btf_type_resolve_ptr`): nothing to agree with.
                return self.env.unsupported("end of a replacement", "of struct_ops");
            }
            if !handles_exception && self.returns_reference(reg)? {
                let pointer = self.copy_of(reg)?;
                return self.check_unmoved(reg, &pointer, false);
            }
        }
        self.read(reg, true)?;
        let number = reg.number();
        if self.is_secret(reg)? {
            return self.env.reject(Path::LeaksReturnValue { reg: number });
        }
        let allowed = if flags.contains(FrameFlags::IN_ASYNC_CALLBACK) {
            let place = "At async callback return";
            Some(Allowed { place, min: range.0, max: range.1, low_half: false })
        } else if is_whole {
            self.allowed_results()?
        } else {
            let result = self.reg(reg)?;
            if !result.is_scalar() {
                let ty = TypeName::of(result).text();
                return self.env.reject(Path::SubprogramReturns { reg: number, ty });
            }
            return Ok(());
        };
        match allowed {
            Some(allowed) => self.check_result(reg, allowed, !is_subprogram),
            None => Ok(()),
        }
    }

    fn check_result(&mut self, reg: Reg, allowed: Allowed, is_main: bool) -> Step {
        let Allowed { place, min, max, low_half } = allowed;
        let result = self.copy_of(reg)?;
        if !result.is_scalar() {
            let (reg, ty) = (reg.number(), TypeName::of(&result).text());
            return self.env.reject(Path::NotKnown { place, reg, ty });
        }
        self.mark_precise(reg)?;
        let value = &result.value;
        let fits = if low_half {
            min <= value.s32.min && value.s32.max <= max
        } else {
            i64::from(min) <= value.s64.min && value.s64.max <= i64::from(max)
        };
        if fits {
            return Ok(());
        }
        let (name, has) = (if reg == Reg::R0 { "R0" } else { "R1" }, range_text(&result));
        let message = Path::OutOfRange { place, reg: name, has, min, max };
        let prog = &self.env.prog;
        if is_main
            && prog.rules == ProgType::LSM
            && prog.attach_type == AttachType::LSM_CGROUP
            && self.target_returns() == Some(TypeId::VOID)
        {
            self.env.say(message)?;
            return self.env.reject_with(crate::Errno::EINVAL, BtfAccess::VoidHook);
        }
        self.env.reject(message)
    }

    /// What the function that the program attaches to returns. It is known of whatever LSM
    /// programs, those of struct_ops and replacements of theirs attach to.
    pub(crate) fn target_returns(&self) -> Option<TypeId> {
        let prog = &self.env.prog;
        let btf = match prog.target {
            Some(program) => program.btf?,
            None => prog.attach_btf?,
        };
        let proto = btf.type_by_id(prog.attach_func_proto?).ok()?;
        Some(proto.as_func_proto()?.returns)
    }

    /// Whether the program stands for a function that returns nothing.
    fn returns_nothing(&self) -> bool {
        let prog = &self.env.prog;
        let by_target = match prog.rules {
            // Programs of control groups return whether the hook may go on.
            ProgType::LSM => prog.attach_type != AttachType::LSM_CGROUP,
            ProgType::STRUCT_OPS => true,
            _ => false,
        };
        by_target && self.target_returns().is_some_and(TypeId::is_void)
    }

    /// What the pointer that a struct_ops member returns points to.
    fn returned_pointee(&self) -> Option<TypeId> {
        let prog = &self.env.prog;
        if prog.rules != ProgType::STRUCT_OPS || !self.env.has(Behaviour::StructOpsReturns) {
            return None;
        }
        let btf = prog.attach_btf?;
        let pointer = btf.skip_modifiers(self.target_returns()?).ok()?;
        if pointer.kind() != Kind::Ptr {
            return None;
        }
        Some(btf.skip_modifiers(pointer.target()?).ok()?.id())
    }

    /// Whether the program hands out what it holds, as the member's return type wants it.
    fn returns_reference(&self, reg: Reg) -> Step<bool> {
        let Some(wanted) = self.returned_pointee() else { return Ok(false) };
        let result = self.reg(reg)?;
        let Holds::BtfId { btf, id } = result.kind else { return Ok(false) };
        Ok(result.ref_id != 0 && self.types_are_same((btf, id), (BtfRef::Kernel, wanted))?)
    }

    /// What the program's type and attachment allow; `None` for everything.
    fn allowed_results(&mut self) -> Step<Option<Allowed>> {
        const PLACE: &str = "At program exit";
        let within = |min, max| Some(Allowed { place: PLACE, min, max, low_half: false });
        let prog = self.env.prog;
        match (prog.rules, prog.attach_type) {
            (ProgType::LSM, AttachType::LSM_CGROUP) => {
                let is_void = self.target_returns() == Some(TypeId::VOID);
                Ok(within(i32::from(is_void), 1))
            }
            (ProgType::LSM, _) => {
                let range = self.traced_return_range()?;
                let range = range.filter(|range| *range != (i32::MIN, i32::MAX));
                Ok(range.map(|(min, max)| Allowed { place: PLACE, min, max, low_half: true }))
            }
            (ProgType::STRUCT_OPS, _) => Ok(self.returned_pointee().and_then(|_| within(0, 0))),
            (ProgType::KPROBE, attach) => {
                let is_session = match attach {
                    AttachType::TRACE_KPROBE_SESSION => true,
                    AttachType::TRACE_UPROBE_SESSION => {
                        self.env.has(Behaviour::UprobeSessionReturns)
                    }
                    _ => false,
                };
                Ok(if is_session { within(0, 1) } else { None })
            }
            // It has a target, as those raw tracepoints once had that are `TRACING` now.
            (ProgType::RAW_TRACEPOINT, _) if prog.prog_type == ProgType::EXT => Ok(within(0, 0)),
            _ => {
                // The attach type that counts is the one after the load gate's corrections.
                Ok(match self.env.kernel.return_range(&self.env.context())? {
                    ReturnRange::Within(min, max) => within(min, max),
                    ReturnRange::Any => None,
                })
            }
        }
    }
}
