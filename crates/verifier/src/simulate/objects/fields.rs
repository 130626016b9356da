// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arguments that point to a special field of a map's value (`check_map_field_pointer`).

use crate::analysis::record::FieldKind;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::MapRef;
use crate::trace::Observer;
use veristable_isa::Reg;

impl<O: Observer> Sim<'_, '_, O> {
    /// A timer, work queue or task work (`process_timer_func`, `process_wq_func`,
    /// `process_task_work_func`): the map that it is in, and which look-up of an outer map that
    /// came from (`meta->map_ptr`, `meta->map_uid`).
    pub(crate) fn check_map_field(&mut self, reg: Reg, kind: FieldKind) -> Step<(MapRef, u32)> {
        let _ = (reg, kind);
        self.env.unsupported("map field", kind.name())
    }
}
