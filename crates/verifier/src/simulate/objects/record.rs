// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Special fields of what a register points to.

use crate::analysis::record::{FieldKinds, Record, RecordId};
use crate::outcome::{Abort, Step};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::TypeId;

impl<O: Observer> Sim<'_, '_, O> {
    /// The special fields of a map's value (`map->record`), computed at the first question.
    pub(crate) fn map_record(&mut self, map: MapRef) -> Step<Option<RecordId>> {
        let _ = map;
        self.env.unsupported("map fields", "")
    }

    /// The special fields of a structure that programs allocate (`btf_find_struct_meta`); types
    /// of the kernel have none.
    pub(crate) fn type_record(&mut self, btf: BtfRef, id: TypeId) -> Step<Option<RecordId>> {
        let _ = (btf, id);
        self.env.unsupported("type fields", "")
    }

    /// The special fields of what a register points to: a map's value or an allocated object
    /// (`reg_btf_record`).
    pub(crate) fn reg_record(&mut self, reg: &RegState) -> Step<Option<RecordId>> {
        let _ = reg;
        self.env.unsupported("type fields", "")
    }

    /// The record itself.
    pub(crate) fn record(&self, id: RecordId) -> Result<&Record, Abort> {
        let _ = id;
        Err(Abort::Internal("no such record"))
    }

    /// Whether there is a record with a field of one of these kinds (`btf_record_has_field`).
    pub(crate) fn record_has(
        &self,
        id: Option<RecordId>,
        kinds: FieldKinds,
    ) -> Result<bool, Abort> {
        match id {
            Some(id) => Ok(self.record(id)?.has(kinds)),
            None => Ok(false),
        }
    }
}
