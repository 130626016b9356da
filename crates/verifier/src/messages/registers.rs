// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about registers as such.

use crate::mem::Text;

messages! {
    /// Registers: reading, writing, contradictions.
    Registers {
        /// `__check_reg_arg`
        Invalid { reg: u8 } EINVAL => "R{reg} is invalid";
        /// `__check_reg_arg`
        NotReadable { reg: u8 } EACCES => "R{reg} !read_ok";
        /// `__check_reg_arg`
        FramePointer EACCES => "frame pointer is read only";
        /// `reg_bounds_sanity_check`: the bounds of a register contradict each other.
        Invariants { place: &'static str, what: &'static str, values: Text } NOTE =>
            "verifier bug: REG INVARIANTS VIOLATION ({place}): {what} {values}"
            | V6_12 "REG INVARIANTS VIOLATION ({place}): {what} {values}";
    }
}
