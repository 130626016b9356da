// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether a pointer points to what a function wants (`btf_struct_ids_match`,
//! `btf_types_are_same` of `kernel/bpf/btf.c`).

use super::walk::{Found, walk};
use crate::design::Design;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_kernel::TypeFlags;

/// A type and the BTF that its id counts in.
pub(crate) type TypeIn = (BtfRef, TypeId);

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Whether two types are one and the same: a module's BTF continues the kernel's, so that ids
    /// of both can mean the same type.
    pub(crate) fn types_are_same(&self, left: TypeIn, right: TypeIn) -> Step<bool> {
        if left.1 != right.1 {
            return Ok(false);
        }
        if left.0 == right.0 {
            return Ok(true);
        }
        // Types of programs' BTF are in no other.
        if left.0.is_programs() || right.0.is_programs() {
            return Ok(false);
        }
        let (left_btf, right_btf) = (self.btf(left.0)?, self.btf(right.0)?);
        Ok(left.1 < left_btf.first_id().max(right_btf.first_id())
            || core::ptr::eq(left_btf, right_btf))
    }

    /// Whether a pointer `off` bytes into an object of type `have` is one to a `need`: the object
    /// itself, or a structure that begins there, however deep it is nested. `strict`: only the
    /// object itself. `is_local`: the program allocated it. Says what the kernel says on the way, which is no rejection.
    pub(crate) fn struct_ids_match(
        &mut self,
        have: TypeIn,
        off: i32,
        need: TypeIn,
        strict: bool,
        is_local: bool,
    ) -> Step<bool> {
        if off == 0 && self.types_are_same(have, need)? {
            return Ok(true);
        }
        if strict {
            return Ok(false);
        }
        let btf = self.btf(have.0)?;
        let (mut id, mut off, mut flags) = (have.1, off.cast_unsigned(), TypeFlags::empty());
        let tail = self.flexible_tail(is_local);
        loop {
            self.env.tick()?;
            match walk(btf, id, off, 1, tail, &mut flags) {
                Ok(Found::Struct(inner)) => id = inner,
                Ok(_) => return Ok(false),
                Err(missed) => {
                    return match missed.message() {
                        Some(message) => {
                            self.env.say(message)?;
                            Ok(false)
                        }
                        // Kernels load no BTF with chains without end or arrays of nothing.
                        None => self.env.unsupported("BTF", "that cannot be walked"),
                    };
                }
            }
            off = 0;
            if self.types_are_same((have.0, id), need)? {
                return Ok(true);
            }
        }
    }
}
