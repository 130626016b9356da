// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about stack depth and what comes after acceptance.

messages! {
    /// Stack depth and what comes after acceptance.
    Finish {
        /// `convert_ctx_accesses`
        ArenaSignExtension EOPNOTSUPP => "sign extending loads from arena are not supported yet";
        /// `check_max_stack_depth_subprog`
        TailCallDepth { depth: u32 } EACCES => "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large";
        /// `check_max_stack_depth_subprog`
        SubprogramStack { subprog: u32, size: u32 } EACCES => "stack size of subprog {subprog} is {size}. Too large";
        /// `check_max_stack_depth_subprog`
        CombinedStack { calls: u32, size: u32 } EACCES => "combined stack size of {calls} calls is {size}. Too large";
        /// `check_max_stack_depth_subprog`
        ThrowInCallback { insn: u32, subprog: u32 } EINVAL => "bpf_throw kfunc (insn {insn}) cannot be called from callback subprog {subprog}";
        /// `check_max_stack_depth_subprog`
        AsyncTailCall EFAULT => "verifier bug: subprog has tail_call and async cb"
            | V6_12 "verifier bug. subprog has tail_call and async cb";
        /// `check_max_stack_depth_subprog`
        ExceptionCallbackCalled { insn: u32 } EINVAL => bare "insn {insn} cannot call exception cb directly"
            | V6_12 "insn {insn} cannot call exception cb directly\n";
        /// `check_max_stack_depth_subprog`
        TooManyFrames { frames: u32 } E2BIG => "the call stack of {frames} frames is too deep !";
        /// `check_max_stack_depth_subprog`
        TailCallInExceptionCallback EINVAL => "cannot tail call within exception cb";
        /// `fixup_kfunc_call`
        KfuncWithoutId EINVAL => "invalid kernel function call not eliminated in verifier pass";
        /// `do_misc_fixups`
        StackWithExtra { size: u16, extra: u16 } EINVAL => "stack size {size}(extra {extra}) is too large";
        /// `jit_subprogs`. The instruction is that of the rewritten program; what other rewriting
        /// than the removal of dead code inserts before it is not counted here.
        NoProgramToJit { insn: i64 } EFAULT => "verifier bug: No program to jit at insn {insn} (subprog < 0)";
        /// `fixup_call_args`
        KfuncsWithoutJit EINVAL => "calling kernel functions are not allowed in non-JITed programs";
        /// `fixup_call_args`
        TailCallsWithoutJit EINVAL => "tail_calls are not allowed in non-JITed programs with bpf-to-bpf calls";
        /// `fixup_call_args`
        CallbacksWithoutJit EINVAL => "callbacks are not allowed in non-JITed programs";
    }
}
