// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Names and their flavours.

/// The part of a name that counts: without a flavour, which is what follows the last `___` that
/// has no further underscore at either side (`bpf_core_essential_name_len` of
/// tools/lib/bpf/libbpf.c).
///
/// ```
/// use veristable_btf::relo::essential_name;
///
/// assert_eq!(essential_name(b"task_struct___old"), b"task_struct");
/// assert_eq!(essential_name(b"a___b___c"), b"a___b");
/// assert_eq!(essential_name(b"___x"), b"___x");
/// ```
pub fn essential_name(name: &[u8]) -> &[u8] {
    let is_separator = |five: &[u8]| match five {
        [before, middle @ .., after] => *before != b'_' && middle == b"___" && *after != b'_',
        _ => false,
    };
    match name.windows(5).rposition(is_separator) {
        Some(at) => name.get(..at.saturating_add(1)).unwrap_or(name),
        None => name,
    }
}

/// Whether two names are the same but for flavours; no name matches only no name
/// (`bpf_core_names_match`).
pub(super) fn match_names(local: &[u8], target: &[u8]) -> bool {
    if target.is_empty() {
        return local.is_empty();
    }
    essential_name(local) == essential_name(target)
}

/// How libbpf prints a name.
pub(super) const fn or_anonymous(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"<anon>" } else { name }
}
