// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about reserved fields and forms of instructions.

messages! {
    /// Reserved fields and forms of instructions.
    Fields {
        /// `resolve_pseudo_ldimm64`
        Ldx EINVAL => "BPF_LDX uses reserved fields";
    }
}
