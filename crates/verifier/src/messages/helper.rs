// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about calls of helpers.

use crate::mem::Text;

messages! {
    /// Calls of helpers. `func` is a helper's name with its number, as in `bpf_tail_call#12`.
    Helper {
        /// `check_helper_call`
        NoSuchHelper { func: Text } EINVAL => "invalid func {func}";
        /// `check_helper_call`
        NotForProgram { func: Text } EINVAL => "program of this type cannot use helper {func}";
        /// `check_helper_call`
        GplOnly EINVAL => "cannot call GPL-restricted function from non-GPL compatible program";
        /// `check_helper_call`
        NotAllowed EINVAL => "helper call is not allowed in probe";
        /// `check_helper_call`
        MightSleep EINVAL => "helper call might sleep in a non-sleepable prog";
        /// `check_func_arg`
        LeaksAddress { reg: u8 } EACCES => "R{reg} leaks addr into helper function";
        /// `check_func_arg`
        PacketAccess EACCES => "helper access to the packet is not allowed";
        /// `resolve_map_arg_type`
        SockmapArgument EINVAL => "invalid arg_type for sockmap/sockhash";
        /// `check_reg_type`
        Expected { reg: u8, ty: Text, expected: Text } EACCES => "R{reg} type={ty} expected={expected}";
        /// `check_reg_type`
        MayWrite { name: Text, reg: u8, ty: Text } EACCES => "{name}() may write into memory pointed by R{reg} type={ty}";
        /// `check_reg_type`
        PossiblyNull { reg: u8 } EACCES => "Possibly NULL pointer passed to helper arg{reg}";
        /// `check_reg_type`
        WrongType { reg: u8, is: Text, expected: Text } EACCES => "R{reg} is of type {is} but {expected} is expected";
        /// `check_func_arg_reg_off`
        /// `check_func_arg`
        UnacquiredDynptr { reg: u8 } EINVAL => "arg {reg} is an unacquired reference";
        /// `check_func_arg`
        ConstDynptr EINVAL => "cannot release unowned const bpf_dynptr";
        /// `check_func_arg`
        NotReferenced { reg: u8 } EINVAL => "R{reg} must be referenced when passed to release function";
        /// `check_func_arg`; the kernel ends no line.
        TwoReferences { reg: u8, id: u32, before: u32 } EACCES => bare "more than one arg with ref_obj_id R{reg} {id} {before}"
            | V6_12 "verifier internal error: more than one arg with ref_obj_id R{reg} {id} {before}\n";
        /// `check_func_arg`
        OtherMap { before: u32, uid: u32 } EINVAL => "timer pointer in R1 map_uid={before} doesn't match map pointer in R2 map_uid={uid}";
        /// `check_func_arg`
        NoBtfId { reg: u8 } EACCES => "Helper has invalid btf_id in R{reg}";
        /// `check_func_arg`
        LockInTree EACCES => "can't spin_{{lock,unlock}} in rbtree cb";
        /// `check_func_arg`
        NotConstant { reg: u8 } EACCES => "R{reg} is not a known constant'";
        /// `check_reg_const_str`
        WritableMap { reg: u8 } EACCES => "R{reg} does not point to a readonly map'";
        /// `check_reg_const_str`
        NotConstantAddress { reg: u8 } EACCES => "R{reg} is not a constant address'";
        /// `check_reg_const_str`
        NoDirectString EACCES => "no direct value access support for this map type";
        /// `check_reg_const_str`; the errno is the map's.
        DirectString EINVAL => "direct value access on string failed";
        /// `check_reg_const_str`
        Unterminated EINVAL => "string is not zero-terminated";
        /// `check_bpf_snprintf_call`; the errno is that of `bpf_bprintf_prepare`.
        InvalidFormat EINVAL => "Invalid format string";
        /// `record_func_map`
        ReadOnlyMap EACCES => "write into map forbidden";
        /// `record_func_key`; the kernel ends no line.
        NotProgArray EINVAL => bare "expected prog array map for tail call"
            | V6_12 "kernel subsystem misconfigured verifier\n";
        /// `check_helper_call`
        NotAcquired { func: Text } EINVAL => "func {func} reference has not been acquired before";
        /// `check_helper_call`
        StorageFlags EINVAL => "get_local_storage() doesn't support non-zero flags";
        /// `check_helper_call`
        DynptrMemory { ty: Text } EACCES => "Unsupported reg type {ty} for bpf_dynptr_from_mem data";
        /// `check_helper_call`
        VoidHook EINVAL => "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!";
        /// `check_helper_call`
        NotAStructure EFAULT => "Helper has invalid btf/btf_id in R1";
        /// `check_helper_call`
        UnknownSize { name: Text, errno: i32 } EINVAL => "unable to resolve the size of type '{name}': {errno}";
        /// `may_update_sockmap`
        SockmapUpdate NOTE => "cannot update sockmap in this context";
        /// `check_map_func_compatibility`
        MixedTailCalls EINVAL => "mixing of tail_calls and bpf-to-bpf calls is not supported";
        /// `check_map_func_compatibility`
        MapType { map_type: u32, func: Text } EINVAL => "cannot pass map_type {map_type} into func {func}";
        /// `check_get_func_ip`
        FuncIpAttach { func: Text } ENOTSUPP => "func {func} supported only for fentry/fexit/fmod_ret programs";
        /// `check_get_func_ip`
        FuncIpType { func: Text, prog_type: u32 } ENOTSUPP => "func {func} not supported for program type {prog_type}";
        /// `bpf_fixup_tail_call` in `do_misc_fixups`
        TailCallMaps EINVAL => "tail_call abusing map_ptr";
    }
}
