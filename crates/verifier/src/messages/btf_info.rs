// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about BTF function and line info and CO-RE records.

messages! {
    /// BTF function and line info, CO-RE records.
    BtfInfo {
        /// `check_btf_func_early`
        FirstOffsetNotZero { offset: u32 } EINVAL => "nonzero insn_off {offset} for the first func info record";
    }
}
