// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about what the program attaches to.

use crate::mem::Text;

messages! {
    /// What the program attaches to.
    Attach {
        /// `check_attach_btf_id`
        SyscallNotSleepable EINVAL => "Syscall programs can only be sleepable";
        /// `check_attach_btf_id`
        CannotSleep EINVAL => "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable";
        /// `check_struct_ops_btf_id`
        StructOpsNeedsGpl EINVAL => "struct ops programs must have a GPL compatible license";
        /// `check_struct_ops_btf_id`
        NotStructOps { btf_id: u32 } ENOTSUPP => "attach_btf_id {btf_id} is not a supported struct";
        /// `check_struct_ops_btf_id`
        InvalidMemberIndex { index: u32, name: Text } EINVAL => "attach to invalid member idx {index} of struct {name}";
        /// `check_struct_ops_btf_id`
        InvalidMember { member: Text, index: u32, name: Text } EINVAL => "attach to invalid member {member}(@idx {index}) of struct {name}";
        /// `check_struct_ops_btf_id`; `EINVAL` if the structure's own test refuses.
        UnsupportedMember { member: Text, name: Text } ENOTSUPP => "attach to unsupported member {member} of struct {name}";
        /// `check_struct_ops_btf_id`
        TailCallWithReference EINVAL => "program with __ref argument cannot tail call";
        /// `bpf_check_attach_target`
        NoBtfId EINVAL => "Tracing programs must provide btf_id";
        /// `bpf_check_attach_target`
        NoTargetBtf EINVAL => "FENTRY/FEXIT program can only be attached to another program annotated with BTF";
        /// `bpf_check_attach_target`
        InvalidBtfId { btf_id: u32 } EINVAL => "attach_btf_id {btf_id} is invalid";
        /// `bpf_check_attach_target`
        NoSubprogram { name: Text } EINVAL => "Subprog {name} doesn't exist";
        /// `bpf_check_attach_target`
        ExceptionCallback { kind: &'static str } EINVAL => "{kind} programs cannot attach to exception callback";
        /// `bpf_check_attach_target`
        ReplaceStatic EINVAL => "Cannot replace static functions";
        /// `bpf_check_attach_target`
        ReplacementNotJited EINVAL => "Extension programs should be JITed";
        /// `bpf_check_attach_target`
        ReplacementChangesPacket EINVAL => "Extension program changes packet data, while original does not";
        /// `bpf_check_attach_target`
        ReplacementSleeps EINVAL => "Extension program may sleep, while original does not";
        /// `bpf_check_attach_target`
        TargetNotJited EINVAL => "Can attach to only JITed progs";
        /// `bpf_check_attach_target`
        Recursive EINVAL => "Cannot recursively attach";
        /// `bpf_check_attach_target`
        ReplaceTracing EINVAL => "Cannot extend fentry/fexit";
        /// `btf_check_type_match` (`kernel/bpf/btf.c`)
        ReplacementNeedsBtf EINVAL => "Program extension requires BTF";
        /// `btf_check_func_type_match` (`kernel/bpf/btf.c`)
        NotGlobal { func: Text } EINVAL => "{func}() is not a global function";
        /// `btf_check_func_type_match`
        ArgumentCounts { fn1: Text, count1: u32, fn2: Text, count2: u32 } EINVAL => "{fn1}() has {count1} args while {fn2}() has {count2} args";
        /// `btf_check_func_type_match`
        ReturnTypes { type1: &'static str, fn1: Text, type2: &'static str, fn2: Text } EINVAL => "Return type {type1} of {fn1}() doesn't match type {type2} of {fn2}()";
        /// `btf_check_func_type_match`
        ArgumentTypes { arg: u32, fn1: Text, type1: &'static str, fn2: Text, type2: &'static str } EINVAL => "arg{arg} in {fn1}() is {type1} while {fn2}() has {type2}";
        /// `btf_check_func_type_match`
        ArgumentSizes { arg: u32, fn1: Text, size1: i32, fn2: Text, size2: i32 } EINVAL => "arg{arg} in {fn1}() has size {size1} while {fn2}() has {size2}";
        /// `btf_check_func_type_match`
        ArgumentUnrecognized { arg: u32, func: Text } EINVAL => "arg{arg} in {func}() has unrecognized type";
        /// `btf_check_func_type_match`
        ArgumentNotContext { arg: u32, func: Text } EINVAL => "arg{arg} in {func}() is not a pointer to context";
        /// `btf_check_func_type_match`
        ArgumentStructs { arg: u32, fn1: Text, struct1: Text, fn2: Text, struct2: Text } EINVAL => "arg{arg} {fn1}(struct {struct1} *) doesn't match {fn2}(struct {struct2} *)";
        /// `bpf_check_attach_target`
        NestedTracing EINVAL => "Cannot nest tracing program attach more than once";
        /// `bpf_check_attach_target`
        OnlyFentryOnPrograms EINVAL => "Only FENTRY/FEXIT progs are attachable to another BPF prog";
        /// `bpf_check_attach_target`
        ModifyReturnOfProgram EINVAL => "can't modify return codes of BPF programs";
        /// `bpf_check_attach_target`
        ReplaceKernelFunction EINVAL => "Cannot replace kernel functions";
        /// `bpf_check_attach_target`
        NotTypedef { btf_id: u32 } EINVAL => "attach_btf_id {btf_id} is not a typedef";
        /// `bpf_check_attach_target`, `bpf_lsm_verify_prog`
        WrongTypeName { btf_id: u32, name: Text } EINVAL => "attach_btf_id {btf_id} points to wrong type name {name}";
        /// `bpf_check_attach_target`
        NotFunction { btf_id: u32 } EINVAL => "attach_btf_id {btf_id} is not a function";
        /// `bpf_check_attach_target`
        NoAddress { name: Text } ENOENT => "The address of function {name} cannot be found";
        /// `bpf_check_attach_target`
        NotSleepable { name: Text } EINVAL => "{name} is not sleepable";
        /// `bpf_check_attach_target`
        NotModifiable { name: Text } EINVAL => "{name}() is not modifiable";
        /// `bpf_lsm_verify_prog` (`kernel/bpf/bpf_lsm.c`)
        LsmNeedsGpl EINVAL => "LSM programs must have a GPL compatible license";
        /// `bpf_lsm_verify_prog`
        DisabledHook { btf_id: u32, name: Text } EINVAL => "attach_btf_id {btf_id} points to disabled hook {name}";
        /// `check_attach_btf_id`
        DeniedTarget { name: Text } EINVAL => "Attaching tracing programs to function '{name}' is rejected.";
        /// `bpf_check_attach_target`
        WideResult { name: Text } EOPNOTSUPP => "Attach to function {name} with a >8 byte return value is not supported for this attach type";
        /// `check_attach_btf_id`
        NoReturnTarget { name: Text } EINVAL => "Attaching fexit/fmod_ret to __noreturn function '{name}' is rejected."
            | V6_12 "Attaching fexit/fmod_ret to __noreturn functions is rejected.";
    }
}
