// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about the program's functions: what their BTF says, calls of them, callbacks.

use crate::mem::Text;

messages! {
    /// Functions of the program: their prototypes, calls, callbacks. Those about prototypes come
    /// from `btf_prepare_func_args` (kernel/bpf/btf.c) unless they say otherwise.
    Functions {
        /// More than five.
        TooManyArguments { name: Text, count: u32 } EINVAL => "Global function {name}() with {count} > 5 args. Buggy compiler.";
        /// What a global function returns.
        NoScalar { name: Text } EINVAL => "Global function {name}() doesn't return scalar. Only those are supported.";
        /// A declaration tag `arg:…`.
        StaticTag { arg: u32 } EOPNOTSUPP => "arg#{arg} type tag is not supported in static functions";
        /// A tag that the kernel does not know.
        UnknownTag { arg: u32 } EOPNOTSUPP => "arg#{arg} has unsupported set of tags";
        /// Tags that exclude each other.
        TagCombination { arg: u32 } EINVAL => "arg#{arg} has invalid combination of tags";
        /// `arg:untrusted` and another.
        UntrustedCombination { arg: u32 } EINVAL => "arg#{arg} untrusted cannot be combined with any other tags";
        /// `arg:arena` and another.
        ArenaCombination { arg: u32 } EINVAL => "arg#{arg} arena cannot be combined with any other tags";
        /// `kind` and `name` are those of the kernel's type.
        UntrustedType { arg: u32, kind: &'static str, name: Text } EINVAL => "arg#{arg} has type {kind} '{name}', but only struct or primitive types are allowed";
        /// Memory of no known size.
        NoSize { arg: u32, kind: &'static str, name: Text } EINVAL => "arg#{arg} reference type('{kind} {name}') size cannot be determined: -22";
        /// A tag on what is no pointer.
        TagOnValue { arg: u32 } EINVAL => "arg#{arg} has pointer tag, but is not a pointer type";
        /// An argument that is neither number nor pointer.
        ArgumentType { arg: u32, kind: &'static str, name: Text } EINVAL => "Arg#{arg} type {kind} in {name}() is not supported yet.";
        /// `btf_get_ptr_to_btf_id`
        CandidateError { arg: u32, kind: &'static str, name: Text } EINVAL => "arg#{arg} reference type('{kind} {name}') candidate matching error: -22";
        /// `btf_get_ptr_to_btf_id`
        NoCandidate { arg: u32, kind: &'static str, name: Text } ENOENT => "arg#{arg} reference type('{kind} {name}') has no matches";
        /// `btf_get_ptr_to_btf_id`
        ManyCandidates { arg: u32, kind: &'static str, name: Text } ESRCH => "arg#{arg} reference type('{kind} {name}') is ambiguous";
        /// `btf_validate_prog_ctx_type`
        ContextName { arg: u32 } EINVAL => "arg#{arg} type doesn't have a name";
        /// `btf_validate_prog_ctx_type`
        ContextVoid { arg: u32 } EINVAL => "arg#{arg} should be void pointer";
        /// `btf_validate_prog_ctx_type`
        ContextStruct { arg: u32, name: Text } EINVAL => "arg#{arg} should be `struct {name} *`";

        /// `btf_check_func_arg_match`
        NotScalar { reg: u8 } EINVAL => "R{reg} is not a scalar";
        /// `btf_check_func_arg_match`
        NotContext { arg: u32 } EINVAL => "arg#{arg} expects pointer to ctx";
        /// `btf_check_func_arg_match`
        MaybeNull { arg: u32 } EINVAL => "arg#{arg} is expected to be non-NULL";
        /// `btf_check_func_arg_match`
        NotArena { reg: u8 } EINVAL => "R{reg} is not a pointer to arena or scalar.";

        /// `check_func_call`
        GlobalWithLock EINVAL => "global function calls are not allowed while holding a lock,\nuse static function instead";
        /// `check_func_call`
        GlobalWithoutPreemption EINVAL => "global function calls are not allowed with preemption disabled,\nuse static function instead";
        /// `check_func_call`
        GlobalMaySleep EINVAL => "global functions that may sleep are not allowed in non-sleepable context,\ni.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context";
        /// `check_func_call`
        InvalidArguments { subprog: u32, name: Text } EINVAL => "Caller passes invalid args into func#{subprog} ('{name}')";
        /// `check_func_call`
        AssumedValid { subprog: u32, name: Text } NOTE => "Func#{subprog} ('{name}') is global and assumed valid.";
        /// `do_check_common`
        ExceptionCallbackArgument EINVAL => "exception cb only supports single integer argument";

        /// `check_ld_imm`
        NoFunctionInfo EINVAL => "missing btf func_info";
        /// `check_ld_imm`
        CallbackNotStatic EINVAL => "callback function not static";
        /// `check_ld_imm`
        CallbackIsMain EINVAL => "callback function cannot be the main program";
        /// `set_map_elem_callback_state`
        MapWithoutCallback ENOTSUPP => "callback function not allowed for map";
        /// `prepare_func_exit`
        CallbackResult EACCES => "R0 not a scalar value";
    }
}
