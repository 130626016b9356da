// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arguments that point to a special field of a map's value (`check_map_field_pointer`).

use crate::analysis::record::{self, FieldKind};
use crate::design::Design;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::Behaviour;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A timer, work queue or task work (`process_timer_func`, `process_wq_func`,
    /// `process_task_work_func`): the map that it is in, and which look-up of an outer map that
    /// came from (`meta->map_ptr`, `meta->map_uid`).
    pub(crate) fn check_map_field(&mut self, reg: Reg, kind: FieldKind) -> Step<(MapRef, u32)> {
        let (state, field) = (self.copy_of(reg)?, kind.name());
        let Kind::MapValue { map, uid } = state.kind else {
            // Arguments of helpers and kfuncs for such fields take values of maps only.
            return self.env.unsupported("map field", "not in a map");
        };
        let constant =
            kind != FieldKind::Workqueue || self.env.has(Behaviour::ConstantFieldPointers);
        if !constant {
            return self.check_workqueue(&state, map, uid);
        }
        let Some(variable) = state.value.as_const() else {
            return self.env.reject(Objects::FieldVariable { reg: reg.number(), field });
        };
        let spec = self.map_spec(map)?;
        if !record::has_btf(spec) {
            return self.env.reject(Objects::FieldWithoutBtf { map: map.name(spec).into(), field });
        }
        let at = match self.map_record(map)? {
            Some(id) => self.record(id)?.offset_of(kind.kinds()),
            None => None,
        };
        let Some(at) = at else {
            return self.env.reject(Objects::NoField { map: map.name(spec).into(), field });
        };
        let off = variable.cast_signed().wrapping_add(i64::from(state.off));
        if i64::from(at) != off {
            return self.env.reject(Objects::NotAtField { off, field, at });
        }
        Ok((map, uid))
    }

    /// A work queue where the kernel looks only at the known bits of its place.
    fn check_workqueue(&mut self, state: &RegState, map: MapRef, uid: u32) -> Step<(MapRef, u32)> {
        let Some(record) = self.map_record(map)? else {
            // The kernel reads through a null pointer: there is no answer to agree with.
            return self.env.unsupported("work queue", "in a map without special fields");
        };
        // `-EINVAL` stands for none.
        let at = self.record(record)?.offset_of(FieldKind::Workqueue.kinds());
        let at = at.map_or(Ok(-22), i32::try_from).unwrap_or(i32::MAX);
        let off = state.value.bits.value.cast_signed().wrapping_add(i64::from(state.off));
        if i64::from(at) != off {
            return self.env.reject(Objects::NotAtWorkqueue { off, at });
        }
        Ok((map, uid))
    }
}
