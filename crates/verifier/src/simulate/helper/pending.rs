// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What others are building.

use crate::log::state::{TnumText, TypeName};
use crate::messages::Helper as Message;
use crate::outcome::{Abort, Step};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_isa::Reg;
use veristable_kernel::ProgType;
use veristable_program::MapSpec;

impl<'a, O: Observer> Sim<'_, 'a, O> {
    pub(crate) fn struct_ids_match(
        &mut self,
        _: BtfRef,
        _: TypeId,
        _: i32,
        _: BtfRef,
        _: TypeId,
        _: bool,
    ) -> Step<bool> {
        self.env.unsupported("struct_ids_match", "")
    }
    pub(crate) fn map_spec(&self, map: MapRef) -> Result<&'a MapSpec, Abort> {
        let desc = self.env.map(map.index)?;
        if map.inner {
            return desc.inner.as_deref().ok_or(Abort::Internal("no inner map"));
        }
        Ok(&desc.spec)
    }
    pub(crate) fn may_access_packet(&self, writes: bool, helper: Option<bool>) -> bool {
        match self.env.prog.rules {
            ProgType::LWT_IN => !writes && helper.unwrap_or(true),
            _ => helper.unwrap_or(true),
        }
    }
    pub(crate) fn check_unmoved(&mut self, reg: Reg, state: &RegState, fixed: bool) -> Step {
        let (reg, off, ty) = (reg.number(), state.off, TypeName::of(state));
        if off < 0 {
            return self.env.reject(Message::NegativeOffset { ty: ty.text(), reg, off });
        }
        if !fixed && off != 0 {
            return self.env.reject(Message::ModifiedPointer { ty: ty.text(), reg, off });
        }
        if state.value.bits.is_const() && state.value.bits.value == 0 {
            return Ok(());
        }
        let var_off = TnumText(state.value.bits).text();
        self.env.reject(Message::VariableOffset { ty: ty.text(), var_off })
    }
}
