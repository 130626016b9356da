// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions that are checked by themselves, for any arguments that match their prototype: global
//! ones that are called, and the exception callback (`do_check_subprogs`, `do_check_common`).

use super::arguments::{ArgKind, Signature};
use crate::design::Design;
use crate::env::{SubprogFlags, SubprogId};
use crate::mem::Text;
use crate::messages::{Functions, Path};
use crate::outcome::{Step, Stop};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, DynptrKind, Frame, FrameFlags, Kind, RegId, RegState};
use crate::trace::{Level, Observer};
use veristable_kernel::{Behaviour, ProgType, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Checks all global functions that are called, until no new ones are found.
    pub(in crate::simulate) fn check_called_functions(&mut self) -> Step {
        if self.env.code.func_info.is_empty() {
            return Ok(());
        }
        if let Some(callback) = self.env.exception_callback {
            self.env.subprog_mut(callback)?.flags |= SubprogFlags::CALLED;
        }
        loop {
            let mut checked = false;
            for number in 1..self.env.subprogs.len() {
                let id = SubprogId(u32::try_from(number).unwrap_or(u32::MAX));
                let flags = self.env.subprog(id)?.flags;
                let due = flags.contains(SubprogFlags::IS_GLOBAL | SubprogFlags::CALLED)
                    && !flags.contains(SubprogFlags::VERIFIED);
                if due {
                    self.check_function(id)?;
                    checked = true;
                }
            }
            if !checked {
                return Ok(());
            }
        }
    }

    fn check_function(&mut self, id: SubprogId) -> Step {
        self.pass(id)?;
        if self.env.wants(Level::Path) {
            let name = Text::new(self.function_name(id));
            self.env.say(Path::SafeForAnyArguments { name, subprog: id.0 })?;
        }
        self.env.subprog_mut(id)?.flags |= SubprogFlags::VERIFIED;
        Ok(())
    }

    /// The registers at the beginning of a pass.
    pub(in crate::simulate) fn enter_pass(&mut self, id: SubprogId, frame: &mut Frame) -> Step {
        if id == SubprogId::MAIN && self.env.prog.prog_type != ProgType::EXT {
            self.look_at_main()?;
            *frame.reg_mut(1)? = RegState::pointer(Kind::Ctx);
            return Ok(());
        }
        let name = Text::new(self.function_name(id));
        self.env.say(Path::Validating { name, subprog: id.0 })?;
        let signature = self.signature(id)?;
        if self.env.subprog(id)?.flags.contains(SubprogFlags::IS_EXCEPTION_CALLBACK) {
            frame.flags |= FrameFlags::IN_EXCEPTION_CALLBACK;
            if signature.kinds() != [ArgKind::Anything] {
                return self.env.reject(Functions::ExceptionCallbackArgument);
            }
        }
        self.any_arguments(&signature, frame)
    }

    /// The main program takes its context whatever its BTF says; what the kernel thinks of that
    /// only shows in the log.
    fn look_at_main(&mut self) -> Step {
        if self.env.code.func_info.is_empty() {
            return Ok(());
        }
        match self.signature(SubprogId::MAIN) {
            Ok(signature) if signature.kinds() == [ArgKind::Ctx] => Ok(()),
            Ok(_) | Err(Stop::Rejected(_)) => self.distrust(SubprogId::MAIN),
            Err(stop) => Err(stop),
        }
    }

    /// Arguments of which nothing is known but their kind.
    fn any_arguments(&mut self, signature: &Signature, frame: &mut Frame) -> Step {
        for (kind, number) in signature.kinds().iter().zip(1..) {
            *frame.reg_mut(number)? = self.any_argument(*kind);
        }
        Ok(())
    }

    fn any_argument(&mut self, kind: ArgKind) -> RegState {
        match kind {
            ArgKind::Anything | ArgKind::Arena => RegState::UNKNOWN,
            ArgKind::Ctx => RegState::pointer(Kind::Ctx),
            ArgKind::Dynptr => {
                let kind = Kind::Dynptr { kind: DynptrKind::Local, first_slot: true };
                RegState { id: RegId(self.new_id()), ..RegState::pointer(kind) }
            }
            ArgKind::Mem { size, nullable } => {
                let mut reg = RegState::pointer(Kind::Mem { size, dynptr_id: 0 });
                if nullable {
                    reg.flags = TypeFlags::PTR_MAYBE_NULL;
                }
                if nullable || !self.env.has(Behaviour::OnlyNullableArgumentsHaveIds) {
                    reg.id = RegId(self.new_id());
                }
                reg
            }
            ArgKind::UntrustedMem => RegState {
                flags: TypeFlags::MEM_RDONLY | TypeFlags::PTR_UNTRUSTED,
                ..RegState::pointer(Kind::Mem { size: 0, dynptr_id: 0 })
            },
            ArgKind::BtfId { id, nullable, trusted } => {
                let mut flags =
                    if trusted { TypeFlags::PTR_TRUSTED } else { TypeFlags::PTR_UNTRUSTED };
                flags.set(TypeFlags::PTR_MAYBE_NULL, nullable);
                let kind = Kind::BtfId { btf: BtfRef::Kernel, id };
                RegState { flags, id: RegId(self.new_id()), ..RegState::pointer(kind) }
            }
        }
    }
}
