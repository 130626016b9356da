// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! 64-bit immediate loads (`check_ld_imm`).

use super::sim::Sim;
use crate::design::Design;
use crate::env::{KernelVariable, SubprogId, Target};
use crate::messages::Functions;
use crate::outcome::{Abort, Step};
use crate::state::{Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::Linkage;
use veristable_isa::{Imm64, Reg};
use veristable_kernel::{Behaviour, MapType, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `dst` = a constant, or a pointer to what the instruction names.
    pub(crate) fn load_wide(&mut self, dst: Reg, value: Imm64) -> Step {
        self.write_unknown(dst, true)?;
        if let Imm64::Value(number) = value {
            self.reg_mut(dst)?.set_number(number.get());
            return Ok(());
        }
        let target = self.env.code.aux(self.insn)?.target;
        let (kind, off) = match target {
            Target::Map(index) => {
                (Kind::ConstMapPtr { map: MapRef { index, inner: false }, uid: 0 }, 0)
            }
            Target::MapValue { map: index, offset } => {
                let used = self.env.used_maps.at(index.0 as usize)?.request;
                let map = self.env.request.maps.get(used as usize);
                if map.is_some_and(|map| map.spec.map_type == MapType::ARENA) {
                    // What instructions cast to a pointer.
                    return Ok(());
                }
                let off = i32::try_from(offset).unwrap_or(i32::MAX);
                (Kind::MapValue { map: MapRef { index, inner: false }, uid: 0 }, off)
            }
            Target::Subprog(subprog) => (self.function_pointer(subprog)?, 0),
            Target::KernelVariable(variable) => return self.load_variable(dst, variable),
            Target::Kfunc(_) | Target::None => {
                return Err(Abort::Internal("unresolved 64-bit load").into());
            }
        };
        let reg = self.reg_mut(dst)?;
        let subreg_def = reg.subreg_def;
        *reg = RegState { subreg_def, off, ..RegState::pointer(kind) };
        Ok(())
    }

    /// The address of a variable or function of the kernel.
    fn load_variable(&mut self, dst: Reg, variable: KernelVariable) -> Step {
        let (kind, flags) = match variable {
            KernelVariable::Struct { btf, type_id: id, percpu } => {
                let flags = if percpu { TypeFlags::MEM_PERCPU } else { TypeFlags::empty() };
                (Kind::BtfId { btf, id }, flags)
            }
            KernelVariable::Memory { size } => {
                (Kind::Mem { size, dynptr_id: 0 }, TypeFlags::MEM_RDONLY)
            }
        };
        let reg = self.reg_mut(dst)?;
        let subreg_def = reg.subreg_def;
        *reg = RegState { subreg_def, flags, ..RegState::pointer(kind) };
        Ok(())
    }

    /// The address of a function of the program.
    fn function_pointer(&mut self, subprog: SubprogId) -> Step<Kind> {
        let Some(info) = self.env.code.func_info.get(subprog.0 as usize) else {
            return self.env.reject(Functions::NoFunctionInfo);
        };
        if info.linkage != Linkage::Static {
            return self.env.reject(Functions::CallbackNotStatic);
        }
        if subprog == SubprogId::MAIN && self.env.has(Behaviour::MainIsNoCallback) {
            return self.env.reject(Functions::CallbackIsMain);
        }
        Ok(Kind::Func(subprog))
    }
}
