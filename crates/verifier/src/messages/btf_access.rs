// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about pointers to kernel objects and arguments of kernel functions.

use crate::mem::Text;

messages! {
    /// Pointers to kernel objects and arguments of kernel functions.
    BtfAccess {
        /// `btf_struct_walk` (`kernel/bpf/btf.c`)
        NotStruct { name: Text } EINVAL => "Type '{name}' is not a struct";
        /// `btf_struct_walk` (`kernel/bpf/btf.c`)
        BeyondStruct { name: Text, off: u32, size: u32 } EACCES => "access beyond struct {name} at off {off} size {size}";
        /// `btf_struct_walk` (`kernel/bpf/btf.c`)
        NoSize { member: Text } EFAULT => "field {member} doesn't have size";
        /// `btf_struct_walk` (`kernel/bpf/btf.c`)
        PointerMember { member: Text, start: u32, name: Text, off: u32, size: u32 } EACCES => "cannot access ptr member {member} with moff {start} in struct {name} with off {off} size {size}";
        /// `btf_struct_walk` (`kernel/bpf/btf.c`)
        BeyondMember { member: Text, end: u32, name: Text, off: u32, size: u32 } EACCES => "access beyond the end of member {member} (mend:{end}) in struct {name} with off {off} size {size}";
        /// `btf_struct_walk` (`kernel/bpf/btf.c`)
        NoField { name: Text, off: i32 } EINVAL => "struct {name} doesn't have field at offset {off}";
        /// `btf_struct_access` (`kernel/bpf/btf.c`)
        SpecialField { field: &'static str } EACCES => "direct access to {field} is disallowed";
        /// `check_ptr_to_btf_access`, `check_ptr_to_map_access`
        NeedsPerfmon { name: Text } EPERM => "'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN";
        /// `check_ptr_to_btf_access`
        NeedsGpl { name: Text } EINVAL => "Cannot access kernel 'struct {name}' from non-GPL compatible program";
        /// `check_ptr_to_btf_access`
        NegativeOffset { reg: u8, name: Text, off: i32 } EACCES => "R{reg} is ptr_{name} invalid negative access: off={off}";
        /// `check_ptr_to_btf_access`
        VariableOffset { reg: u8, name: Text, off: i32, var_off: Text } EACCES => "R{reg} is ptr_{name} invalid variable offset: off={off}, var_off={var_off}";
        /// `check_ptr_to_btf_access`
        UserMemory { reg: u8, name: Text, off: i32 } EACCES => "R{reg} is ptr_{name} access user memory: off={off}";
        /// `check_ptr_to_btf_access`
        PercpuMemory { reg: u8, name: Text, off: i32 } EACCES => "R{reg} is ptr_{name} access percpu memory: off={off}";
        /// `check_ptr_to_btf_access`, and what permits writes for program types
        /// (`btf_struct_access` of `struct bpf_verifier_ops`).
        ReadOnly EACCES => "only read is supported";
        /// `bpf_tcp_ca_btf_struct_access` (`net/ipv4/bpf_tcp_ca.c`), `bpf_qdisc_btf_struct_access`
        /// (`net/sched/bpf_qdisc.c`)
        NoWrite { name: Text, off: i32 } EACCES => "no write support to {name} at off {off}";
        /// As [`BtfAccess::NoWrite`].
        WriteBeyond { off: i32, size: u32, name: Text, end: u32 } EACCES => "write access at off {off} with size {size} beyond the member of {name} ended at {end}";
        /// `bpf_dummy_ops_btf_struct_access` (`net/bpf/bpf_dummy_struct_ops.c`)
        DummyState EACCES => "only access to bpf_dummy_ops_state is supported";
        /// `bpf_dummy_ops_btf_struct_access` (`net/bpf/bpf_dummy_struct_ops.c`)
        DummyBeyond { off: i32, size: u32 } EACCES => "write access at off {off} with size {size}";
        /// `check_ptr_to_map_access`
        NoMapBtf { map_type: u32 } ENOTSUPP => "map_ptr access not supported for map type {map_type}";
        /// `check_ptr_to_map_access`
        NegativeMap { reg: u8, name: Text, off: i32 } EACCES => "R{reg} is {name} invalid negative access: off={off}";
        /// `check_ptr_to_map_access`
        ReadOnlyMap { name: Text } EACCES => "only read from {name} is supported";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        ArgumentOffset { func: Text, off: i32 } EACCES => "func '{func}' offset {off} is not multiple of 8";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        NoArgument { func: Text, number: u32 } EACCES => "func '{func}' doesn't have {number}-th argument";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        ModifiedReturn { kind: &'static str } EACCES => "ret type {kind} not allowed for fmod_ret";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        NotPointer { func: Text, arg: u32, name: Text, kind: &'static str } EACCES => "func '{func}' arg{arg} '{name}' has type {kind}. Only pointer access is allowed";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        ArgumentSize { func: Text, size: u32 } EACCES => "func '{func}' size {size} must be 8";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        NotStructPointer { func: Text, arg: u32, kind: &'static str } EACCES => "func '{func}' arg{arg} type {kind} is not a struct";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`)
        Argument { func: Text, arg: u32, id: u32, kind: &'static str, name: Text } NOTE => "func '{func}' arg{arg} has btf_id {id} type {kind} '{name}'";
        /// `btf_ctx_access` (`kernel/bpf/btf.c`); the kernel ends no line.
        ErrorPointer { arg: u32 } NOTE => bare "marking pointer arg{arg} as scalar as it may encode error";
        /// `check_ctx_access`
        Released { off: i32 } EACCES => "invalid bpf_context access off={off}. Reference may already be released";
        /// `check_return_code`
        VoidHook NOTE => "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!";
    }
}
