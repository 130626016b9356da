// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Objects in stack slots: which slots an argument means (`stack_slot_obj_get_spi`).

use crate::design::{Design, Liveness};
use crate::messages::Objects;
use crate::outcome::{Step, Stop};
use crate::simulate::memory::{Access, Span};
use crate::simulate::sim::Sim;
use crate::state::{RegState, SLOT_BYTES, SlotType};
use crate::trace::Observer;
use veristable_isa::Reg;

/// The slots that an argument means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slots {
    /// The one with the lowest address, which has the highest number.
    At(usize),
    /// Below what the stack was used for so far (`-ERANGE`).
    Beyond,
    /// None; the message was said.
    Refused,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Which `count` slots a pointer into the stack means for an object of this name.
    pub(super) fn object_slots(
        &mut self,
        reg: &RegState,
        object: &'static str,
        count: u32,
    ) -> Step<Slots> {
        let Some(variable) = reg.value.as_const() else {
            self.env.say(Objects::ObjectVariable { object })?;
            return Ok(Slots::Refused);
        };
        let off = reg.off.wrapping_add(variable as i32);
        // The kernel divides towards zero, so that the frame pointer itself means the first slot.
        let slot = off.wrapping_neg().wrapping_sub(1) / SLOT_BYTES;
        let count = count.cast_signed();
        if off % SLOT_BYTES != 0 || slot.wrapping_add(1) < count {
            self.env.say(Objects::ObjectOffset { object, off })?;
            return Ok(Slots::Refused);
        }
        let allocated = self.store.slots(self.cur.frame(reg.frame)?)?.len();
        match usize::try_from(slot) {
            Ok(slot) if slot < allocated => Ok(Slots::At(slot)),
            _ => Ok(Slots::Beyond),
        }
    }

    /// As [`Sim::object_slots`], where the slots must be there: else the rejection without more
    /// words.
    pub(super) fn present_slots(
        &mut self,
        reg: &RegState,
        object: &'static str,
        count: u32,
    ) -> Step<usize> {
        match self.object_slots(reg, object, count)? {
            Slots::At(slot) => Ok(slot),
            Slots::Beyond => Err(Stop::Rejected(crate::Errno::ERANGE)),
            Slots::Refused => Err(Stop::Rejected(crate::Errno::EINVAL)),
        }
    }

    /// Writes `count` slots as memory, as the kernel does before it puts an object there.
    pub(super) fn write_object(&mut self, base: Reg, count: u32) -> Step {
        for slot in 0..count {
            let off = slot.cast_signed().wrapping_mul(SLOT_BYTES);
            self.access(Span { base, off, size: 8 }, Access::Write(None), false, false)?;
        }
        Ok(())
    }

    /// The call reads `count` slots down from this one (`mark_stack_slot_obj_read`). `shown`: the
    /// log shows them.
    pub(super) fn mark_object_read(
        &mut self,
        frame: u8,
        slot: usize,
        count: usize,
        shown: bool,
    ) -> Step {
        for number in (0..count).map_while(|i| slot.checked_sub(i)) {
            D::Liveness::read_slots(self, frame, 1 << (number & 63))?;
            if shown {
                self.touch_slot(number);
            }
        }
        Ok(())
    }

    /// A slot no longer holds an object: nothing was written there.
    pub(super) fn clear_slot(&mut self, frame: u8, number: usize) -> Step {
        let slot = self.slot_mut(frame, number)?;
        slot.types = [SlotType::Invalid; 8];
        slot.reg.set_not_init();
        Ok(())
    }
}
