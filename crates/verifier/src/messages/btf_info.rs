// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about BTF function and line info.

messages! {
    /// BTF function and line info.
    BtfInfo {
        /// `check_abnormal_return`
        LdAbsWithoutBtf EINVAL => "LD_ABS is not allowed in subprogs without BTF";
        /// `check_abnormal_return`
        TailCallWithoutBtf EINVAL => "tail_call is not allowed in subprogs without BTF";
        /// `check_btf_func_early`
        FuncRecordSize { size: u32 } EINVAL => "invalid func info rec size {size}";
        /// `check_btf_func_early`
        FuncTail E2BIG => bare "nonzero tailing record in func info";
        /// `check_btf_func_early`
        FirstFuncOffset { offset: u32 } EINVAL => bare "nonzero insn_off {offset} for the first func info record";
        /// `check_btf_func_early`
        FuncOrder { offset: u32, previous: u32 } EINVAL => bare "same or smaller insn offset ({offset}) than previous func info record ({previous})";
        /// `check_btf_func_early`
        FuncType { type_id: i32 } EINVAL => bare "invalid type id {type_id} in func info";
        /// `check_btf_func`
        FuncCount EINVAL => "number of funcs in func_info doesn't match number of subprogs";
        /// `check_btf_func`
        FuncLayout EINVAL => "func_info BTF section doesn't match subprog layout in BPF program";
        /// `check_btf_func`
        LdAbsNotInt EINVAL => "LD_ABS is only allowed in functions that return 'int'.";
        /// `check_btf_func`
        TailCallNotInt EINVAL => "tail_call is only allowed in functions that return 'int'.";
        /// `check_btf_line`
        LineTail E2BIG => bare "nonzero tailing record in line_info";
        /// `check_btf_line`
        LineOffset { index: u32, offset: u32, previous: u32, len: u32 } EINVAL => "Invalid line_info[{index}].insn_off:{offset} (prev_offset:{previous} prog->len:{len})";
        /// `check_btf_line`
        LineInsn { index: u32 } EINVAL => "Invalid insn code at line_info[{index}].insn_off";
        /// `check_btf_line`
        LineName { index: u32 } EINVAL => "Invalid line_info[{index}].line_off or .file_name_off";
        /// `check_btf_line`
        LineMissing { func: u32 } EINVAL => "missing bpf_line_info for func#{func}";
        /// `check_btf_line`
        LinesMissing { count: u32, func: u32 } EINVAL => "missing bpf_line_info for {count} funcs starting from func#{func}";
    }
}
