// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Reserved fields of instructions. Linux 6.18 tests most of them when it simulates the
//! instruction, so the simulation calls [`check`] at that point:
//!
//! * arithmetic, moves, stores, calls, `ja`, `exit`, `may_goto`, 64-bit immediate loads: before
//!   anything else;
//! * conditional jumps: after the test of the destination register;
//! * classic packet loads: after the test of the program type;
//! * atomics: only the operation is tested here, likewise first.

use crate::env::{DecodedOp, Env};
use crate::messages::Fields;
use crate::outcome::Step;
use crate::trace::Observer;
use veristable_isa::{FieldError, Op};
use veristable_kernel::Behaviour;

/// Refuses an instruction whose reserved fields are in use, with the kernel's message.
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>, index: u32) -> Step {
    let insn = env.code.insn(index)?;
    let next = env.code.insns.get(index as usize + 1).copied();
    let Err(error) = veristable_isa::check_fields(insn, next) else {
        return check_known(env, index);
    };
    let message = match error {
        FieldError::Ldx => Fields::Ldx,
        FieldError::LdImm64 => Fields::LdImm64,
        FieldError::Neg => Fields::Neg,
        FieldError::End => Fields::End,
        FieldError::Mov => Fields::Mov,
        FieldError::AddrSpaceCast => Fields::AddrSpaceCast,
        FieldError::Alu => Fields::Alu,
        FieldError::AtomicOp => Fields::AtomicOp { imm: insn.imm },
        FieldError::Stx => Fields::Stx,
        FieldError::St => Fields::St,
        FieldError::Call => Fields::Call,
        FieldError::Ja => Fields::Ja,
        FieldError::Exit => Fields::Exit,
        FieldError::MayGoto => Fields::MayGoto { off: insn.off, imm: insn.imm },
        FieldError::Jmp => Fields::Jmp,
        FieldError::LdAbs => Fields::LdAbs,
        // These are tested for all instructions before the simulation begins.
        FieldError::UnknownOpcode
        | FieldError::LdImm64SecondSlot
        | FieldError::LdImm64Kind
        | FieldError::JaX
        // Errors of forms that were not known when this was written.
        | _ => return env.unsupported("instruction form", ""),
    };
    env.reject(message)
}

/// Forms that not every kernel has.
fn check_known<O: Observer>(env: &mut Env<'_, O>, index: u32) -> Step {
    let imm = env.code.insn(index)?.imm;
    match env.code.aux(index)?.op {
        DecodedOp::Op(Op::MayGoto { off: 0 }) if !env.has(Behaviour::MayGotoNext) => {
            env.reject(Fields::MayGoto { off: 0, imm })
        }
        DecodedOp::Op(Op::LoadAcquire { .. } | Op::StoreRelease { .. })
            if !env.has(Behaviour::LoadAcquireStoreRelease) =>
        {
            env.reject(Fields::AtomicOp { imm })
        }
        _ => Ok(()),
    }
}
