// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A small kernel for the examples: just the types that they ask for, at places of their own.

use crate::common::LinkKernel;
use std::collections::HashMap;
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, Kind, Linkage, TypeId};
use veristable_kernel::{Behaviours, KernelId};

/// The kernel.
pub(crate) fn kernel() -> LinkKernel {
    let mut btf = Btf::open(types()).expect("the writer's BTF is sound");
    btf.build_name_index();
    let config = [("CONFIG_HZ", "250"), ("CONFIG_KPROBE_EVENTS", "y")];
    LinkKernel {
        id: KernelId {
            name: "test".into(),
            release: "6.18.15-test".into(),
            arch: "amd64".into(),
            version_code: 6 << 16 | 18 << 8 | 15,
        },
        btf: Some(btf),
        modules: HashMap::new(),
        config: config.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        symbols: HashMap::new(),
        behaviours: Behaviours::default(),
    }
}

fn types() -> Vec<u8> {
    let mut w = Writer::new();
    let int = w.add_int("int", 4, 1);
    let u32 = w.add_int("unsigned int", 4, 0);
    let char = w.add_int("char", 1, 1);
    let chars = w.add_ptr(char);
    let task = TypeId(w.next_id().0 + 1);
    let task_ptr = w.add_ptr(task);
    w.add_struct(
        "task_struct",
        96,
        &[
            NewMember::at("pid", int, 40),
            NewMember::at("tgid", int, 44),
            NewMember::at("real_parent", task_ptr, 72),
        ],
    );
    w.add_struct("linux_binprm", 64, &[NewMember::at("filename", chars, 56)]);
    let file = w.add_struct("file", 16, &[]);
    let file_ptr = w.add_ptr(file);
    let seq = w.add_struct("seq_file", 16, &[]);
    let seq_ptr = w.add_ptr(seq);
    let meta = w.add_struct("bpf_iter_meta", 16, &[NewMember::at("seq", seq_ptr, 8)]);
    let meta_ptr = w.add_ptr(meta);
    w.add_struct(
        "bpf_iter__task",
        16,
        &[NewMember::at("meta", meta_ptr, 0), NewMember::at("task", task_ptr, 8)],
    );
    let get = w.add_func_proto(task_ptr, &[("pid", int)]);
    w.add_func("bpf_task_from_pid", get, Linkage::Static);
    let put = w.add_func_proto(TypeId::VOID, &[("p", task_ptr)]);
    w.add_func("bpf_task_release", put, Linkage::Static);
    let proto = w.add_func_proto(int, &[("f", file_ptr)]);
    for name in ["bprm_execve", "bpf_lsm_file_open", "bpf_iter_task"] {
        w.add_func(name, proto, Linkage::Static);
    }
    for name in ["btf_trace_sched_process_exec", "btf_trace_sched_switch"] {
        w.add_reference(Kind::Typedef, name, task_ptr);
    }
    add_struct_ops(&mut w, u32, char, int);
    w.finish()
}

/// `struct tcp_congestion_ops`, with its members in another order than in the example.
fn add_struct_ops(w: &mut Writer, u32: TypeId, char: TypeId, int: TypeId) {
    let sock = w.add_struct("sock", 8, &[]);
    let sock_ptr = w.add_ptr(sock);
    let ssthresh = w.add_func_proto(u32, &[("sk", sock_ptr)]);
    let ssthresh_ptr = w.add_ptr(ssthresh);
    let avoid = w.add_func_proto(TypeId::VOID, &[("sk", sock_ptr), ("ack", u32), ("acked", u32)]);
    let avoid_ptr = w.add_ptr(avoid);
    let name = w.add_array(char, int, 16);
    let ops = w.add_struct(
        "tcp_congestion_ops",
        48,
        &[
            NewMember::at("name", name, 8),
            NewMember::at("undo_cwnd", ssthresh_ptr, 24),
            NewMember::at("cong_avoid", avoid_ptr, 32),
            NewMember::at("ssthresh", ssthresh_ptr, 40),
        ],
    );
    w.add_struct(
        "bpf_struct_ops_tcp_congestion_ops",
        112,
        &[NewMember::at("common", int, 0), NewMember::at("data", ops, 64)],
    );
}
