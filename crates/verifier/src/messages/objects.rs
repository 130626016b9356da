// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about resources and objects: references, locks, regions, dynptrs, iterators, special
//! fields of map values, lists and trees.

use crate::mem::Text;

messages! {
    /// Resources and objects.
    Objects {
        /// `check_reference_leak`
        Unreleased { id: u32, insn: u32 } EINVAL => "Unreleased reference id={id} alloc_insn={insn}";
        /// `check_resource_leak`
        ReferenceLeak { place: &'static str } EINVAL => "{place} would lead to reference leak";
        /// `check_resource_leak`
        InsideLock { place: &'static str } EINVAL => "{place} cannot be used inside bpf_spin_lock-ed region";
        /// `check_resource_leak`
        InsideIrq { place: &'static str } EINVAL => "{place} cannot be used inside bpf_local_irq_save-ed region";
        /// `check_resource_leak`
        InsideRcu { place: &'static str } EINVAL => "{place} cannot be used inside bpf_rcu_read_lock-ed region";
        /// `check_resource_leak`
        InsidePreempt { place: &'static str } EINVAL => "{place} cannot be used inside bpf_preempt_disable-ed region";

        /// `do_check`
        LockNotReleased EINVAL => "bpf_spin_unlock is missing";
        /// `do_check`
        RcuNotReleased EINVAL => "bpf_rcu_read_unlock is missing";
        /// `do_check`
        PreemptNotReleased { count: u32, are: &'static str } EINVAL => "{count} bpf_preempt_enable{are} missing";
        /// `check_ld_abs`
        MixedWithReferences EINVAL => "BPF_LD_[ABS|IND] cannot be mixed with socket references";

        /// `process_spin_lock`
        TwoLocks EINVAL => "Locking two bpf_spin_locks are not allowed";
        /// `process_spin_lock`
        LockVariable { reg: u8, lock: &'static str } EINVAL => "R{reg} doesn't have constant offset. {lock}_lock has to be at the constant offset";
        /// `process_spin_lock`
        LockWithoutBtf { map: Text, lock: &'static str } EINVAL => "map '{map}' has to have BTF in order to use {lock}_lock";
        /// `process_spin_lock`
        NoLock { what: &'static str, name: Text, lock: &'static str } EINVAL => "{what} '{name}' has no valid {lock}_lock";
        /// `process_spin_lock`
        NotAtLock { off: i64, lock: &'static str, at: u32 } EINVAL => "off {off} doesn't point to 'struct {lock}_lock' that is at {at}";
        /// `process_spin_lock`
        SameLock EINVAL => "Acquiring the same lock again, AA deadlock detected";
        /// `process_spin_lock`
        NotLocked { lock: &'static str } EINVAL => "{lock}_unlock without taking a lock";
        /// `process_spin_lock`
        OtherLock { lock: &'static str } EINVAL => "{lock}_unlock of different lock";
        /// `process_spin_lock`
        LockOrder { lock: &'static str } EINVAL => "{lock}_unlock cannot be out of order";
        /// `do_check_insn`
        CallUnderLock EINVAL => "function calls are not allowed while holding a lock";

        /// `check_helper_call`
        HelperInRcu { name: Text, id: u32 } EINVAL => "sleepable helper bpf_{name}#{id} in rcu_read_lock region";
        /// `check_helper_call`
        HelperInPreempt { name: Text, id: u32 } EINVAL => "sleepable helper bpf_{name}#{id} in non-preemptible region";
        /// `check_helper_call`
        HelperInIrq { name: Text, id: u32 } EINVAL => "sleepable helper bpf_{name}#{id} in IRQ-disabled region";
        /// `check_kfunc_call`
        RcuInTreeCallback EACCES => "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback";
        /// `check_kfunc_call`
        NestedRcu { func: Text } EINVAL => "nested rcu read lock (kernel function {func})";
        /// `check_kfunc_call`
        KfuncInRcu { func: Text } EACCES => "kernel func {func} is sleepable within rcu_read_lock region";
        /// `check_kfunc_call`
        UnmatchedRcu { func: Text } EINVAL => "unmatched rcu read unlock (kernel function {func})";
        /// `check_kfunc_call`
        KfuncInPreempt { func: Text } EACCES => "kernel func {func} is sleepable within non-preemptible region";
        /// `check_kfunc_call`
        UnmatchedPreempt { func: Text } EINVAL => "unmatched attempt to enable preemption (kernel function {func})";
        /// `check_kfunc_call`
        KfuncInIrq { func: Text } EACCES => "kernel func {func} is sleepable within IRQ-disabled region";
        /// `check_kfunc_call`
        NeedsRcu { func: Text } EACCES => "kernel func {func} requires RCU critical section protection";

        /// `stack_slot_obj_get_spi`
        ObjectVariable { object: &'static str } EINVAL => "{object} has to be at a constant offset";
        /// `stack_slot_obj_get_spi`
        ObjectOffset { object: &'static str, off: i32 } EINVAL => "cannot pass in {object} at an offset={off}";
        /// `unmark_stack_slot_irq_flag`
        IrqOtherKind { saved: &'static str, restored: &'static str } EINVAL => "irq flag acquired by {saved} kfuncs cannot be restored with {restored} kfuncs";
        /// `unmark_stack_slot_irq_flag`
        IrqOrder { id: u32, insn: u32 } EACCES => "cannot restore irq state out of order, expected id={id} acquired at insn_idx={insn}";
        /// `process_irq_flag`
        IrqInitialized { arg: u32 } EINVAL => "expected uninitialized irq flag as arg#{arg}";
        /// `process_irq_flag`
        IrqUninitialized { arg: u32 } EINVAL => "expected an initialized irq flag as arg#{arg}";

        /// `destroy_if_dynptr_stack_slot`
        DynptrOverwrite EINVAL => "cannot overwrite referenced dynptr";
        /// `process_dynptr_func`
        DynptrPointer { arg: u32 } EINVAL => "arg#{arg} expected pointer to stack or const struct bpf_dynptr";
        /// `process_dynptr_func`
        DynptrInitialized EINVAL => "Dynptr has to be an uninitialized dynptr";
        /// `process_dynptr_func`
        DynptrConst EINVAL => "cannot pass pointer to const bpf_dynptr, the helper mutates it";
        /// `process_dynptr_func`
        DynptrUninitialized { arg: u32 } EINVAL => "Expected an initialized dynptr as arg #{arg}";
        /// `process_dynptr_func`
        DynptrKind { kind: &'static str, arg: u32 } EINVAL => "Expected a dynptr of type {kind} as arg #{arg}";

        /// `process_iter_arg`
        IterPointer { arg: u32 } EINVAL => "arg#{arg} expected pointer to an iterator on stack";
        /// `process_iter_arg`
        IterInitialized { name: Text, arg: u32 } EINVAL => "expected uninitialized iter_{name} as arg #{arg}";
        /// `process_iter_arg`
        IterUninitialized { name: Text, arg: u32 } EINVAL => "expected an initialized iter_{name} as arg #{arg}";
        /// `process_iter_arg`.
        IterNeedsRcu { func: Text } EPROTO => "expected an RCU CS when using {func}";

        /// `check_map_field_pointer`
        FieldVariable { reg: u8, field: &'static str } EINVAL => "R{reg} doesn't have constant offset. {field} has to be at the constant offset";
        /// `check_map_field_pointer`
        FieldWithoutBtf { map: Text, field: &'static str } EINVAL => "map '{map}' has to have BTF in order to use {field}";
        /// `check_map_field_pointer`
        NoField { map: Text, field: &'static str } EINVAL => "map '{map}' has no valid {field}";
        /// `check_map_field_pointer`
        NotAtField { off: i64, field: &'static str, at: u32 } EINVAL => "off {off} doesn't point to 'struct {field}' that is at {at}";

        /// `process_wq_func`
        NotAtWorkqueue { off: i64, at: i32 } EINVAL => "off {off} doesn't point to 'struct bpf_wq' that is at {at}";

        /// `check_map_access`
        FieldDirect { field: &'static str } EACCES => "{field} cannot be accessed directly by load/store";
        /// `check_map_access`
        FieldByCallee { field: &'static str } EACCES => "{field} cannot be accessed indirectly by helper";
        /// `check_map_access`
        FieldOffset { field: &'static str } EACCES => "{field} access cannot have variable offset";
        /// `check_map_access`
        FieldMisaligned { field: &'static str, expected: u32, off: u64 } EACCES => "{field} access misaligned expected={expected} off={off}";
        /// `check_map_access`
        FieldSize { field: &'static str } EACCES => "{field} access size must be BPF_DW";
        /// `check_map_kptr_access`
        KptrMode EACCES => "kptr in map can only be accessed using BPF_MEM instruction mode";
        /// `check_map_kptr_access`
        KptrStore EACCES => "store to referenced kptr disallowed";
        /// `check_map_kptr_access`
        UptrStore EACCES => "store to uptr disallowed";
        /// `check_map_kptr_access`
        KptrImmediate { off: u32 } EACCES => "BPF_ST imm must be 0 when storing to kptr at off={off}";
        /// `map_kptr_match_type`
        KptrType { reg: u8, is: Text, expected: Text } EACCES => "invalid kptr access, R{reg} type={is} expected={expected}";
        /// `__check_ptr_off_reg`
        NegativeOffset { ty: Text, reg: u8, off: i32 } EACCES => "negative offset {ty} ptr R{reg} off={off} disallowed";
        /// `__check_ptr_off_reg`
        ModifiedPointer { ty: Text, reg: u8, off: i32 } EACCES => "dereference of modified {ty} ptr R{reg} off={off} disallowed";
        /// `__check_ptr_off_reg`
        VariablePointer { ty: Text, var_off: Text } EACCES => "variable {ty} access var_off={var_off} disallowed";
        /// `process_kptr_func`
        KptrVariable { reg: u8 } EINVAL => "R{reg} doesn't have constant offset. kptr has to be at the constant offset";
        /// `process_kptr_func`
        KptrWithoutBtf { map: Text } EINVAL => "map '{map}' has to have BTF in order to use bpf_kptr_xchg";
        /// `process_kptr_func`
        NoKptr { reg: u8 } EINVAL => "R{reg} has no valid kptr";
        /// `process_kptr_func`
        NotAtKptr { off: i32 } EACCES => "off={off} doesn't point to kptr";
        /// `process_kptr_func`
        KptrNotReferenced { off: i32 } EACCES => "off={off} kptr isn't referenced kptr";

        /// `check_reg_allocation_locked`
        OtherAllocation NOTE => "held lock and object are not in the same allocation";
        /// `__process_kf_arg_ptr_to_graph_root`
        RootUnlocked { off: i32, root: &'static str } EINVAL => "bpf_spin_lock at off={off} must be held for {root}";
        /// `__process_kf_arg_ptr_to_graph_root`, `__process_kf_arg_ptr_to_graph_node`
        GraphNotFound { field: &'static str, off: u32 } EINVAL => "{field} not found at offset={off}";
        /// `__process_kf_arg_ptr_to_graph_node`
        NodeOfOther { root: &'static str, node: &'static str, at: u32, expected: Text, off: u32, is: Text } EINVAL =>
            "operation on {root} expects arg#1 {node} at offset={at} in struct {expected}, but arg is at offset={off} in struct {is}";
        /// `__process_kf_arg_ptr_to_graph_node`
        NodeElsewhere { off: u32, node: &'static str, at: u32, expected: Text } EINVAL =>
            "arg#1 offset={off}, but expected {node} at offset={at} in struct {expected}";
    }
}
