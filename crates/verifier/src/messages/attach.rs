// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about what the program attaches to.

messages! {
    /// What the program attaches to.
    Attach {
        /// `bpf_check`
        KernelBtfMalformed EINVAL => "in-kernel BTF is malformed";
    }
}
