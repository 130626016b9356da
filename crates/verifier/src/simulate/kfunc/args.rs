// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The arguments of a call (`check_kfunc_args`).

use super::KfuncIndex;
use super::call::Call;
use super::signature::{Arg, MAX_ARGS, NumberUse, Pointee, PointerArg, PointerClass, SizeArg};
use super::special::Special;
use crate::design::Design;
use crate::log::state::TypeName;
use crate::mem::Text;
use crate::messages::Kfunc;
use crate::outcome::{Step, Stop};
use crate::simulate::btf::trust::{is_rcu, is_trusted};
use crate::simulate::sim::Sim;
use crate::state::{Kind, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, ProgType};

/// One argument of the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// The kfunc.
    pub(super) kfunc: KfuncIndex,
    /// Its number, from 0.
    pub(super) number: u8,
    /// Its register.
    pub(super) reg: Reg,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Tests the registers against the kfunc's arguments.
    pub(super) fn check_kfunc_args(&mut self, kfunc: KfuncIndex) -> Step<Call> {
        let mut call = Call::default();
        let count = self.kfunc_signature(kfunc)?.count;
        if count > MAX_ARGS {
            let name = self.kfunc_name(kfunc)?;
            return self.env.reject(Kfunc::TooManyArguments { name, count, most: MAX_ARGS });
        }
        let mut numbers = 0u8..u8::try_from(count).unwrap_or(0);
        while let Some(number) = numbers.next() {
            let at = At { kfunc, number, reg: Reg::new(number + 1) };
            let args = &self.kfunc_signature(kfunc)?.args;
            match args.get(usize::from(number)).copied().unwrap_or(Arg::Ignored) {
                Arg::Ignored => {}
                Arg::Program if call.has_program => {
                    let what = "Only 1 prog->aux argument supported per-kfunc";
                    return self.bug(format_args!("{what}"));
                }
                Arg::Program => call.has_program = true,
                Arg::Number(usage) => self.check_number_arg(at, usage, &mut call)?,
                Arg::Other(kind) => {
                    let kind = crate::analysis::kfuncs::kind_text(kind);
                    return self.env.reject(Kfunc::UnrecognizedArgument { arg: number, kind });
                }
                Arg::Pointer(arg) => {
                    if self.check_pointer_arg(at, &arg, &mut call)? {
                        // The next argument was its size.
                        numbers.next();
                    }
                }
            }
        }
        if self.kfunc_signature(kfunc)?.releases() && call.released.is_none() {
            let name = self.kfunc_name(kfunc)?;
            return self.env.reject(Kfunc::NothingReleased { name });
        }
        Ok(call)
    }

    fn check_number_arg(&mut self, at: At, usage: NumberUse, call: &mut Call) -> Step {
        let reg = at.reg.number();
        let state = self.reg(at.reg)?;
        if !state.is_scalar() {
            return self.env.reject(Kfunc::NotScalar { reg });
        }
        let value = state.value.bits.is_const().then_some(state.value.bits.value);
        match usage {
            NumberUse::Any => Ok(()),
            NumberUse::Constant => {
                if call.constant.is_some() {
                    return self.bug(format_args!("only one constant argument permitted"));
                }
                let Some(value) = value else {
                    return self.env.reject(Kfunc::NotConstant { reg });
                };
                self.mark_precise(at.reg)?;
                call.constant = Some(value);
                Ok(())
            }
            NumberUse::ReadOnlySize | NumberUse::WritableSize => {
                call.result_read_only |= usage == NumberUse::ReadOnlySize;
                if call.result_size != 0 {
                    return self.env.reject(Kfunc::TwoSizes);
                }
                let Some(value) = value else {
                    return self.env.reject(Kfunc::SizeNotConstant { reg });
                };
                if value > u64::from(u32::MAX) && self.env.has(Behaviour::BufferSizeFits) {
                    return self.env.reject(Kfunc::SizeTooLarge { reg });
                }
                call.result_size = value;
                self.mark_precise(at.reg)
            }
        }
    }

    /// A pointer. True if the next argument was looked at as its size.
    fn check_pointer_arg(&mut self, at: At, arg: &PointerArg, call: &mut Call) -> Step<bool> {
        let state = self.copy_of(at.reg)?;
        let signature = self.kfunc_signature(at.kfunc)?;
        let (releases, has_rules) =
            (signature.releases(), signature.wants_trust() || signature.takes_rcu());
        let is_null = state.is_null();
        if has_rules && (is_null || state.may_be_null()) && !arg.nullable {
            return self.env.reject(Kfunc::MaybeNull { arg: at.number });
        }
        if state.ref_id != 0 {
            if releases && call.ref_id != 0 {
                let (reg, id, before) = (at.reg.number(), state.ref_id, call.ref_id);
                let what = format_args!("more than one arg with ref_obj_id R{reg} {id} {before}");
                return self.bug(what);
            }
            call.ref_id = state.ref_id;
            if releases {
                call.released = Some(at.reg);
            }
        }
        if arg.class != PointerClass::Ctx && arg.nullable && is_null {
            return Ok(false);
        }
        let class = self.class_by_register(at, arg, &state)?;
        if class == Class::Of(PointerClass::Map) {
            self.check_map_arg(at, &state, call)?;
        }
        let is_object = matches!(
            class,
            Class::Object | Class::Of(PointerClass::Map | PointerClass::AllocObject)
        );
        if is_object && has_rules {
            self.check_trust(at, &state)?;
        }
        self.check_passed_offset(at.reg, &state, releases && state.ref_id != 0)?;
        match class {
            Class::Of(class) => self.check_by_class(at, arg, class, &state, call)?,
            Class::Object => self.check_object_arg(at, &state, arg.target)?,
            Class::Callback => {
                let Kind::Func(subprog) = state.kind else {
                    return self.env.reject(Kfunc::NotFunction { arg: at.number });
                };
                call.callback = Some(subprog);
            }
            Class::Memory(size) => self.check_memory(at.reg, size)?,
            Class::MemoryAndSize(size) => {
                self.check_memory_and_size(at, arg, size, call)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a plain pointer is depends on the registers.
    fn class_by_register(&mut self, at: At, arg: &PointerArg, state: &RegState) -> Step<Class> {
        let PointerClass::Plain { is_callback, memory, size } = arg.class else {
            return Ok(Class::Of(arg.class));
        };
        let kind = crate::analysis::kfuncs::kind_text(arg.target_kind);
        if self.is_kernel_object(state)? {
            if !arg.target_kind.is_composite() {
                let (name, target) = (self.kfunc_name(at.kfunc)?, self.kernel_name(arg.target)?);
                let arg = at.number;
                return self.env.reject(Kfunc::PointerUnsupported { name, arg, kind, target });
            }
            return Ok(Class::Object);
        }
        if is_callback {
            return Ok(Class::Callback);
        }
        let size = match size {
            Some(size) if self.reg(Reg::new(at.reg.number() + 1))?.is_scalar() => Some(size),
            _ => None,
        };
        match (memory, size) {
            (Pointee::Numbers(bytes), None) => return Ok(Class::Memory(bytes)),
            (Pointee::Numbers(_) | Pointee::Void, Some(size)) => {
                return Ok(Class::MemoryAndSize(size));
            }
            (Pointee::TooDeep, _) => self.env.say(Kfunc::StructTooDeep)?,
            (Pointee::Void | Pointee::Other, _) => {}
        }
        let (arg, target) = (at.number, self.kernel_name(arg.target)?);
        let or_void = if size.is_some() { "void, " } else { "" };
        self.env.reject(Kfunc::NotScalars { arg, kind, target, or_void })
    }

    fn check_map_arg(&mut self, at: At, state: &RegState, call: &mut Call) -> Step {
        let (map, uid) = match state.kind {
            Kind::ConstMapPtr { map, uid }
            | Kind::MapValue { map, uid }
            | Kind::MapKey { map, uid } => (map, uid),
            _ if !fills_place_of_map(state) => {
                return self.env.reject(Kfunc::NotMapPointer { reg: at.reg.number() });
            }
            _ if call.map.is_none() => return Ok(()),
            // The kernel takes what stands there for a map's address and reads what is behind it:
            // there is no answer to agree with.
            _ => return self.env.unsupported("kfunc argument", "map from another pointer"),
        };
        if let Some((before, before_uid)) = call.map {
            self.check_same_map((before, before_uid), (map, uid))?;
        }
        call.map = Some((map, uid));
        Ok(())
    }

    /// Whether a register belongs to the types that kfuncs know kernel structures for
    /// (`reg2btf_ids`), or is such a pointer itself.
    fn is_kernel_object(&mut self, state: &RegState) -> Step<bool> {
        Ok(matches!(state.kind, Kind::BtfId { .. }) || self.register_type(state)?.is_some())
    }

    /// `is_trusted_reg`, `is_rcu_reg`
    fn check_trust(&mut self, at: At, state: &RegState) -> Step {
        if is_trusted(state) {
            return Ok(());
        }
        let reg = at.reg.number();
        if !self.kfunc_signature(at.kfunc)?.takes_rcu() {
            return self.env.reject(Kfunc::NotTrusted { reg });
        }
        if !is_rcu(state) {
            return self.env.reject(Kfunc::NotRcu { reg });
        }
        Ok(())
    }

    /// Memory whose size is in the next register.
    fn check_memory_and_size(
        &mut self,
        at: At,
        arg: &PointerArg,
        size: SizeArg,
        call: &mut Call,
    ) -> Step {
        let size_reg = Reg::new(at.reg.number() + 1);
        if !(arg.optional && self.reg(at.reg)?.is_null()) {
            let result = self.check_sized_memory(at.reg, size_reg);
            if let Err(Stop::Rejected(errno)) = result {
                let (arg, size) = (at.number, at.number + 1);
                return self.env.reject_with(errno, Kfunc::MemoryAndLength { arg, size });
            }
            result?;
        }
        if size == SizeArg::Any {
            return Ok(());
        }
        if call.constant.is_some() {
            return self.bug(format_args!("only one constant argument permitted"));
        }
        let bits = self.reg(size_reg)?.value.bits;
        if !bits.is_const() {
            return self.env.reject(Kfunc::NotConstant { reg: size_reg.number() });
        }
        call.constant = Some(bits.value);
        Ok(())
    }

    /// The program's context.
    pub(super) fn check_context_arg(&mut self, at: At, state: &RegState, call: &mut Call) -> Step {
        if !matches!(state.kind, Kind::Ctx) || !state.flags.is_empty() {
            let ty = TypeName::of(state).text();
            return self.env.reject(Kfunc::NotContext { arg: at.number, ty });
        }
        if self.kfunc_signature(at.kfunc)?.is(Special::CastToKernCtx) {
            let Some(kernel) = self.env.kernel.btf(None)? else {
                // `check_allowed` refused kfuncs of a kernel without BTF.
                return self.env.unsupported("BTF", "of the kernel");
            };
            let types = self.env.kernel.context_types(self.env.prog.rules)?;
            let context = types.map(|types| types.kernel);
            let ty = context.and_then(|id| kernel.type_by_id(id).ok());
            let Some(ty) = ty else {
                // A kernel with this kfunc has the structure.
                return self.env.unsupported("kernel BTF", "bpf_ctx_convert");
            };
            if !ty.kind().is_composite() {
                return self.env.reject(Kfunc::ContextNotStruct { id: ty.id().0 });
            }
            call.context = context;
        }
        Ok(())
    }

    /// Whether the program may iterate over the tasks of a control group
    /// (`check_css_task_iter_allowlist`).
    pub(super) fn may_iterate_css_tasks(&self) -> bool {
        let prog = &self.env.prog;
        let is_iter = prog.rules == ProgType::TRACING
            && prog.attach_type == veristable_kernel::AttachType::TRACE_ITER;
        prog.rules == ProgType::LSM || is_iter || self.in_sleepable()
    }

    /// The name of a type of the kernel's BTF.
    pub(super) fn kernel_name(&self, id: veristable_btf::TypeId) -> Step<Text> {
        let btf = self.btf(crate::state::BtfRef::Kernel)?;
        Ok(btf.type_by_id(id).map_or_else(|_| Text::default(), |ty| Text::new(ty.name())))
    }
}

/// What a pointer is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// What its type says; never plain.
    Of(PointerClass),
    /// A kernel object.
    Object,
    /// A function of the program.
    Callback,
    /// Memory of so many bytes.
    Memory(u32),
    /// Memory with its size in the next argument.
    MemoryAndSize(SizeArg),
}

/// Whether something stands where pointers to maps have the map: in the kernel's register that is
/// a union with what belongs to other kinds (`struct bpf_reg_state`).
const fn fills_place_of_map(state: &RegState) -> bool {
    match state.kind {
        Kind::ConstMapPtr { .. }
        | Kind::MapValue { .. }
        | Kind::MapKey { .. }
        | Kind::BtfId { .. }
        | Kind::Dynptr { .. }
        | Kind::Func(_) => true,
        Kind::Packet { range } | Kind::PacketMeta { range } => range != 0,
        Kind::Mem { size, dynptr_id } => size != 0 || dynptr_id != 0,
        Kind::Socket | Kind::XdpSock => !state.residue.is_none(),
        _ => false,
    }
}
