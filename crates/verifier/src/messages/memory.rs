// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about loads and stores.

use crate::mem::Text;

messages! {
    /// Loads and stores.
    Memory {
        /// `check_mem_access`
        Invalid { reg: u8, ty: Text } EACCES => "R{reg} invalid mem access '{ty}'";
        /// `save_aux_ptr_type`
        DifferentPointers EINVAL => "same insn cannot be used with different pointers";
        /// `check_generic_ptr_alignment`; `area` ends with a blank unless it is empty.
        Misaligned { area: &'static str, var_off: Text, reg_off: i32, off: i32, size: u32 } EACCES => "misaligned {area}access off {var_off}+{reg_off}+{off} size {size}";
        /// `check_stack_access_within_bounds`; `access` is `read from` or `write to`.
        UnboundedStack { access: &'static str, reg: u8 } EACCES => "invalid unbounded variable-offset {access} stack R{reg}";
        /// `check_stack_access_within_bounds`
        InvalidStack { access: &'static str, reg: u8, off: i32, size: i32 } EACCES => "invalid {access} stack R{reg} off={off} size={size}";
        /// `check_stack_access_within_bounds`
        InvalidVariableStack { access: &'static str, reg: u8, var_off: Text, off: i32, size: i32 } EACCES => "invalid variable-offset {access} stack R{reg} var_off={var_off} off={off} size={size}";
        /// `check_stack_write_fixed_off`
        CorruptsPointer EACCES => "attempt to corrupt spilled pointer on stack";
        /// `check_stack_write_fixed_off`
        SpillSize EACCES => "invalid size of register spill";
        /// `check_stack_write_fixed_off`
        SpillToCaller EINVAL => "cannot spill pointers to stack into stack frame of the caller";
        /// `check_stack_write_var_off`; the kernel ends no line.
        SpilledInRange { insn: u32, off: i32 } EINVAL => bare "spilled ptr in range of var-offset stack write; insn {insn}, ptr off: {off}";
        /// `check_stack_write_var_off`; the kernel ends no line.
        UninitInRange { insn: u32, off: i32 } EINVAL => bare "uninit stack in range of var-offset write prohibited for !root; insn {insn}, off: {off}";
        /// `check_stack_read_fixed_off`
        FillSize EACCES => "invalid size of register fill";
        /// `check_stack_read_fixed_off`
        InvalidRead { off: i32, byte: i32, size: u32 } EACCES => "invalid read from stack off {off}+{byte} size {size}";
        /// `check_stack_read_fixed_off`
        LeaksPointer { off: i32 } EACCES => "leaking pointer from stack off {off}";
        /// `check_stack_read`
        VariableToHelper { var_off: Text, off: i32, size: u32 } EACCES => "variable offset stack pointer cannot be passed into helper function; var_off={var_off} off={off} size={size}";
        /// `check_stack_range_initialized`
        VariableProhibited { reg: u8, indirect: &'static str, var_off: Text } EACCES => "R{reg}{indirect} variable offset stack access prohibited for !root, var_off={var_off}";
        /// `check_stack_range_initialized`
        InvalidVariableRead { indirect: &'static str, reg: u8, var_off: Text, byte: i32, size: u32 } EACCES => "invalid{indirect} read from stack R{reg} var_off {var_off}+{byte} size {size}";
        /// `check_atomic_rmw`
        AtomicSize EINVAL => "invalid atomic operand size";
        /// `check_atomic_rmw`, `check_atomic_store`
        AtomicStore { reg: u8, ty: Text } EACCES => "BPF_ATOMIC stores into R{reg} {ty} is not allowed";
        /// `check_atomic_load`
        AtomicLoad { reg: u8, ty: Text } EACCES => "BPF_ATOMIC loads from R{reg} {ty} is not allowed";
        /// `__check_mem_access`
        KeyBounds { key_size: i32, off: i32, size: i32 } EACCES => "invalid access to map key, key_size={key_size} off={off} size={size}";
        /// `__check_mem_access`
        ValueBounds { value_size: i32, off: i32, size: i32 } EACCES => "invalid access to map value, value_size={value_size} off={off} size={size}";
        /// `__check_mem_access`
        PacketBounds { off: i32, size: i32, reg: u8, id: i32, range: i32 } EACCES => "invalid access to packet, off={off} size={size}, R{reg}(id={id},off={off},r={range})";
        /// `__check_mem_access`
        Bounds { mem_size: u32, off: i32, size: i32 } EACCES => "invalid access to memory, mem_size={mem_size} off={off} size={size}";
        /// `check_mem_region_access`, `check_packet_access`, `check_sock_access`
        NegativeMin { reg: u8 } EACCES => "R{reg} min value is negative, either use unsigned index or do a if (index >=0) check.";
        /// `check_mem_region_access`
        MinOutside { reg: u8 } EACCES => "R{reg} min value is outside of the allowed memory range";
        /// `check_mem_region_access`
        Unbounded { reg: u8 } EACCES => "R{reg} unbounded memory access, make sure to bounds check any such access";
        /// `check_mem_region_access`
        MaxOutside { reg: u8 } EACCES => "R{reg} max value is outside of the allowed memory range";
        /// `check_packet_access`
        OutsidePacket { reg: u8 } EACCES => "R{reg} offset is outside of the packet";
        /// `check_pkt_ptr_alignment`
        MisalignedPacket { var_off: Text, reg_off: i32, off: i32, size: u32 } EACCES => "misaligned packet access off 2+{var_off}+{reg_off}+{off} size {size}";
        /// `__check_ptr_off_reg`
        NegativeOffset { ty: Text, reg: u8, off: i32 } EACCES => "negative offset {ty} ptr R{reg} off={off} disallowed";
        /// `check_func_arg_reg_off`
        ReleasedWithOffset { reg: u8 } EINVAL => "R{reg} must have zero offset when passed to release func or trusted arg to kfunc";
        /// `__check_ptr_off_reg`
        ModifiedPointer { ty: Text, reg: u8, off: i32 } EACCES => "dereference of modified {ty} ptr R{reg} off={off} disallowed";
        /// `__check_ptr_off_reg`
        VariablePointer { ty: Text, var_off: Text } EACCES => "variable {ty} access var_off={var_off} disallowed";
        /// `check_mem_access`; `place` is what the register is stored to.
        Leaks { reg: u8, place: &'static str } EACCES => "R{reg} leaks addr into {place}";
        /// `check_mem_access`
        WriteKey { reg: u8 } EACCES => "write to change key R{reg} not allowed";
        /// `check_mem_access`, `check_helper_mem_access`
        ReadOnly { reg: u8, ty: Text } EACCES => "R{reg} cannot write into {ty}";
        /// `check_mem_access`
        WritePacket EACCES => "cannot write into packet";
        /// `check_map_access_type`
        WriteForbidden { value_size: i32, off: i32, size: i32 } EACCES => "write into map forbidden, value_size={value_size} off={off} size={size}";
        /// `check_map_access_type`
        ReadForbidden { value_size: i32, off: i32, size: i32 } EACCES => "read from map forbidden, value_size={value_size} off={off} size={size}";
        /// `check_ctx_access`
        Context { off: i32, size: u32 } EACCES => "invalid bpf_context access off={off} size={size}";
        /// `check_flow_keys_access`
        FlowKeys { off: i32, size: u32 } EACCES => "invalid access to flow keys off={off} size={size}";
        /// `check_sock_access`
        Socket { reg: u8, ty: Text, off: i32, size: u32 } EACCES => "R{reg} invalid {ty} access off={off} size={size}";
        /// `__check_buffer_access`
        Buffer { reg: u8, info: &'static str, off: i32, size: i32 } EACCES => "R{reg} invalid {info} buffer access: off={off}, size={size}";
        /// `__check_buffer_access`
        VariableBuffer { reg: u8, off: i32, var_off: Text } EACCES => "R{reg} invalid variable buffer offset: off={off}, var_off={var_off}";
        /// `check_stack_range_initialized`
        ZeroSized EACCES => "invalid zero-sized read";
        /// `check_stack_range_initialized`
        StackTooSmall EFAULT => "allocated_stack too small";
        /// `check_stack_range_initialized`
        OverDynptr { off: i32 } EACCES => "potential write to dynptr at off={off} disallowed";
        /// `check_stack_range_initialized`
        Uninitialized { indirect: &'static str, reg: u8, off: i32, byte: i32, size: u32 } EACCES => "invalid{indirect} read from stack R{reg} off {off}+{byte} size {size}";
        /// `check_helper_mem_access`
        NotMemory { reg: u8, ty: Text, expected: &'static str } EACCES => "R{reg} type={ty} expected={expected}";
        /// `check_mem_size_reg`
        NegativeSize { reg: u8 } EACCES => "R{reg} min value is negative, either use unsigned or 'var &= const'";
        /// `check_mem_size_reg`
        ZeroSizedRange { reg: u8, min: i64, max: i64 } EACCES => "R{reg} invalid zero-sized read: u64=[{min},{max}]";
        /// `check_mem_size_reg`
        UnboundedSize { reg: u8 } EACCES => "R{reg} unbounded memory access, use 'var &= const' or 'if (var < const)'";
        /// `check_ld_abs`
        LdAbsProgram EINVAL => "BPF_LD_[ABS|IND] instructions not allowed for this program type";
        /// `check_ld_abs`, `check_max_stack_depth_subprog`
        LdAbsInCallback EINVAL => "cannot use BPF_LD_[ABS|IND] within callback";
        /// `check_ld_abs`
        LdAbsContext EINVAL => "at the time of BPF_LD_ABS|IND R6 != pointer to skb";
    }
}
