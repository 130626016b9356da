// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Special fields of map values as memory: nobody may touch them, but for pointers, which
//! instructions may load and store (`check_map_access`).

use super::plain::Part;
use crate::analysis::record::{Field, FieldKind, FieldKinds, RecordId};
use crate::design::Design;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{MapRef, RegState};
use crate::trace::Observer;

/// Who accesses a map's value (`enum bpf_access_src`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Accessor {
    /// A load, store or atomic operation.
    Instruction,
    /// A helper or kfunc.
    Callee,
}

/// Bytes of a pointer.
const POINTER: u32 = 8;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A part of a value (`check_map_access`). Gives the value's special fields.
    pub(crate) fn check_map_value(
        &mut self,
        part: Part,
        pointer: &RegState,
        map: MapRef,
        by: Accessor,
    ) -> Step<Option<RecordId>> {
        let size = self.map_spec(map)?.value_size;
        self.check_region(part, pointer, size)?;
        let Some(id) = self.map_facts(map)?.record else { return Ok(None) };
        for place in 0..self.record(id)?.fields.len() {
            let field = *self.record(id)?.fields.at(place)?;
            if overlaps(part, pointer, &field) {
                self.check_field(part, pointer, &field, by)?;
            }
        }
        Ok(Some(id))
    }

    /// A field that the access could touch.
    fn check_field(&mut self, part: Part, pointer: &RegState, field: &Field, by: Accessor) -> Step {
        let name = field.kind.name();
        if !matches!(field.kind, FieldKind::Kptr(_)) {
            return self.env.reject(Objects::FieldDirect { field: name });
        }
        if by == Accessor::Callee {
            return self.env.reject(Objects::FieldByCallee { field: name });
        }
        let Some(variable) = pointer.value.as_const() else {
            return self.env.reject(Objects::FieldOffset { field: name });
        };
        let off = i64::from(part.off).cast_unsigned().wrapping_add(variable);
        if u64::from(field.offset) != off {
            let expected = field.offset;
            return self.env.reject(Objects::FieldMisaligned { field: name, expected, off });
        }
        if part.size != POINTER {
            return self.env.reject(Objects::FieldSize { field: name });
        }
        Ok(())
    }

    /// The pointer field that an access means.
    pub(super) fn kptr_at(
        &self,
        record: Option<RecordId>,
        part: Part,
        pointer: &RegState,
    ) -> Step<Option<Field>> {
        let (Some(id), Some(variable)) = (record, pointer.value.as_const()) else {
            return Ok(None);
        };
        let off = (variable as u32).wrapping_add_signed(part.off);
        Ok(self.record(id)?.find(off, FieldKinds::KPTR | FieldKinds::UPTR))
    }
}

/// Whether any part of the field could be meant.
fn overlaps(part: Part, pointer: &RegState, field: &Field) -> bool {
    let (s64, u64) = (pointer.value.s64, pointer.value.u64);
    let off = i64::from(part.off);
    let end = u64.max.wrapping_add(off.cast_unsigned()).wrapping_add(u64::from(part.size));
    s64.min.wrapping_add(off) < i64::from(field.offset.wrapping_add(field.size))
        && u64::from(field.offset) < end
}
