// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What is known of a helper before it is called: its prototype, asked of the kernel once per
//! verification and helper.

use super::rules::Func;
use crate::design::Design;
use crate::mem::{List, Text};
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_btf::{Kind, TypeId};
use veristable_kernel::{
    Allowed, ArgBase, ArgType, AttachType, CompatibleRegisters, Helper, HelperAnswer, HelperBtf,
    HelperId, Kernel, ProgType, RegType, RetType, TypeFlags, TypeRef,
};

/// The kernel's type that an argument or a result points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KernelType<'a> {
    /// None.
    None,
    /// This type of the kernel's BTF.
    Id(TypeId),
    /// It depends on the other arguments (`BPF_PTR_POISON`).
    FromArguments,
    /// It is held by a variable of this name.
    Runtime(&'a str),
}

/// What an argument takes (`struct bpf_reg_types`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registers<'a> {
    /// Register types, in the order in which the kernel lists them.
    pub(super) types: &'a [RegType],
    /// What a pointer to a kernel object must point to unless the prototype says it.
    pub(super) btf: KernelType<'a>,
}

/// One argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Param<'a> {
    /// Its type.
    pub(super) ty: ArgType,
    /// Kernel type.
    pub(super) btf: KernelType<'a>,
    /// Bytes behind it, for `MEM_FIXED_SIZE`.
    pub(super) size: u32,
    /// What registers it takes; `None` for numbers of any kind.
    pub(super) takes: Option<Registers<'a>>,
    /// The same for sockets in place of a map's value (`resolve_map_arg_type`).
    pub(super) takes_socket: Option<Registers<'a>>,
}

impl Param<'_> {
    /// Whether the argument has a modifier.
    pub(super) const fn has(&self, flag: TypeFlags) -> bool {
        self.ty.flags.contains(flag)
    }
}

/// A helper that the program may call, but for its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proto<'a> {
    /// Its number.
    pub(super) id: u32,
    /// Its name without `bpf_`.
    pub(super) name: &'a str,
    /// Which it is, if it has rules of its own.
    pub(super) func: Func,
    /// Arguments may point into the packet.
    pub(super) pkt_access: bool,
    /// May sleep.
    pub(super) might_sleep: bool,
    /// Packet pointers are no longer valid afterwards.
    pub(super) changes_packet: bool,
    /// The return type.
    pub(super) ret: RetType,
    /// The kernel's type of the result.
    pub(super) ret_btf: KernelType<'a>,
    /// The arguments.
    pub(super) params: [Param<'a>; 5],
}

impl Proto<'_> {
    /// Name and number as messages have them.
    pub(super) fn label(&self) -> Text {
        label(Some(self.name), self.id.cast_signed())
    }
}

/// `func_id_name` with the number.
fn label(name: Option<&str>, id: i32) -> Text {
    match name {
        Some(name) => Text::format(format_args!("bpf_{name}#{id}")),
        None => Text::format(format_args!("unknown#{id}")),
    }
}

/// The helpers that the program calls, each asked for once.
#[derive(Default)]
pub(crate) struct Helpers<'a> {
    list: List<Proto<'a>>,
}

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    /// The helper that the current instruction calls; a copy, since it is small. Refuses what no
    /// program like this one may call.
    pub(super) fn helper(&mut self, number: i32) -> Step<Proto<'a>> {
        if let Some(at) = self.call_memo()?.helper {
            return Ok(*self.helpers.list.at(usize::from(at))?);
        }
        let known = u32::try_from(number).ok();
        let known = self.helpers.list.iter().position(|proto| Some(proto.id) == known);
        let at = match known {
            Some(at) => at,
            None => {
                let proto = self.resolve_helper(number)?;
                self.helpers.list.push(&self.env.budget, proto)?;
                self.helpers.list.len() - 1
            }
        };
        self.call_memo()?.helper = u16::try_from(at).ok();
        Ok(*self.helpers.list.at(at)?)
    }

    fn resolve_helper(&mut self, number: i32) -> Step<Proto<'a>> {
        let kernel = self.env.kernel;
        let id = u32::try_from(number).ok();
        let name = id.and_then(|id| kernel.helper_name(HelperId(id)));
        let func = || label(name, number);
        let (Some(id), Some(name)) = (id, name) else {
            return self.env.reject(Message::NoSuchHelper { func: func() });
        };
        if crate::analysis::offer::is_withheld(self.env, name) {
            return self.env.reject(Message::NotForProgram { func: func() });
        }
        let context = self.env.context();
        let helper = match crate::analysis::calls::ask(self.env, HelperId(id), &context)? {
            HelperAnswer::NoSuchHelper => {
                return self.env.reject(Message::NoSuchHelper { func: func() });
            }
            HelperAnswer::NotForProgram => {
                return self.env.reject(Message::NotForProgram { func: func() });
            }
            HelperAnswer::Available(helper) => helper,
        };
        if !crate::analysis::offer::is_offered(self.env, HelperId(id), &context)? {
            return self.env.reject(Message::NotForProgram { func: func() });
        }
        if helper.gpl_only && !self.env.prog.gpl_compatible {
            return self.env.reject(Message::GplOnly);
        }
        let by_iterator = (self.env.prog.rules, self.env.prog.attach_type)
            == (ProgType::TRACING, AttachType::TRACE_ITER);
        match &helper.allowed {
            // `bpf_d_path_allowed` asks for programs that are iterators themselves.
            Allowed::Yes if name == "d_path" && by_iterator && self.env.replaces() => {
                return self.env.reject(Message::NotAllowed);
            }
            Allowed::Yes => {}
            Allowed::No => return self.env.reject(Message::NotAllowed),
            Allowed::Unknown(fact) => return Err(fact.clone().into()),
        }
        let changes_packet = crate::analysis::calls::changes_pkt_data(self.env, number);
        self.proto_of(id, name, &helper, changes_packet)
    }

    fn proto_of(
        &mut self,
        id: u32,
        name: &'a str,
        helper: &Helper<'a>,
        changes_packet: bool,
    ) -> Step<Proto<'a>> {
        let mut params = [Param {
            ty: ArgType { base: ArgBase::DontCare, flags: TypeFlags::empty() },
            btf: KernelType::None,
            size: 0,
            takes: None,
            takes_socket: None,
        }; 5];
        for (param, arg) in params.iter_mut().zip(&helper.args) {
            param.ty = arg.ty;
            param.btf = self.helper_type(arg.btf)?;
            param.size = arg.size;
            if !matches!(arg.ty.base, ArgBase::DontCare | ArgBase::Anything) {
                param.takes = Some(self.registers(arg.ty.base)?);
            }
            if arg.ty.base == ArgBase::MapValue {
                param.takes_socket = Some(self.registers(ArgBase::BtfIdSockCommon)?);
            }
        }
        Ok(Proto {
            id,
            name,
            func: Func::of(name),
            pkt_access: helper.pkt_access,
            might_sleep: helper.might_sleep,
            changes_packet,
            ret: helper.ret,
            ret_btf: self.helper_type(helper.ret_btf)?,
            params,
        })
    }

    fn registers(&self, base: ArgBase) -> Step<Registers<'a>> {
        let found = self.env.kernel.compatible_registers(base)?;
        let Some(CompatibleRegisters { types, btf }) = found else {
            // Facts of another kernel: the built-in ones have a row for each kind of argument.
            return self.env.unsupported("argument type", base.kernel_name());
        };
        let btf = match btf {
            Some(ty) => KernelType::Id(self.named_type(ty)?),
            None => KernelType::None,
        };
        Ok(Registers { types, btf })
    }

    fn helper_type(&self, btf: HelperBtf<'a>) -> Step<KernelType<'a>> {
        Ok(match btf {
            HelperBtf::None => KernelType::None,
            HelperBtf::Type(ty) => KernelType::Id(self.named_type(ty)?),
            HelperBtf::FromArguments => KernelType::FromArguments,
            HelperBtf::Runtime(name) => match self.type_in_variable(name)? {
                Some(id) => KernelType::Id(id),
                None => KernelType::Runtime(name),
            },
        })
    }

    /// The type that the kernel looks up by its name when it boots (`bpf_tcp_ca_init` of
    /// `net/ipv4/bpf_tcp_ca.c`).
    fn type_in_variable(&self, variable: &str) -> Step<Option<TypeId>> {
        let name = match variable {
            "tcp_sock_id" => "tcp_sock",
            "sock_id" => "sock",
            _ => return Ok(None),
        };
        let kernel: &'a dyn Kernel = self.env.kernel;
        Ok(kernel.btf(None)?.and_then(|btf| btf.find_by_name(name, Kind::Struct)))
    }

    fn named_type(&self, ty: TypeRef<'_>) -> Step<TypeId> {
        if let Some(id) = ty.id {
            return Ok(TypeId(id));
        }
        let kernel: &'a dyn Kernel = self.env.kernel;
        let found = kernel.btf(None)?.and_then(|btf| btf.find_by_name(ty.name, ty.kind.into()));
        match found {
            Some(id) => Ok(id),
            // Facts of another kernel than the BTF.
            None => self.env.unsupported("kernel type", ty.name),
        }
    }

    /// The kernel's type, which must be known.
    pub(super) fn known_type(&self, ty: KernelType<'_>) -> Step<Option<TypeId>> {
        match ty {
            KernelType::Id(id) => Ok(Some(id)),
            KernelType::None | KernelType::FromArguments => Ok(None),
            KernelType::Runtime(name) => {
                // No prototype of 6.12 or 6.18 has another variable than those two.
                self.env.unsupported("type in a variable of the kernel", name)
            }
        }
    }
}
