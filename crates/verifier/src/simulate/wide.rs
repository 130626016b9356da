// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! 64-bit immediate loads (`check_ld_imm`).

use super::sim::Sim;
use crate::env::Target;
use crate::outcome::Step;
use crate::state::{Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_isa::{Imm64, Reg};
use veristable_kernel::MapType;

impl<O: Observer> Sim<'_, '_, O> {
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
                    return self.env.unsupported("arena", "address");
                }
                let off = i32::try_from(offset).unwrap_or(i32::MAX);
                (Kind::MapValue { map: MapRef { index, inner: false }, uid: 0 }, off)
            }
            Target::Subprog(_) => return self.env.unsupported("callback", "address of a function"),
            Target::KernelVariable(_) | Target::Kfunc(_) | Target::None => {
                return self.env.unsupported("kernel variable", "");
            }
        };
        let reg = self.reg_mut(dst)?;
        let subreg_def = reg.subreg_def;
        *reg = RegState { subreg_def, off, ..RegState::pointer(kind) };
        Ok(())
    }
}
