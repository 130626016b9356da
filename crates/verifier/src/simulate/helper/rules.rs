// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What single helpers ask beyond their prototypes.

use super::Call;
use crate::design::Design;
use crate::env::InsnFlags;
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::simulate::objects::Leaving;
use crate::simulate::sim::{InlineLoop, Sim};
use crate::simulate::subprogram::Callback;
use crate::state::{DynptrKind, Kind};
use crate::trace::Observer;
use veristable_btf::Kind as BtfKind;
use veristable_isa::Reg;
use veristable_kernel::{ArgBase, AttachType, Behaviour, MapType, ProgType, TypeFlags};

macro_rules! funcs {
    ($($name:ident $text:literal),+ $(,)?) => {
        /// A helper with rules of its own.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Func {
            $(#[doc = concat!("`bpf_", $text, "`")] $name,)+
            /// Any other.
            Other,
        }

        impl Func {
            /// By the name without `bpf_`.
            pub(super) fn of(name: &str) -> Self {
                match name { $($text => Self::$name,)+ _ => Self::Other }
            }
        }
    };
}

funcs! {
    MapLookup "map_lookup_elem", MapUpdate "map_update_elem", MapDelete "map_delete_elem",
    MapPush "map_push_elem", MapPop "map_pop_elem", MapPeek "map_peek_elem",
    MapLookupPercpu "map_lookup_percpu_elem", ForEachMapElem "for_each_map_elem",
    TailCall "tail_call", RedirectMap "redirect_map",
    PerfEventRead "perf_event_read", PerfEventOutput "perf_event_output",
    PerfEventReadValue "perf_event_read_value", SkbOutput "skb_output", XdpOutput "xdp_output",
    RingbufOutput "ringbuf_output", RingbufReserve "ringbuf_reserve",
    RingbufQuery "ringbuf_query", RingbufReserveDynptr "ringbuf_reserve_dynptr",
    RingbufSubmitDynptr "ringbuf_submit_dynptr", RingbufDiscardDynptr "ringbuf_discard_dynptr",
    UserRingbufDrain "user_ringbuf_drain", GetStackid "get_stackid", GetStack "get_stack",
    GetTaskStack "get_task_stack", SkbUnderCgroup "skb_under_cgroup",
    CurrentTaskUnderCgroup "current_task_under_cgroup", GetLocalStorage "get_local_storage",
    SkRedirectMap "sk_redirect_map", SkRedirectHash "sk_redirect_hash",
    SockMapUpdate "sock_map_update", SockHashUpdate "sock_hash_update",
    MsgRedirectMap "msg_redirect_map", MsgRedirectHash "msg_redirect_hash",
    SkSelectReuseport "sk_select_reuseport",
    SkStorageGet "sk_storage_get", SkStorageDelete "sk_storage_delete",
    InodeStorageGet "inode_storage_get", InodeStorageDelete "inode_storage_delete",
    TaskStorageGet "task_storage_get", TaskStorageDelete "task_storage_delete",
    CgrpStorageGet "cgrp_storage_get", CgrpStorageDelete "cgrp_storage_delete",
    KptrXchg "kptr_xchg", SkRelease "sk_release", SkLookupTcp "sk_lookup_tcp",
    SkLookupUdp "sk_lookup_udp", SkcLookupTcp "skc_lookup_tcp", TcpSock "tcp_sock",
    SkFullsock "sk_fullsock", SkcToTcpSock "skc_to_tcp_sock", SkcToTcp6Sock "skc_to_tcp6_sock",
    SkcToUdp6Sock "skc_to_udp6_sock", SkcToMptcpSock "skc_to_mptcp_sock",
    SkcToTcpTimewaitSock "skc_to_tcp_timewait_sock",
    SkcToTcpRequestSock "skc_to_tcp_request_sock",
    SpinLock "spin_lock", SpinUnlock "spin_unlock",
    TimerSetCallback "timer_set_callback", FindVma "find_vma", Loop "loop",
    Snprintf "snprintf", DynptrFromMem "dynptr_from_mem", DynptrData "dynptr_data",
    DynptrWrite "dynptr_write", SetRetval "set_retval", PerCpuPtr "per_cpu_ptr",
    ThisCpuPtr "this_cpu_ptr", ProbeReadStr "probe_read_str",
    ProbeReadKernelStr "probe_read_kernel_str", ProbeReadUserStr "probe_read_user_str",
    GetSmpProcessorId "get_smp_processor_id", GetFuncIp "get_func_ip",
}

impl Func {
    /// Gives a pointer that must be given back (`is_acquire_function`).
    pub(super) fn acquires(self, map: Option<MapType>) -> bool {
        match self {
            Self::SkLookupTcp
            | Self::SkLookupUdp
            | Self::SkcLookupTcp
            | Self::RingbufReserve
            | Self::KptrXchg => true,
            Self::MapLookup => matches!(map, Some(MapType::SOCKMAP | MapType::SOCKHASH)),
            _ => false,
        }
    }

    /// Gives its argument back as another type (`is_ptr_cast_function`).
    pub(super) const fn casts(self) -> bool {
        matches!(
            self,
            Self::TcpSock
                | Self::SkFullsock
                | Self::SkcToTcpSock
                | Self::SkcToTcp6Sock
                | Self::SkcToUdp6Sock
                | Self::SkcToMptcpSock
                | Self::SkcToTcpTimewaitSock
                | Self::SkcToTcpRequestSock
        )
    }

    /// Its map is remembered at the instruction (`record_func_map`).
    pub(super) const fn records_map(self) -> bool {
        matches!(
            self,
            Self::TailCall
                | Self::MapLookup
                | Self::MapUpdate
                | Self::MapDelete
                | Self::MapPush
                | Self::MapPop
                | Self::MapPeek
                | Self::ForEachMapElem
                | Self::RedirectMap
                | Self::MapLookupPercpu
        )
    }

    /// Changes the map (`record_func_map`).
    pub(super) const fn changes_map(self) -> bool {
        matches!(self, Self::MapDelete | Self::MapUpdate | Self::MapPush | Self::MapPop)
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The rules of single helpers, while the arguments are still in their registers.
    pub(super) fn apply_rules(&mut self, call: &mut Call<'_>) -> Step {
        match call.proto.func {
            Func::TailCall => self.check_resource_leak(Leaving::TailCall, true),
            Func::GetLocalStorage if !self.reg(Reg::R2)?.is_null() => {
                self.env.reject(Message::StorageFlags)
            }
            Func::GetLocalStorage if self.env.has(Behaviour::PreciseNulls) => {
                self.mark_precise(Reg::R2)
            }
            Func::ForEachMapElem => match call.map {
                Some((map, _)) => self.push_call_back(call, Callback::MapElement { map }),
                None => self.bug(format_args!("expected map for helper call")),
            },
            Func::TimerSetCallback => self.push_call_back(call, Callback::Timer),
            Func::FindVma => self.push_call_back(call, Callback::FindVma),
            Func::UserRingbufDrain => self.push_call_back(call, Callback::UserRingbuf),
            Func::Loop => {
                self.note_loop(call)?;
                self.push_call_back(call, Callback::Loop)
            }
            Func::Snprintf => self.check_snprintf(),
            Func::DynptrFromMem => {
                let reg = self.reg(Reg::R1)?;
                if matches!(reg.kind, Kind::MapValue { .. }) && reg.flags.is_empty() {
                    return Ok(());
                }
                let ty = crate::log::state::TypeName::of(reg).text();
                self.env.reject(Message::DynptrMemory { ty })
            }
            Func::SetRetval => self.check_set_retval(),
            Func::DynptrData => {
                let at = self.dynptr_argument(call)?;
                (call.dynptr_id, call.ref_id) = (at.id, at.ref_id);
                Ok(())
            }
            Func::DynptrWrite => {
                let at = self.dynptr_argument(call)?;
                if matches!(at.kind, DynptrKind::Skb | DynptrKind::SkbMeta) {
                    call.changes_packet = true;
                }
                Ok(())
            }
            Func::PerCpuPtr | Func::ThisCpuPtr => self.check_percpu_object(call),
            _ => Ok(()),
        }
    }

    fn push_call_back(&mut self, call: &Call<'_>, callback: Callback) -> Step {
        match call.subprog {
            Some(subprog) => self.push_callback(subprog, callback),
            // `check_type` lets only functions pass, and `check_by_kind` notes them.
            None => self.env.unsupported("callback", "that is not known"),
        }
    }

    /// Whether the loop is replaced by instructions after acceptance: it is if every visit has
    /// the same callback and flags of 0 (`update_loop_inline_state`).
    fn note_loop(&mut self, call: &Call<'_>) -> Step {
        let before = self.call_memo()?.inline_loop;
        if before == InlineLoop::No {
            return Ok(());
        }
        let flags_are_zero = self.reg(Reg::R4)?.is_null();
        if flags_are_zero {
            self.mark_precise(Reg::R4)?;
        }
        let now = match call.subprog {
            Some(subprog) if flags_are_zero => InlineLoop::Fits(subprog),
            _ => InlineLoop::No,
        };
        let fits = now != InlineLoop::No && (before == InlineLoop::New || before == now);
        self.call_memo()?.inline_loop = if fits { now } else { InlineLoop::No };
        let insn = self.insn;
        let flags = &mut self.env.code.aux_mut(insn)?.flags;
        flags.set(InsnFlags::INLINE_LOOP, fits);
        Ok(())
    }

    /// Programs for void hooks have no value to set.
    fn check_set_retval(&mut self) -> Step {
        let prog = &self.env.prog;
        if prog.rules != ProgType::LSM || prog.attach_type != AttachType::LSM_CGROUP {
            return Ok(());
        }
        match self.target_returns() {
            Some(id) if id.is_void() => self.env.reject(Message::VoidHook),
            _ => Ok(()),
        }
    }

    /// The dynptr among the arguments (`get_dynptr_arg_reg`).
    fn dynptr_argument(&mut self, call: &Call<'_>) -> Step<crate::simulate::objects::DynptrAt> {
        let mut registers = (1u8..).zip(&call.proto.params);
        match registers.find(|(_, param)| param.ty.base == ArgBase::Dynptr) {
            Some((reg, _)) => self.dynptr_at(Reg::new(reg)),
            None => self.bug(format_args!("no dynptr arg found")),
        }
    }

    /// `bpf_per_cpu_ptr` of an object that a program allocated for each CPU gives one that is
    /// protected by RCU.
    fn check_percpu_object(&mut self, call: &mut Call<'_>) -> Step {
        let reg = self.copy_of(Reg::R1)?;
        if !reg.flags.contains(TypeFlags::MEM_RCU) {
            return Ok(());
        }
        let Kind::BtfId { btf, id } = reg.kind else {
            return self.env.reject(Message::NotAStructure);
        };
        let ty = self.btf(btf)?.type_by_id(id).ok().map(|ty| ty.kind());
        if !matches!(ty, Some(BtfKind::Struct | BtfKind::Union)) {
            return self.env.reject(Message::NotAStructure);
        }
        call.percpu_object = true;
        Ok(())
    }

    /// `check_get_func_ip`
    pub(super) fn check_func_ip(&mut self, call: &Call<'_>) -> Step {
        let func = call.proto.label();
        let prog = &self.env.prog;
        match prog.rules {
            ProgType::KPROBE => Ok(()),
            ProgType::TRACING => {
                let trampoline =
                    [AttachType::TRACE_FENTRY, AttachType::TRACE_FEXIT, AttachType::MODIFY_RETURN];
                if trampoline.contains(&prog.attach_type) {
                    return Ok(());
                }
                self.env.reject(Message::FuncIpAttach { func })
            }
            ProgType(prog_type) => self.env.reject(Message::FuncIpType { func, prog_type }),
        }
    }
}
