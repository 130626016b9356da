// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about paths: jumps, loops, limits, calls and ends.

use crate::mem::Text;

messages! {
    /// Paths: jumps, loops, limits, calls and ends.
    Path {
        /// `do_check`
        InvalidIndex { insn: u32, count: u32 } EFAULT => "invalid insn idx {insn} insn_cnt {count}";
        /// `do_check`
        TooLarge { processed: u32 } E2BIG => "BPF program is too large. Processed {processed} insn";
        /// `do_check_insn`
        UnknownClass { class: u8 } EINVAL => "unknown insn class {class}";
        /// `push_stack`; the errno is the caller's choice.
        TooComplex { branches: u32 } EFAULT => "The sequence of {branches} jumps is too complex.";
        /// `push_async_cb`
        TooComplexAsync { branches: u32 } EFAULT => "The sequence of {branches} jumps is too complex for async cb.";
        /// `check_cond_jmp_op`
        PointerComparison { reg: u8 } EACCES => "R{reg} pointer comparison prohibited";
        /// `is_state_visited`
        InfiniteLoop { insn: u32 } EINVAL => "infinite loop detected at insn {insn}";
        /// `do_check_common`
        Validating { name: Text, subprog: u32 } NOTE => "Validating {name}() func#{subprog}...";
        /// `do_check_subprogs`
        SafeForAnyArguments { name: Text, subprog: u32 } NOTE => "Func#{subprog} ('{name}') is safe for any args that match its prototype";
        /// `setup_func_entry`
        TooManyFrames { frames: u32 } E2BIG => "the call stack of {frames} frames is too deep";
        /// `prepare_func_exit`
        ReturnsStackPointer EINVAL => "cannot return stack pointer to the caller";
        /// `check_return_code`
        LeaksReturnValue { reg: u8 } EACCES => "R{reg} leaks addr as return value";
        /// `check_return_code`
        SubprogramReturns { reg: u8, ty: Text } EINVAL => "At subprogram exit the register R{reg} is not a scalar value ({ty})";
        /// `check_return_code`
        NotKnown { place: &'static str, reg: u8, ty: Text } EINVAL => "{place} the register R{reg} is not a known value ({ty})";
        /// `verbose_invalid_scalar`; `has` is the range that the register has.
        OutOfRange { place: &'static str, reg: &'static str, has: Text, min: i32, max: i32 } EINVAL => "{place} the register {reg} has{has} should have been in [{min}, {max}]";
        /// `backtrack_insn` and `__mark_chain_precision`: what cannot happen.
        Bug { what: Text } EFAULT => "verifier bug: {what}";
    }
}
