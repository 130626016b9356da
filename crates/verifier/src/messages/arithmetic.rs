// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about arithmetic on numbers and pointers.

use crate::mem::Text;

messages! {
    /// Arithmetic on numbers and pointers.
    Arithmetic {
        /// `check_alu_op`
        DivByZero EINVAL => "div by zero";
        /// `check_alu_op`
        InvalidShift { by: i32 } EINVAL => "invalid shift {by}";
        /// `check_alu_op`
        Prohibited { reg: u8 } EACCES => "R{reg} pointer arithmetic prohibited";
        /// `check_alu_op`
        SignExtension { reg: u8 } EACCES => "R{reg} sign-extension part of pointer";
        /// `check_alu_op`
        PartialCopy { reg: u8 } EACCES => "R{reg} partial copy of pointer";
        /// `adjust_reg_min_max_vals`
        TwoPointers { reg: u8, op: &'static str } EACCES => "R{reg} pointer {op} pointer prohibited";
        /// `adjust_ptr_min_max_vals`
        Pointer32 { reg: u8 } EACCES => "R{reg} 32-bit pointer arithmetic prohibited";
        /// `adjust_ptr_min_max_vals`
        NullCheckFirst { reg: u8, ty: Text } EACCES => "R{reg} pointer arithmetic on {ty} prohibited, null-check it first";
        /// `adjust_ptr_min_max_vals`
        ProhibitedOn { reg: u8, ty: Text } EACCES => "R{reg} pointer arithmetic on {ty} prohibited";
        /// `adjust_ptr_min_max_vals`
        PointerFromScalar { reg: u8 } EACCES => "R{reg} tried to subtract pointer from scalar";
        /// `adjust_ptr_min_max_vals`
        FromStackPointer { reg: u8 } EACCES => "R{reg} subtraction from stack pointer prohibited";
        /// `adjust_ptr_min_max_vals`
        Bitwise { reg: u8, op: &'static str } EACCES => "R{reg} bitwise operator {op} on pointer prohibited";
        /// `adjust_ptr_min_max_vals`
        Operator { reg: u8, op: &'static str } EACCES => "R{reg} pointer arithmetic with {op} operator prohibited";
        /// `check_reg_sane_offset`
        KnownOffset { ty: Text, value: i64 } EINVAL => "math between {ty} pointer and {value} is not allowed";
        /// `check_reg_sane_offset`
        PointerOffset { ty: Text, off: i32 } EINVAL => "{ty} pointer offset {off} is not allowed";
        /// `check_reg_sane_offset`
        UnboundedMin { ty: Text } EINVAL => "math between {ty} pointer and register with unbounded min value is not allowed";
        /// `check_reg_sane_offset`
        OutOfBounds { value: i64, ty: Text } EINVAL => "value {value} makes {ty} pointer be out of bounds";
        /// `sanitize_err`
        MixedBounds { reg: u8 } EACCES => "R{reg} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root";
        /// `sanitize_err`
        UnsupportedPointer { reg: u8 } EACCES => "R{reg} has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root";
        /// `sanitize_err`
        DifferentPaths { reg: u8, op: &'static str } EACCES => "R{reg} tried to {op} from different maps, paths or scalars, pointer arithmetic with it prohibited for !root";
        /// `sanitize_err`
        BeyondBounds { reg: u8, op: &'static str } EACCES => "R{reg} tried to {op} beyond pointer bounds, pointer arithmetic with it prohibited for !root";
        /// `sanitize_err`
        NotPushed { reg: u8 } ENOMEM => "R{reg} could not be pushed for speculative verification, pointer arithmetic with it prohibited for !root";
        /// `check_stack_access_for_ptr_arithmetic`
        VariableStack { reg: u8, var_off: Text, off: i32 } EACCES => "R{reg} variable stack access prohibited for !root, var_off={var_off} off={off}";
        /// `check_stack_access_for_ptr_arithmetic`
        StackRange { reg: u8, off: i32 } EACCES => "R{reg} stack pointer arithmetic goes out of range, prohibited for !root; off={off}";
        /// `sanitize_check_bounds`
        ValueRange { reg: u8 } EACCES => "R{reg} pointer arithmetic of map value goes out of range, prohibited for !root";
    }
}
