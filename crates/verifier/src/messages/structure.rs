// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about control flow, subprograms, kfuncs, maps and wide loads.

use crate::mem::Text;

messages! {
    /// Control flow, subprograms, kfuncs, maps, wide loads.
    Structure {
        // Subprograms and kfuncs.

        /// `add_subprog_and_kfunc`
        CallsNeedCapability EPERM => "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN";
        /// `add_subprog`
        InvalidDestination EINVAL => "call to invalid destination";
        /// `add_subprog`
        TooManySubprograms E2BIG => "too many subprograms";
        /// `bpf_find_exception_callback_insn_off`
        MultipleExceptionCallbacks EEXIST => "multiple exception callback tags for main subprog";
        /// `bpf_find_exception_callback_insn_off`
        NoExceptionCallback { name: Text } ENOENT => "exception callback '{name}' could not be found in BTF";
        /// `bpf_find_exception_callback_insn_off`
        ExceptionCallbackLinkage { name: Text } EINVAL => "exception callback '{name}' must have global linkage";
        /// `bpf_find_exception_callback_insn_off`
        ExceptionCallbackIsMain EINVAL => "invalid exception callback insn_off in func_info: 0";
        /// `bpf_find_exception_callback_insn_off`
        ExceptionCallbackNotInInfo EINVAL => "exception callback type id not found in func_info";
        /// `add_kfunc_call`
        KfuncsNeedBtf ENOTSUPP => "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF";
        /// `add_kfunc_call`
        KfuncsNeedJit ENOTSUPP => "JIT is required for calling kernel function";
        /// `add_kfunc_call`
        JitLacksKfuncs ENOTSUPP => "JIT does not support calling kernel function";
        /// `add_kfunc_call`
        KfuncsNeedGpl EINVAL => "cannot call kernel function from non-GPL compatible program";
        /// `find_kfunc_desc_btf`
        NegativeKfuncOffset EINVAL => "negative offset disallowed for kernel module function call";
        /// `__find_kfunc_desc_btf`
        TooManyModules E2BIG => "too many different module BTFs";
        /// `__find_kfunc_desc_btf`
        KfuncWithoutFdArray EPROTO => "kfunc offset > 0 without fd_array is invalid";
        /// `__find_kfunc_desc_btf`
        InvalidModuleBtf EINVAL => "invalid module BTF fd specified";
        /// `__find_kfunc_desc_btf`
        NotModuleBtf EINVAL => "BTF fd for kfunc is not a module BTF";
        /// `add_kfunc_call`
        KfuncBtfNotFound EINVAL => "failed to find BTF for kernel function";
        /// `add_kfunc_call`
        TooManyKfuncs E2BIG => "too many different kernel function calls";
        /// `add_kfunc_call`
        NotAFunction { btf_id: u32 } EINVAL => "kernel btf_id {btf_id} is not a function";
        /// `add_kfunc_call`
        NoFunctionPrototype { btf_id: u32 } EINVAL => "kernel function btf_id {btf_id} does not have a valid func_proto";
        /// `add_kfunc_call`
        NoKfuncAddress { name: Text } EINVAL => "cannot find address for kernel function {name}";
        /// `bpf_dev_bound_kfunc_check` (`kernel/bpf/offload.c`)
        MetadataNeedsDevice EINVAL => "metadata kfuncs require device-bound program";
        /// `btf_distill_func_proto` (`kernel/bpf/btf.c`)
        TooManyArguments { name: Text, count: u32 } EINVAL => "The function {name} has {count} arguments. Too many.";
        /// `btf_distill_func_proto`
        ReturnTypeUnsupported { name: Text, kind: &'static str } EINVAL => "The function {name} return type {kind} is unsupported.";
        /// `btf_distill_func_proto`
        VariableArguments { name: Text } EINVAL => "The function {name} with variable args is unsupported.";
        /// `btf_distill_func_proto`
        ArgumentTypeUnsupported { name: Text, arg: u32, kind: &'static str } EINVAL => "The function {name} arg{arg} type {kind} is unsupported.";
        /// `btf_distill_func_proto`
        VoidArgument { name: Text } EINVAL => "The function {name} has malformed void argument.";

        // Jumps.

        /// `check_subprogs`
        JumpOutOfRange { from: u32, to: i32 } EINVAL => "jump out of range from insn {from} to {to}";
        /// `check_subprogs`
        LastInsn EINVAL => "last insn is not an exit or jmp";
        /// `push_insn`
        JumpOutOfProgram { from: u32, to: i64 } EINVAL => "jump out of range from insn {from} to {to}";
        /// `push_insn`
        BackEdge { from: u32, to: u32 } EINVAL => "back-edge from insn {from} to {to}";
        /// `check_cfg`
        UnreachableInsn { insn: u32 } EINVAL => "unreachable insn {insn}";
        /// `check_cfg`
        JumpIntoWideLoad { insn: u32 } EINVAL => "jump into the middle of ldimm64 insn {insn}";

        // Wide loads and maps.

        /// `resolve_pseudo_ldimm64`
        UnknownOpcode { code: u8 } EINVAL => "unknown opcode {code:02x}";
        /// `resolve_pseudo_ldimm64`
        InvalidWideLoad EINVAL => "invalid bpf_ld_imm64 insn";
        /// `resolve_pseudo_ldimm64`
        UnrecognizedWideLoad EINVAL => "unrecognized bpf_ld_imm64 insn";
        /// `resolve_pseudo_ldimm64`
        FdIdxWithoutArray EPROTO => "fd_idx without fd_array is invalid";
        /// `resolve_pseudo_ldimm64`
        ValueOffsetTooLarge { offset: u32 } EINVAL => "direct value offset of {offset} is not allowed";
        /// `resolve_pseudo_ldimm64`
        NoDirectValue EINVAL => "no direct value access support for this map type";
        /// `resolve_pseudo_ldimm64`
        DirectValueOutside { value_size: u32, offset: u32 } EINVAL => "invalid access to map value pointer, value_size={value_size} off={offset}";
        /// `add_used_map`
        NotAMap { fd: i32 } EBADF => "fd {fd} is not pointing to valid bpf_map";
        /// `__add_used_map`
        TooManyMaps { limit: u32 } E2BIG => "The total number of maps per program has reached the limit of {limit}";
        /// `add_fd_from_fd_array`
        NotAMapOrBtf { fd: i32 } EBADF => "fd {fd} is not pointing to valid bpf_map or btf";
        /// `__add_used_btf`
        TooManyBtfs { limit: u32 } E2BIG => "The total number of btfs per program has reached the limit of {limit}";
        /// `process_fd_array`
        FdArrayTooBig { count: u32 } EINVAL => "fd_array_cnt is too big ({count})";
        /// `check_map_prog_compatibility`
        GraphInTracing EINVAL => "tracing progs cannot use bpf_{{list_head,rb_root}} yet";
        /// `check_map_prog_compatibility`
        LockInSocketFilter EINVAL => "socket filter progs cannot use bpf_spin_lock yet";
        /// `check_map_prog_compatibility`
        LockInTracing EINVAL => "tracing progs cannot use bpf_spin_lock yet";
        /// `check_map_prog_compatibility`
        TimerInTracing EINVAL => "tracing progs cannot use bpf_timer yet";
        /// `check_map_prog_compatibility`
        WorkqueueInTracing EINVAL => "tracing progs cannot use bpf_wq yet";
        /// `check_map_prog_compatibility`
        StructOpsMap EINVAL => "bpf_struct_ops map cannot be used in prog";
        /// `check_map_prog_compatibility`
        SleepableMap EINVAL => "Sleepable programs can only use array, hash, ringbuf and local storage maps";
        /// `check_map_prog_compatibility`
        SecondCgroupStorage EBUSY => "only one cgroup storage of each type is allowed";
        /// `check_map_prog_compatibility`
        SecondArena EBUSY => "Only one arena per program";
        /// `check_map_prog_compatibility`
        ArenaNeedsCapabilities EPERM => "CAP_BPF and CAP_PERFMON are required to use arena";
        /// `check_map_prog_compatibility`
        ArenaNeedsJit EOPNOTSUPP => "JIT is required to use arena";
        /// `check_map_prog_compatibility`
        JitLacksArena EOPNOTSUPP => "JIT doesn't support arena";

        // Addresses of kernel variables.

        /// `check_pseudo_btf_id`
        InvalidBtfObject EINVAL => "invalid module BTF object FD specified.";
        /// `check_pseudo_btf_id`
        KernelLacksBtf EINVAL => "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.";
        /// `__check_pseudo_btf_id`
        InvalidVariableId { btf_id: i32 } ENOENT => "ldimm64 insn specifies invalid btf_id {btf_id}.";
        /// `__check_pseudo_btf_id`
        NotAVariable { btf_id: i32 } EINVAL => "pseudo btf_id {btf_id} in ldimm64 isn't KIND_VAR or KIND_FUNC";
        /// `__check_pseudo_btf_id`
        NoVariableAddress { name: Text } ENOENT => "ldimm64 failed to find the address for kernel symbol '{name}'.";
        /// `__check_pseudo_btf_id`
        VariableSize { name: Text, errno: i32 } EINVAL => "ldimm64 unable to resolve the size of type '{name}': {errno}";
    }
}
