// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about calls of kfuncs.

use crate::mem::Text;

messages! {
    /// Calls of kfuncs. Numbers of arguments count from 0, those of registers from 1.
    Kfunc {
        /// `check_kfunc_call`
        NotAllowed { name: Text } EACCES => "calling kernel function {name} is not allowed";
        /// `check_kfunc_call`
        LockBranch ENOMEM => "failed to push state for failed lock acquisition";
        /// `check_kfunc_call`
        Trap EFAULT => "unexpected __bpf_trap() due to uninitialized variable?";
        /// `check_kfunc_call`
        Destructive EACCES => "destructive kfunc calls require CAP_SYS_BOOT capability";
        /// `check_kfunc_call`
        NotSleepable { name: Text } EACCES => "program must be sleepable to call sleepable kfunc {name}";
        /// `check_kfunc_call`
        CallbackFailed { name: Text, id: u32 } EINVAL => "kfunc {name}#{id} failed callback verification";
        /// `check_kfunc_call`
        NotAcquired { name: Text, id: u32 } EINVAL => "kfunc {name}#{id} reference has not been acquired before";
        /// `check_kfunc_call`
        ConversionFailed { name: Text, id: u32 } EFAULT => "kfunc {name}#{id} conversion of owning ref to non-owning failed";
        /// `check_kfunc_call`
        NoExceptions { name: Text, id: u32 } ENOTSUPP => "JIT does not support calling kfunc {name}#{id}";
        /// `check_kfunc_call`
        AcquiresNothing EINVAL => "acquire kernel function does not return PTR_TO_BTF_ID";
        /// `check_kfunc_call`
        ReturnedPointer { name: Text, kind: &'static str, target: Text } EINVAL => "kernel function {name} returns pointer type {kind} {target} is not supported";
        /// `check_kfunc_args`
        TooManyArguments { name: Text, count: usize, most: usize } EINVAL => "Function {name} has {count} > {most} args";
        /// `check_kfunc_args`
        NotScalar { reg: u8 } EINVAL => "R{reg} is not a scalar";
        /// `check_kfunc_args`
        NotConstant { reg: u8 } EINVAL => "R{reg} must be a known constant";
        /// `check_kfunc_args`; the kernel ends no line.
        TwoSizes EINVAL => bare "2 or more rdonly/rdwr_buf_size parameters for kfunc";
        /// `check_kfunc_args`
        SizeNotConstant { reg: u8 } EINVAL => "R{reg} is not a const";
        /// `check_kfunc_args`
        UnrecognizedArgument { arg: u8, kind: &'static str } EINVAL => "Unrecognized arg#{arg} type {kind}";
        /// `check_kfunc_args`
        MaybeNull { arg: u8 } EACCES => "Possibly NULL pointer passed to trusted arg{arg}";
        /// `check_kfunc_args`
        NotMapPointer { reg: u8 } EINVAL => "pointer in R{reg} isn't map pointer";
        /// `check_kfunc_args`
        OtherTaskWorkMap { field: u32, map: u32 } EINVAL => "bpf_task_work pointer in R2 map_uid={field} doesn't match map pointer in R3 map_uid={map}";
        /// `check_kfunc_args`
        OtherWorkqueueMap { field: u32, map: u32 } EINVAL => "workqueue pointer in R1 map_uid={field} doesn't match map pointer in R2 map_uid={map}";
        /// `check_kfunc_args`
        NotTrusted { reg: u8 } EINVAL => "R{reg} must be referenced or trusted";
        /// `check_kfunc_args`
        NotRcu { reg: u8 } EINVAL => "R{reg} must be a rcu pointer";
        /// `check_kfunc_args`
        NotContext { arg: u8, ty: Text } EINVAL => "arg#{arg} expected pointer to ctx, but got {ty}";
        /// `get_kern_ctx_btf_id` of `kernel/bpf/btf.c`
        ContextNotStruct { id: u32 } EINVAL => "kern ctx type id {id} is not a struct";
        /// `check_kfunc_args`; `drop` is the kfunc that takes such an object.
        WrongDrop { arg: u8, drop: &'static str } EINVAL => "arg#{arg} expected for {drop}()";
        /// `check_kfunc_args`
        NotAllocated { arg: u8 } EINVAL => "arg#{arg} expected pointer to allocated object";
        /// `check_kfunc_args`
        AllocatedNotReferenced EINVAL => "allocated object must be referenced";
        /// `check_kfunc_args`
        CssTaskIter EINVAL => "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs";
        /// `check_kfunc_args`
        NotMapValueOrAllocated { arg: u8 } EINVAL => "arg#{arg} expected pointer to map value or allocated object";
        /// `check_kfunc_args`
        SizeTooLarge { reg: u8 } EINVAL => "R{reg} rdonly/rdwr_buf_size exceeds u32 max";
        /// `check_kfunc_args`
        RbtreeRemoveOwned EINVAL => "rbtree_remove node input must be non-owning ref";
        /// `check_kfunc_args`
        RbtreeRemoveInCallback EINVAL => "rbtree_remove not allowed in rbtree cb";
        /// `check_kfunc_args`
        NotTreeNode { name: Text } EINVAL => "{name} can only take non-owning or refcounted bpf_rb_node pointer";
        /// `check_kfunc_args`
        InTreeCallback { name: Text } EINVAL => "{name} not allowed in rbtree cb";
        /// `check_kfunc_args`; `expected` is the type without the modifiers that no kfunc takes.
        WrongType { arg: u8, ty: Text, expected: Text } EINVAL => "arg#{arg} is {ty} expected {expected} or socket";
        /// `check_kfunc_args`; said after what is wrong with the memory.
        MemoryAndLength { arg: u8, size: u8 } NOTE => "arg#{arg} arg#{size} memory, len pair leads to invalid memory access";
        /// `check_kfunc_args`
        NotFunction { arg: u8 } EINVAL => "arg{arg} expected pointer to func";
        /// `check_kfunc_args`
        NotOwnedNode { arg: u8 } EINVAL => "arg#{arg} is neither owning or non-owning ref";
        /// `check_kfunc_args`
        NoRefcount { arg: u8 } EINVAL => "arg#{arg} doesn't point to a type with bpf_refcount field";
        /// `check_kfunc_args`
        NotConstString { arg: u8 } EINVAL => "arg#{arg} doesn't point to a const string";
        /// `check_kfunc_args`
        NotMapValue { arg: u8 } EINVAL => "arg#{arg} doesn't point to a map value";
        /// `check_kfunc_args`
        NotStackFlag { arg: u8 } EINVAL => "arg#{arg} doesn't point to an irq flag on stack";
        /// `check_kfunc_args`
        NotLockHolder { arg: u8 } EINVAL => "arg#{arg} doesn't point to map value or allocated object";
        /// `check_kfunc_args`
        NothingReleased { name: Text } EINVAL => "release kernel function {name} expects refcounted PTR_TO_BTF_ID";
        /// `get_kfunc_ptr_arg_type`
        PointerUnsupported { name: Text, arg: u8, kind: &'static str, target: Text } EINVAL => "kernel function {name} args#{arg} pointer type {kind} {target} is not supported";
        /// `__btf_type_is_scalar_struct`
        StructTooDeep NOTE => "max struct nesting depth exceeded";
        /// `get_kfunc_ptr_arg_type`; `or_void` is `void, ` with a size and else empty.
        NotScalars { arg: u8, kind: &'static str, target: Text, or_void: &'static str } EINVAL => "arg#{arg} pointer type {kind} {target} must point to {or_void}scalar, or struct with scalar";
        /// `process_kf_arg_ptr_to_btf_id`
        OtherStruct { name: Text, arg: u8, kind: &'static str, target: Text, reg: u8, has_kind: &'static str, has: Text } EINVAL =>
            "kernel function {name} args#{arg} expected pointer to {kind} {target} but R{reg} has a pointer to {has_kind} {has}";
        /// `check_func_arg_reg_off`
        /// `check_special_kfunc`
        LocalTypeRange EINVAL => "local type ID argument must be in range [0, U32_MAX]";
        /// `check_special_kfunc`
        NewNeedsBtf EINVAL => "bpf_obj_new/bpf_percpu_obj_new requires prog BTF";
        /// `check_special_kfunc`
        NewNeedsStruct EINVAL => "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct";
        /// `check_special_kfunc`
        PercpuTooLarge { size: u32, most: u32 } EINVAL => "bpf_percpu_obj_new type size ({size}) is greater than {most}";
        /// `check_special_kfunc`
        PercpuNotScalars EINVAL => "bpf_percpu_obj_new type ID argument must be of a struct of scalars";
        /// `check_special_kfunc`
        PercpuSpecialFields EINVAL => "bpf_percpu_obj_new type ID argument must not contain special fields";
        /// `check_special_kfunc`
        UnknownTypeId { id: i64 } EINVAL => "Unknown type ID {id} passed to kfunc bpf_rdonly_cast";
        /// `check_special_kfunc`
        RdonlyCastType EINVAL => "kfunc bpf_rdonly_cast type ID argument must be of a struct or void"
            | V6_12 "kfunc bpf_rdonly_cast type ID argument must be of a struct";
        /// `check_special_kfunc`
        PacketNotWritable EINVAL => "the prog does not allow writes to packet data";
        /// `process_iter_arg`
        InvalidIterator { arg: u8 } EINVAL => "expected valid iter pointer as arg #{arg}";
    }
}
