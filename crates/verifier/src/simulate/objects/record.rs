// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Special fields of what a register points to.

use crate::analysis::record::{self, FieldKinds, Record, RecordId};
use crate::design::Design;
use crate::outcome::{Abort, Step};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_kernel::TypeFlags;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The special fields of a map's value (`map->record`), computed at the first question.
    pub(crate) fn map_record(&mut self, map: MapRef) -> Step<Option<RecordId>> {
        let number = self.env.used_maps.at(map.index.0 as usize)?.request;
        record::of_map(self.env, number, map.inner)
    }

    /// The special fields of a structure that programs allocate (`btf_find_struct_meta`); types
    /// of the kernel have none.
    pub(crate) fn type_record(&mut self, btf: BtfRef, id: TypeId) -> Step<Option<RecordId>> {
        match btf {
            BtfRef::Program | BtfRef::Maps(_) => record::of_type(self.env, btf, id),
            BtfRef::Kernel | BtfRef::Module(_) => Ok(None),
        }
    }

    /// The special fields of what a register points to: a map's value or an allocated object
    /// (`reg_btf_record`).
    pub(crate) fn reg_record(&mut self, reg: &RegState) -> Step<Option<RecordId>> {
        match reg.kind {
            Kind::MapValue { map, .. } if reg.flags.is_empty() => self.map_record(map),
            Kind::BtfId { btf, id } if reg.flags.contains(TypeFlags::MEM_ALLOC) => {
                self.type_record(btf, id)
            }
            _ => Ok(None),
        }
    }

    /// The record itself.
    pub(crate) fn record(&self, id: RecordId) -> Result<&Record, Abort> {
        self.env.records.get(id)
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
