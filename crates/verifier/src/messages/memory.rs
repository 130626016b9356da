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
        InvalidStack { access: &'static str, reg: u8, off: i32, size: u32 } EACCES => "invalid {access} stack R{reg} off={off} size={size}";
        /// `check_stack_access_within_bounds`
        InvalidVariableStack { access: &'static str, reg: u8, var_off: Text, off: i32, size: u32 } EACCES => "invalid variable-offset {access} stack R{reg} var_off={var_off} off={off} size={size}";
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
        VariableProhibited { reg: u8, var_off: Text } EACCES => "R{reg} variable offset stack access prohibited for !root, var_off={var_off}";
        /// `check_stack_range_initialized`
        InvalidVariableRead { reg: u8, var_off: Text, byte: i32, size: u32 } EACCES => "invalid read from stack R{reg} var_off {var_off}+{byte} size {size}";
        /// `check_atomic_rmw`
        AtomicSize EINVAL => "invalid atomic operand size";
        /// `check_atomic_rmw`
        LeaksToMemory { reg: u8 } EACCES => "R{reg} leaks addr into mem";
        /// `check_atomic_rmw`, `check_atomic_store`
        AtomicStore { reg: u8, ty: Text } EACCES => "BPF_ATOMIC stores into R{reg} {ty} is not allowed";
        /// `check_atomic_load`
        AtomicLoad { reg: u8, ty: Text } EACCES => "BPF_ATOMIC loads from R{reg} {ty} is not allowed";
    }
}
