// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which programs of the selftests attach to functions of which others. The programs do not say so:
//! `tools/testing/selftests/bpf/prog_tests` sets it before it loads them. Of the targets that a
//! program is tried with there, one stands here.

/// A program that another attaches to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The object, without `.bpf.o`.
    pub object: &'static str,
    /// The program in it.
    pub program: &'static str,
    /// The function; without it the one that the section of the attaching program names.
    pub func: Option<&'static str>,
}

/// A row: object and program (`*` for all), the target's object and program, the function.
type Row = (&'static str, &'static str, &'static str, &'static str, Option<&'static str>);

const ROWS: &[Row] = &[
    // fexit_bpf2bpf.c
    ("fexit_bpf2bpf", "*", "test_pkt_access", "test_pkt_access", None),
    ("fexit_bpf2bpf_simple", "*", "test_pkt_md_access", "test_pkt_md_access", None),
    ("freplace_connect4", "*", "connect4_prog", "connect_v4_prog", None),
    ("freplace_connect_v4_prog", "*", "connect4_prog", "connect_v4_prog", None),
    ("freplace_get_constant", "*", "test_pkt_access", "test_pkt_access", None),
    ("fmod_ret_freplace", "*", "freplace_get_constant", "security_new_get_constant", None),
    ("freplace_cls_redirect", "*", "test_cls_redirect", "cls_redirect", None),
    ("freplace_global_func", "*", "test_pkt_access", "test_pkt_access", None),
    (
        "freplace_unreliable_prog",
        "*",
        "verifier_btf_unreliable_prog",
        "btf_unreliable_kprobe",
        None,
    ),
    (
        "freplace_progmap",
        "xdp_cpumap_prog",
        "freplace_progmap",
        "xdp_drop_prog",
        Some("xdp_drop_prog"),
    ),
    // global_func_dead_code.c
    (
        "freplace_dead_global_func",
        "*",
        "verifier_global_subprogs",
        "chained_global_func_calls_success",
        Some("global_dead"),
    ),
    // trace_ext.c
    ("test_trace_ext", "*", "test_pkt_md_access", "test_pkt_md_access", None),
    ("test_trace_ext_tracing", "*", "test_trace_ext", "test_pkt_md_access_new", None),
    // xdp_bpf2bpf.c
    ("test_xdp_bpf2bpf", "*", "test_xdp", "_xdp_tx_iptunnel", Some("_xdp_tx_iptunnel")),
    // recursive_attach.c
    ("fentry_recursive", "*", "fentry_recursive_target", "fentry_target", Some("fentry_target")),
    // tailcalls.c
    ("tailcall_freplace", "*", "tc_bpf2bpf", "entry_tc", Some("subprog_tc")),
    // token.c
    ("priv_freplace_prog", "*", "priv_prog", "xdp_prog1", None),
    // summarization.c
    (
        "summarization_freplace",
        "changes_pkt_data",
        "summarization",
        "main_changes_with_subprogs",
        Some("does_not_change_pkt_data"),
    ),
    (
        "summarization_freplace",
        "does_not_change_pkt_data",
        "summarization",
        "main_changes_with_subprogs",
        Some("changes_pkt_data"),
    ),
    (
        "summarization_freplace",
        "might_sleep",
        "summarization",
        "main_might_sleep_with_subprogs",
        Some("does_not_sleep"),
    ),
    (
        "summarization_freplace",
        "does_not_sleep",
        "summarization",
        "main_might_sleep_with_subprogs",
        Some("might_sleep"),
    ),
    // exceptions.c
    ("exceptions_ext", "pfentry", "exceptions", "exception_throw_subprog", Some("subprog")),
    (
        "exceptions_ext",
        "throwing_fentry",
        "exceptions",
        "exception_throw_subprog",
        Some("throwing_subprog"),
    ),
    ("exceptions_ext", "pfexit", "exceptions", "exception_throw_subprog", Some("subprog")),
    (
        "exceptions_ext",
        "throwing_fexit",
        "exceptions",
        "exception_throw_subprog",
        Some("throwing_subprog"),
    ),
    (
        "exceptions_ext",
        "pfmod_ret",
        "exceptions",
        "exception_throw_subprog",
        Some("global_subprog"),
    ),
    (
        "exceptions_ext",
        "extension",
        "exceptions",
        "exception_throw_subprog",
        Some("throwing_global_subprog"),
    ),
    (
        "exceptions_ext",
        "throwing_extension",
        "exceptions",
        "exception_throw_subprog",
        Some("global_subprog"),
    ),
    (
        "exceptions_ext",
        "throwing_exception_cb_extension",
        "exceptions",
        "exception_ext_mod_cb_runtime",
        Some("exception_cb_mod"),
    ),
];

/// The target of a program; `object` without `.bpf.o`.
#[must_use]
pub fn of(object: &str, program: &str) -> Option<Target> {
    let mut rows = ROWS.iter();
    let is_for = |row: &&Row| row.0 == object && (row.1 == "*" || row.1 == program);
    let &(_, _, object, program, func) = rows.find(is_for)?;
    Some(Target { object, program, func })
}
