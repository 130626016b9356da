// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which members of kernel objects programs may write (`btf_struct_access` of
//! `struct bpf_verifier_ops`).
//!
//! The rules are C functions of the kernel, one for each kind of program that has any; what they
//! name are members, whose places come from the kernel's BTF.

use super::loaded::ObjectPart;
use crate::analysis::maps::UsedBtf;
use crate::design::Design;
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::BtfAccess;
use crate::outcome::{Step, Stop};
use crate::simulate::sim::Sim;
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, TypeId};
use veristable_kernel::ProgType;

/// Whose rules apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writer {
    /// Nobody's: nothing may be written.
    Nobody,
    /// `bpf_tcp_ca_btf_struct_access` of `net/ipv4/bpf_tcp_ca.c`.
    TcpCongestion,
    /// `bpf_scx_btf_struct_access` of `kernel/sched/ext.c`.
    SchedExt,
    /// `bpf_dummy_ops_btf_struct_access` of `net/bpf/bpf_dummy_struct_ops.c`.
    Dummy,
    /// `bpf_qdisc_btf_struct_access` of `net/sched/bpf_qdisc.c`.
    Qdisc,
    /// `tc_cls_act_btf_struct_access` and `xdp_btf_struct_access` of `net/core/filter.c`, which
    /// refuse everything unless the module `nf_conntrack` is loaded.
    Conntrack,
}

/// A member that may be written: the way to it from its structure, and whether an access may begin
/// anywhere in it, not only at its start.
struct Writable {
    structure: &'static str,
    path: &'static [&'static str],
    anywhere: bool,
}

const fn member(structure: &'static str, path: &'static [&'static str]) -> Writable {
    Writable { structure, path, anywhere: false }
}

const fn inside(structure: &'static str, path: &'static [&'static str]) -> Writable {
    Writable { structure, path, anywhere: true }
}

const TCP_SOCK: &[Writable] = &[
    member("sock", &["sk_pacing_rate"]),
    member("sock", &["sk_pacing_status"]),
    inside("inet_connection_sock", &["icsk_ca_priv"]),
    member("inet_connection_sock", &["icsk_ack", "pending"]),
    member("tcp_sock", &["snd_cwnd"]),
    member("tcp_sock", &["snd_cwnd_cnt"]),
    member("tcp_sock", &["snd_cwnd_stamp"]),
    member("tcp_sock", &["snd_ssthresh"]),
    member("tcp_sock", &["ecn_flags"]),
    member("tcp_sock", &["app_limited"]),
];

const TASK: &[Writable] = &[
    inside("task_struct", &["scx", "slice"]),
    inside("task_struct", &["scx", "dsq_vtime"]),
    inside("task_struct", &["scx", "disallow"]),
];

const QDISC: &[Writable] =
    &[member("Qdisc", &["limit"]), member("Qdisc", &["q", "qlen"]), inside("Qdisc", &["qstats"])];

/// Where a member begins and ends in bytes. Unnamed members count as transparent.
fn range_of(btf: &Btf<'_>, writable: &Writable) -> Option<(u32, u32)> {
    let mut id = btf.find_by_name(writable.structure, Kind::Struct)?;
    let mut start = 0u32;
    for name in writable.path {
        let (at, found) = find_member(btf, id, name)?;
        start = start.checked_add(at)?;
        id = found;
    }
    Some((start, start.checked_add(btf.resolve_size(id).ok()?)?))
}

/// How deep unnamed structures are looked into.
const DEPTH: usize = 8;

fn find_member(btf: &Btf<'_>, id: TypeId, name: &str) -> Option<(u32, TypeId)> {
    // The members still to be looked at, of the structure and of each unnamed one around.
    let mut levels = [None; DEPTH];
    let mut depth = 0;
    *levels.get_mut(0)? = Some((0u32, btf.skip_modifiers(id).ok()?.members()));
    loop {
        let level = levels.get_mut(depth)?;
        let Some((base, members)) = level else { return None };
        let Some(member) = members.next() else {
            *level = None;
            depth = depth.checked_sub(1)?;
            continue;
        };
        let at = base.checked_add(member.byte_offset())?;
        if member.name() == name {
            return Some((at, member.type_id));
        }
        if member.name_offset == 0 {
            let inner = btf.skip_modifiers(member.type_id).ok()?.members();
            depth += 1;
            *levels.get_mut(depth)? = Some((at, inner));
        }
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Whether the program may write to a part of an object.
    pub(crate) fn check_object_write(&mut self, part: ObjectPart) -> Step {
        if self.write_was_permitted(part) {
            return Ok(());
        }
        self.find_permission(part)?;
        self.remember_write(part)
    }

    fn find_permission(&mut self, part: ObjectPart) -> Step {
        let writer = self.find_writer()?;
        if writer == Writer::Nobody {
            return self.env.reject(BtfAccess::ReadOnly);
        }
        if part.btf != BtfRef::Kernel {
            // Objects of modules come from variables and kfuncs of modules, which need the BTF of
            // a module; no built-in kernel has any.
            return self.env.unsupported("write to a kernel object", "of a module");
        }
        let name = self.name_of_type(part.btf, part.id)?;
        match writer {
            Writer::Nobody => Ok(()),
            Writer::Conntrack => self.write_conntrack(),
            Writer::SchedExt => self.write_task(part, name),
            Writer::TcpCongestion if name == "tcp_sock" => self.write_member(part, name, TCP_SOCK),
            Writer::Qdisc if name == "Qdisc" => self.write_member(part, name, QDISC),
            Writer::Qdisc if name == "sk_buff" => self.write_queued(part, name),
            Writer::TcpCongestion | Writer::Qdisc => self.env.reject(BtfAccess::ReadOnly),
            Writer::Dummy => self.write_dummy(part, name),
        }
    }

    fn find_writer(&self) -> Step<Writer> {
        if self.env.replaces_struct_ops() {
            return Ok(Writer::Nobody);
        }
        if self.env.prog.rules == ProgType::STRUCT_OPS {
            let name = self.name_of_type(BtfRef::Kernel, self.env.prog.attach_btf_id)?;
            return match name {
                "tcp_congestion_ops" => Ok(Writer::TcpCongestion),
                "sched_ext_ops" => Ok(Writer::SchedExt),
                "bpf_dummy_ops" => Ok(Writer::Dummy),
                "Qdisc_ops" => Ok(Writer::Qdisc),
                // The structures of modules and of drivers that no built-in kernel has.
                other => self.env.unsupported("write to a kernel object", other),
            };
        }
        let rule = self
            .env
            .kernel
            .prog_type(&self.env.context())?
            .and_then(|facts| facts.btf_struct_access);
        match rule {
            None => Ok(Writer::Nobody),
            Some("tc_cls_act_btf_struct_access" | "xdp_btf_struct_access") => Ok(Writer::Conntrack),
            // No other type had such a function up to 6.18.
            Some(other) => self.env.unsupported("write to a kernel object", other),
        }
    }

    fn write_conntrack(&self) -> Step {
        let uses_module = self.env.used_btfs.iter().any(|used| matches!(used, UsedBtf::Module(_)));
        if !uses_module && self.env.kernel.config("CONFIG_NF_CONNTRACK")? == Some("m") {
            return Err(Stop::Rejected(Errno::EACCES));
        }
        // The module is loaded, or part of the kernel: so it is in no built-in kernel.
        self.env.unsupported("write to a kernel object", "with nf_conntrack")
    }

    /// The place of a member that may be written, which every kernel with the rule has.
    fn writable_range(&self, writable: &Writable) -> Step<(u32, u32)> {
        let found = range_of(self.btf(BtfRef::Kernel)?, writable);
        match found {
            Some(range) => Ok(range),
            // BTF that lacks what the kernel's own rule names.
            None => self.env.unsupported("write to a kernel object", writable.structure),
        }
    }

    /// The end of the member at an offset.
    fn writable_end(&self, off: u32, members: &[Writable]) -> Step<Option<u32>> {
        for writable in members {
            let (start, end) = self.writable_range(writable)?;
            if off == start || (writable.anywhere && (start..end).contains(&off)) {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn write_member(&mut self, part: ObjectPart, name: &str, members: &[Writable]) -> Step {
        let end = self.writable_end(part.off.cast_unsigned(), members)?;
        self.write_before(part, name, end)
    }

    /// The write must end before the member does.
    fn write_before(&mut self, part: ObjectPart, name: &str, end: Option<u32>) -> Step {
        let ObjectPart { off, size, .. } = part;
        let Some(end) = end else {
            return self.env.reject(BtfAccess::NoWrite { name: Text::new(name), off });
        };
        if off.cast_unsigned().saturating_add(size) > end {
            let name = Text::new(name);
            return self.env.reject(BtfAccess::WriteBeyond { off, size, name, end });
        }
        Ok(())
    }

    /// Of a packet in a queue: its time stamp and the queue's private part of the control block,
    /// where `QDISC_CB_PRIV_LEN` bytes count.
    fn write_queued(&mut self, part: ObjectPart, name: &str) -> Step {
        const PRIVATE: u32 = 20;
        let off = part.off.cast_unsigned();
        let mut end = self.writable_end(off, &[member("sk_buff", &["tstamp"])])?;
        if end.is_none() {
            let (block, _) = self.writable_range(&member("sk_buff", &["cb"]))?;
            let (data, _) = self.writable_range(&member("qdisc_skb_cb", &["data"]))?;
            let start = block.saturating_add(data);
            let limit = start.saturating_add(PRIVATE);
            end = (start..limit).contains(&off).then_some(limit);
        }
        self.write_before(part, name, end)
    }

    fn write_task(&self, part: ObjectPart, name: &str) -> Step {
        let off = part.off.cast_unsigned();
        if name == "task_struct" {
            for writable in TASK {
                let (start, end) = self.writable_range(writable)?;
                if off >= start && off.saturating_add(part.size) <= end {
                    return Ok(());
                }
            }
        }
        Err(Stop::Rejected(Errno::EACCES))
    }

    fn write_dummy(&mut self, part: ObjectPart, name: &str) -> Step {
        const STATE: &str = "bpf_dummy_ops_state";
        if name != STATE {
            return self.env.reject(BtfAccess::DummyState);
        }
        let (_, end) = self.writable_range(&member(STATE, &[]))?;
        let ObjectPart { off, size, .. } = part;
        if off.cast_unsigned().saturating_add(size) > end {
            return self.env.reject(BtfAccess::DummyBeyond { off, size });
        }
        Ok(())
    }
}
