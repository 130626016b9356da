// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Contexts that are the arguments of a function of the kernel or of another program
//! (`btf_ctx_access` of `kernel/bpf/btf.c`).

use super::iterators::{Nullable, nullable_arguments};
use super::walk::name_or_anonymous;
use crate::analysis::attach::reference_arguments;
use crate::analysis::prog_context;
use crate::design::Design;
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::BtfAccess;
use crate::outcome::{Step, Stop};
use crate::simulate::memory::CtxLoad;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind as Holds};
use crate::target::TargetProgram;
use crate::trace::Observer;
use veristable_btf::{Btf, FuncProto, Kind, Type, TypeId};
use veristable_kernel::{
    AttachType, Behaviour, CtxAccess, Direction, ProgType, RegBase, TypeFlags, TypedArg,
};

/// Arguments that a tracing program sees at most (`MAX_BPF_FUNC_ARGS`).
const MAX_ARGS: i32 = 12;

/// Arguments of a function of a BPF program (`MAX_BPF_FUNC_REG_ARGS`).
const MAX_REG_ARGS: u32 = 5;

/// The name of the structure for queueing disciplines.
const QDISC: &str = "Qdisc_ops";

/// A number.
const SCALAR: CtxLoad =
    CtxLoad { kind: Holds::Scalar, flags: TypeFlags::empty(), ref_id: 0, range: None };

/// A pointer to a structure of the kernel.
const fn pointer_to(id: TypeId, flags: TypeFlags) -> CtxLoad {
    CtxLoad { kind: Holds::BtfId { btf: BtfRef::Kernel, id }, flags, ref_id: 0, range: None }
}

/// An access to an argument that was resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument {
    access: CtxAccess,
    load: CtxLoad,
    note: Option<Note>,
}

/// What the kernel says each time that an argument is loaded.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// Which argument, from 0.
    arg: u32,
    /// The structure that it points to.
    id: TypeId,
    /// The tracepoint may pass an error number.
    error_pointer: bool,
}

/// An argument that must be given back, as its name in the stub function says (`__ref`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefArgument {
    /// Offset in the context.
    off: u32,
    /// The reference that was taken when the program began.
    ref_id: u32,
}

/// The function whose arguments and result the context is.
#[derive(Clone, Copy)]
struct Target<'a> {
    btf: &'a Btf<'a>,
    name: &'a str,
    /// Its prototype; none for a function of a program whose types mean nothing: it has five
    /// numbers.
    proto: Option<FuncProto<'a>>,
    /// Parameters that the program does not see: `__data` of tracepoints.
    hidden: u32,
}

/// What an access finds in the prototype.
enum Place<'a> {
    /// A number, however wide.
    Scalar {
        /// It is what the function returned.
        is_result: bool,
    },
    /// A pointer, loaded whole.
    Pointer {
        /// Which argument, from 0; one more than the last is what the function returned.
        arg: u32,
        /// The pointer's type.
        ty: Type<'a>,
    },
    /// The kernel refuses and has said why.
    Refused,
}

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    /// What an access to the context yields, by the prototype of what the program attaches to;
    /// `None` if it is refused, which the caller says. The kernel comments on most loads of
    /// pointers, each time.
    pub(crate) fn access_ctx_by_btf(&mut self, access: CtxAccess) -> Step<Option<CtxLoad>> {
        let known = self.arguments.iter().find(|known| known.access == access).copied();
        let argument = match known {
            Some(argument) => argument,
            None => match self.resolve_argument(access)? {
                Some((load, note)) => {
                    let argument = Argument { access, load, note };
                    self.arguments.push(&self.env.budget, argument)?;
                    argument
                }
                None => return Ok(None),
            },
        };
        if let Some(note) = argument.note {
            self.say_argument(note)?;
        }
        let ref_id = argument.load.ref_id;
        if ref_id != 0 && !self.held().any(|held| held.is_object(ref_id)) {
            self.env.say(BtfAccess::Released { off: access.offset })?;
            self.env.source_line(self.insn, &"; ");
            return Err(Stop::Rejected(Errno::EACCES));
        }
        Ok(Some(argument.load))
    }

    fn say_argument(&mut self, note: Note) -> Step {
        let Note { arg, id, error_pointer } = note;
        let btf = self.btf(BtfRef::Kernel)?;
        let func = self.target_name();
        let ty = btf.type_by_id(id);
        let (kind, name) = ty.map_or(("UNKNOWN", ""), |ty| (ty.kind().name(), ty.name()));
        let name = name_or_anonymous(name);
        self.env.say(BtfAccess::Argument { func, arg, id: id.0, kind, name })?;
        if error_pointer {
            self.env.say(BtfAccess::ErrorPointer { arg })?;
        }
        Ok(())
    }

    fn target_name(&self) -> Text {
        Text::new(self.env.prog.attach_func_name.unwrap_or(""))
    }

    /// The name of the structure and of the member that a struct_ops program implements.
    fn struct_ops_names(&self) -> Option<(&'a str, &'a str)> {
        let prog = &self.env.prog;
        let structure = prog.attach_btf?.type_by_id(prog.attach_btf_id).ok()?;
        Some((structure.name(), prog.attach_func_name?))
    }

    fn resolve_argument(&mut self, access: CtxAccess) -> Step<Option<(CtxLoad, Option<Note>)>> {
        let CtxAccess { offset: off, size, direction, .. } = access;
        let prog_type = self.env.prog.rules;
        let Some(target) = self.context_target() else {
            // The tests of what a program attaches to resolved it, for all types that get here.
            return self.env.unsupported("context access", "without a prototype");
        };
        if let Some(load) = self.queued_packets(&target, access)? {
            return Ok(Some((load, None)));
        }
        // Programs for LSM hooks are asked nothing else than the prototype.
        if prog_type != ProgType::LSM
            && (!(0..8 * MAX_ARGS).contains(&off)
                || direction == Direction::Write
                || !off.cast_unsigned().is_multiple_of(size))
        {
            return Ok(None);
        }
        let (arg, ty) = match self.place_of(&target, off, size)? {
            Place::Refused => return Ok(None),
            Place::Scalar { is_result } => {
                let range = if is_result { self.traced_return_range()? } else { None };
                return Ok(Some((CtxLoad { range, ..SCALAR }, None)));
            }
            Place::Pointer { arg, ty } => (arg, ty),
        };
        let pointee = ty.target().and_then(|id| target.btf.skip_modifiers(id).ok());
        let to = pointee.map(|ty| ty.id());
        let special = self.special_argument(off.cast_unsigned(), to)?;
        if let Some(load) = special.filter(|load| load.kind == Holds::Buf) {
            return Ok(Some((load, None)));
        }
        let is_void = match self.env.has(Behaviour::QualifiedVoidPointers) {
            true => pointee.is_none_or(|ty| ty.kind() == Kind::Void),
            false => ty.target().is_none_or(TypeId::is_void),
        };
        if is_void || pointee.is_some_and(|ty| ty.kind() == Kind::Int) {
            return Ok(Some((SCALAR, None)));
        }
        if let Some(load) = special {
            return Ok(Some((load, None)));
        }
        match self.env.prog.target {
            // The kernel looks the tracepoint up in BTF that a replacement does not have, and
            // reads through a null pointer: there is nothing to agree with.
            Some(_) if target.hidden != 0 => {
                self.env.unsupported("replacement for a tracepoint", "with a pointer argument")
            }
            Some(program) => self.program_context(&target, program, arg, &ty),
            None => self.object_argument(&target, arg, &ty),
        }
    }

    /// A pointer that a function of another program takes: the kernel's own context of that
    /// program, or nothing that can be used (`btf_translate_to_vmlinux`).
    fn program_context(
        &self,
        target: &Target<'a>,
        program: &TargetProgram<'_>,
        arg: u32,
        pointer: &Type<'a>,
    ) -> Step<Option<(CtxLoad, Option<Note>)>> {
        let rules = program.rules();
        let kernel = self.btf(BtfRef::Kernel)?;
        let types = self.env.kernel.context_types(rules)?;
        let is_context = pointer
            .target()
            .is_some_and(|to| prog_context::is_context(kernel, types, target.btf, to, rules));
        if !is_context {
            return Ok(None);
        }
        let mut flags = TypeFlags::empty();
        flags.set(TypeFlags::PTR_TRUSTED, self.arguments_are_trusted()?);
        flags.set(TypeFlags::PTR_MAYBE_NULL, target.is_nullable(arg));
        Ok(types.map(|types| (pointer_to(types.kernel, flags), None)))
    }

    /// What the program attaches to.
    fn context_target(&self) -> Option<Target<'a>> {
        let prog = &self.env.prog;
        let name = prog.attach_func_name?;
        let hidden = u32::from(prog.attach_type == AttachType::TRACE_RAW_TP);
        let (btf, may_lack) = match prog.target {
            Some(program) => (program.btf?, true),
            None => (prog.attach_btf?, false),
        };
        let proto = match prog.attach_func_proto {
            None if may_lack => None,
            id => Some(btf.type_by_id(id?).ok()?.as_func_proto()?),
        };
        Some(Target { btf, name, proto, hidden })
    }

    /// `bpf_qdisc_is_valid_access` (`net/sched/bpf_qdisc.c`): the list of packets to free has a
    /// type of its own.
    fn queued_packets(&self, target: &Target<'a>, access: CtxAccess) -> Step<Option<CtxLoad>> {
        if self.env.prog.prog_type != ProgType::STRUCT_OPS
            || self.struct_ops_names() != Some((QDISC, "enqueue"))
            || access.direction != Direction::Read
            || target.index(access.offset.cast_unsigned()) != 2
        {
            return Ok(None);
        }
        match target.btf.find_by_name("bpf_sk_buff_ptr", Kind::Struct) {
            Some(id) => Ok(Some(pointer_to(id, TypeFlags::PTR_TRUSTED))),
            // A kernel with queueing disciplines in BPF has the type.
            None => self.env.unsupported("struct_ops context", QDISC),
        }
    }

    /// Finds the argument, or the result, that an access reads.
    fn place_of(&mut self, target: &Target<'a>, off: i32, size: u32) -> Step<Place<'a>> {
        let func = || Text::new(target.name);
        if off % 8 != 0 {
            self.env.say(BtfAccess::ArgumentOffset { func: func(), off })?;
            return Ok(Place::Refused);
        }
        let arg = target.index(off.cast_unsigned());
        let count = target.visible();
        let mut is_result = false;
        let id = if arg < count {
            let Some(proto) = target.proto else { return Ok(Place::Scalar { is_result }) };
            let param = proto.params.get((arg + target.hidden) as usize);
            param.map_or(TypeId::VOID, |param| param.type_id)
        } else {
            let attach = self.env.prog.attach_type;
            let has_result = matches!(
                attach,
                AttachType::LSM_MAC
                    | AttachType::LSM_CGROUP
                    | AttachType::TRACE_FEXIT
                    | AttachType::MODIFY_RETURN
            );
            if arg > count || !has_result {
                self.env
                    .say(BtfAccess::NoArgument { func: func(), number: arg.wrapping_add(1) })?;
                return Ok(Place::Refused);
            }
            is_result = attach == AttachType::LSM_MAC;
            match target.proto {
                Some(proto) => proto.returns,
                None if attach == AttachType::MODIFY_RETURN => return Ok(Place::Refused),
                None => return Ok(Place::Scalar { is_result }),
            }
        };
        let Ok(ty) = target.btf.skip_modifiers(id) else {
            // Kernels load no BTF with such chains.
            return self.env.unsupported("BTF", "that cannot be walked");
        };
        let kind = ty.kind().name();
        let is_small_int = ty.as_int().is_some_and(|int| int.size <= 8);
        if arg == count && self.env.prog.attach_type == AttachType::MODIFY_RETURN && !is_small_int {
            self.env.say(BtfAccess::ModifiedReturn { kind })?;
            return Ok(Place::Refused);
        }
        let unions = self.env.has(Behaviour::UnionsByValue);
        let by_value = ty.kind() == Kind::Struct || (unions && ty.kind() == Kind::Union);
        if is_small_int || ty.kind().is_enum() || by_value {
            return Ok(Place::Scalar { is_result });
        }
        if ty.kind() != Kind::Ptr {
            let name = name_or_anonymous(ty.name());
            self.env.say(BtfAccess::NotPointer { func: func(), arg, name, kind })?;
            return Ok(Place::Refused);
        }
        if size != 8 {
            self.env.say(BtfAccess::ArgumentSize { func: func(), size })?;
            return Ok(Place::Refused);
        }
        Ok(Place::Pointer { arg, ty })
    }

    /// What the kernel fixes for single arguments of iterators and struct_ops members
    /// (`ctx_arg_info`): those that may be null, and those that must be given back.
    fn special_argument(&mut self, off: u32, pointee: Option<TypeId>) -> Step<Option<CtxLoad>> {
        let nullable = |arg: &TypedArg<'_>| {
            arg.offset == off && arg.ty.flags.contains(TypeFlags::PTR_MAYBE_NULL)
        };
        if self.env.prog.prog_type == ProgType::STRUCT_OPS {
            let Some((structure, member)) = self.struct_ops_names() else { return Ok(None) };
            self.check_struct_ops(structure)?;
            let facts = self.env.kernel.struct_ops_member(structure, member)?;
            if let Some(arg) = facts.and_then(|facts| facts.args().find(nullable)) {
                return self.fixed_argument(arg).map(Some);
            }
            let Some(held) = self.ref_arguments.iter().find(|held| held.off == off) else {
                return Ok(None);
            };
            let ref_id = held.ref_id;
            let arg = facts.and_then(|facts| facts.args().find(|arg| arg.offset == off));
            return match arg {
                Some(arg) => Ok(Some(CtxLoad { ref_id, ..self.fixed_argument(arg)? })),
                // Facts of members list what their stubs say must be given back.
                None => self.env.unsupported("struct_ops context", structure),
            };
        }
        if self.env.prog.attach_type != AttachType::TRACE_ITER {
            return Ok(None);
        }
        let name = self.env.prog.attach_func_name.unwrap_or("");
        let target = name.strip_prefix("bpf_iter_").unwrap_or("");
        let Some(known) = nullable_arguments(target) else {
            // A target of a module, or of a kernel after 6.18.
            return self.env.unsupported("iterator context", target);
        };
        // They are pointers and stand behind pointers.
        let Some((arg, found)) = known.iter().find(|(known, _)| known * 8 == off) else {
            return Ok(None);
        };
        let pointee = match self.env.prog.target {
            Some(_) => self.iterated_object(name, *arg)?,
            None => pointee,
        };
        let kind = match (found, pointee) {
            (Nullable::Object { .. }, Some(id)) => Holds::BtfId { btf: BtfRef::Kernel, id },
            _ => Holds::Buf,
        };
        Ok(Some(CtxLoad { kind, flags: found.flags(), ref_id: 0, range: None }))
    }

    /// What an argument of a target of iterators points to: its types count, not those of a
    /// function of a program with its name.
    fn iterated_object(&self, name: &str, arg: u32) -> Step<Option<TypeId>> {
        let btf = self.btf(BtfRef::Kernel)?;
        let func = btf.find_by_name(name, Kind::Func);
        let pointer = func.and_then(|id| {
            let proto = btf.type_by_id(btf.type_by_id(id).ok()?.target()?).ok()?.as_func_proto()?;
            let param = proto.params.get(arg as usize)?;
            btf.skip_modifiers(param.type_id).ok()?.target()
        });
        Ok(pointer.and_then(|id| Some(btf.skip_modifiers(id).ok()?.id())))
    }

    fn fixed_argument(&self, arg: TypedArg<'_>) -> Step<CtxLoad> {
        let kind = match (arg.ty.base, arg.btf) {
            (RegBase::Buf, _) => Holds::Buf,
            (RegBase::BtfId, Some(ty)) => {
                let btf = self.btf(BtfRef::Kernel)?;
                let id = ty.id.map(TypeId).or_else(|| btf.find_by_name(ty.name, ty.kind.into()));
                let Some(id) = id else {
                    // Facts of another kernel than the BTF.
                    return self.env.unsupported("context field", ty.name);
                };
                Holds::BtfId { btf: BtfRef::Kernel, id }
            }
            // No member of 6.18 has an argument of another kind.
            (other, _) => return self.env.unsupported("context field", other.kernel_name()),
        };
        Ok(CtxLoad { kind, flags: arg.ty.flags, ref_id: 0, range: None })
    }

    /// Structures whose rules for their contexts are known.
    fn check_struct_ops(&self, structure: &str) -> Step {
        match structure {
            "tcp_congestion_ops" | "sched_ext_ops" | "bpf_dummy_ops" | "hid_bpf_ops" | QDISC => {
                Ok(())
            }
            // The structures of modules and of kernels after 6.18.
            other => self.env.unsupported("struct_ops context", other),
        }
    }

    /// A pointer to a structure, which no table fixes.
    fn object_argument(
        &mut self,
        target: &Target<'a>,
        arg: u32,
        pointer: &Type<'a>,
    ) -> Step<Option<(CtxLoad, Option<Note>)>> {
        let mut flags = TypeFlags::empty();
        flags.set(TypeFlags::PTR_TRUSTED, self.arguments_are_trusted()?);
        let nullable = target.is_nullable(arg);
        flags.set(TypeFlags::PTR_MAYBE_NULL, nullable);
        let mut error_pointer = false;
        if target.hidden != 0 {
            let facts = self.env.kernel.tracepoint(target.name)?;
            let known = facts.map_or(0, |facts| facts.null_args);
            let bits = known.checked_shr(arg.saturating_mul(4)).unwrap_or(0);
            flags.set(TypeFlags::PTR_MAYBE_NULL, nullable || bits & 1 != 0);
            error_pointer = bits & 2 != 0;
        }
        let direct = pointer.target().and_then(|id| target.btf.type_by_id(id).ok());
        let tag = direct.filter(|ty| ty.kind() == Kind::TypeTag && !ty.kind_flag());
        match tag.map(|tag| tag.name()) {
            Some("user") => flags.insert(TypeFlags::MEM_USER),
            Some("percpu") => flags.insert(TypeFlags::MEM_PERCPU),
            _ => {}
        }
        let object = direct.and_then(|ty| target.btf.skip_modifiers(ty.id()).ok());
        let Some(object) = object else {
            // Kernels load no BTF with such chains.
            return self.env.unsupported("BTF", "that cannot be walked");
        };
        if !object.kind().is_composite() {
            let (func, kind) = (Text::new(target.name), object.kind().name());
            self.env.say(BtfAccess::NotStructPointer { func, arg, kind })?;
            return Ok(None);
        }
        let note = Note { arg, id: object.id(), error_pointer };
        if error_pointer {
            return Ok(Some((SCALAR, Some(note))));
        }
        let id = self.promoted(target, object.id(), flags)?;
        Ok(Some((pointer_to(id, flags), Some(note))))
    }

    /// `prog_args_trusted`
    fn arguments_are_trusted(&self) -> Step<bool> {
        let prog = &self.env.prog;
        Ok(match prog.prog_type {
            ProgType::TRACING => {
                matches!(prog.attach_type, AttachType::TRACE_RAW_TP | AttachType::TRACE_ITER)
            }
            ProgType::LSM => {
                let hook = prog.attach_func_name.and_then(|name| name.strip_prefix("bpf_lsm_"));
                let facts = hook.map(|hook| self.env.kernel.lsm_hook(hook)).transpose()?.flatten();
                let Some(facts) = facts else {
                    // `check_lsm_hook` refused what is no hook.
                    return self.env.unsupported("LSM hook", "");
                };
                !facts.untrusted_args
            }
            ProgType::STRUCT_OPS => true,
            _ => false,
        })
    }

    /// `bpf_tcp_ca_is_valid_access` (`net/ipv4/bpf_tcp_ca.c`): sockets are TCP sockets.
    fn promoted(&self, target: &Target<'a>, id: TypeId, flags: TypeFlags) -> Step<TypeId> {
        let is_congestion = self.env.prog.prog_type == ProgType::STRUCT_OPS
            && self.struct_ops_names().is_some_and(|(name, _)| name == "tcp_congestion_ops");
        if !is_congestion
            || super::trust::has_unsafe_modifiers(flags)
            || target.btf.find_by_name("sock", Kind::Struct) != Some(id)
        {
            return Ok(id);
        }
        match target.btf.find_by_name("tcp_sock", Kind::Struct) {
            Some(id) => Ok(id),
            // A kernel with TCP has it.
            None => self.env.unsupported("struct_ops context", "tcp_congestion_ops"),
        }
    }

    /// Takes the references that a struct_ops program gets with its arguments.
    pub(crate) fn acquire_arguments(&mut self) -> Step {
        if self.env.prog.prog_type != ProgType::STRUCT_OPS {
            return Ok(());
        }
        let Some(target) = self.context_target() else { return Ok(()) };
        let Some((structure, member)) = self.struct_ops_names() else { return Ok(()) };
        for index in reference_arguments(target.btf, structure, member) {
            let Some(off) = target.offset(index) else {
                // The prototype was resolved with the target.
                return self.env.unsupported("struct_ops context", structure);
            };
            let ref_id = self.acquire_reference()?;
            self.ref_arguments.push(&self.env.budget, RefArgument { off, ref_id })?;
        }
        Ok(())
    }
}

impl Target<'_> {
    /// How many arguments the program sees.
    fn visible(&self) -> u32 {
        let Some(proto) = self.proto else { return MAX_REG_ARGS };
        let count = u32::try_from(proto.params.len()).unwrap_or(u32::MAX);
        count.saturating_sub(self.hidden)
    }

    /// Whether an argument's name says that it may be null (`btf_param_match_suffix`).
    fn is_nullable(&self, arg: u32) -> bool {
        let param = self.proto.and_then(|proto| proto.params.get((arg + self.hidden) as usize));
        param.is_some_and(|param| {
            param.name().strip_suffix("__nullable").is_some_and(|name| !name.is_empty())
        })
    }

    /// The argument that an offset is in, by the whole prototype; one more than the last for the
    /// result, two more beyond (`btf_ctx_arg_idx`).
    fn index(&self, off: u32) -> u32 {
        let Some(proto) = self.proto else { return off / 8 };
        let types = proto.params.map(|param| param.type_id);
        let types = types.chain(core::iter::once(proto.returns));
        let (mut end, mut index) = (0u32, 0u32);
        for id in types {
            end = end.saturating_add(self.slot_bytes(id));
            if off < end {
                return index;
            }
            index = index.saturating_add(1);
        }
        index
    }

    /// Where an argument begins (`btf_ctx_arg_offset`).
    fn offset(&self, index: usize) -> Option<u32> {
        let params = self.proto?.params.take(index);
        params.map(|param| self.slot_bytes(param.type_id)).try_fold(0u32, u32::checked_add)
    }

    /// What a value takes in the context, in bytes.
    fn slot_bytes(&self, id: TypeId) -> u32 {
        let Ok(ty) = self.btf.skip_modifiers(id) else { return 0 };
        if ty.kind() == Kind::Ptr {
            8
        } else {
            ty.size_or_type().checked_next_multiple_of(8).unwrap_or(u32::MAX)
        }
    }
}
