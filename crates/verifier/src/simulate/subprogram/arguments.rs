// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a function of the program takes, by its BTF (`btf_prepare_func_args` of
//! kernel/bpf/btf.c), and whether a call passes that (`btf_check_subprog_call`).

use crate::design::Design;
use crate::env::{SubprogFlags, SubprogId};
use crate::errno::Errno;
use crate::mem::{List, Text};
use crate::messages::Functions;
use crate::outcome::{Step, Stop};
use crate::simulate::objects::DynptrUse;
use crate::simulate::sim::Sim;
use crate::state::Kind as RegKind;
use crate::trace::Observer;
use veristable_btf::relo::essential_name;
use veristable_btf::{Btf, Kind, Linkage, Type, TypeData, TypeId};
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, ProgType};

/// Arguments at most (`MAX_BPF_FUNC_REG_ARGS`).
pub(super) const MAX_ARGS: usize = 5;

/// What a function takes as one argument (`struct bpf_subprog_arg_info`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum ArgKind {
    /// A number.
    #[default]
    Anything,
    /// The program's context.
    Ctx,
    /// A dynptr to look at.
    Dynptr,
    /// Memory of so many bytes.
    Mem {
        /// Bytes.
        size: u32,
        /// It may be null.
        nullable: bool,
    },
    /// Memory that may not be there at all: only to be probed.
    UntrustedMem,
    /// A kernel object.
    BtfId {
        /// Its type in the kernel's BTF.
        id: TypeId,
        /// It may be null.
        nullable: bool,
        /// It is there; otherwise it may only be probed.
        trusted: bool,
    },
    /// Arena memory or a number.
    Arena,
}

/// What a function takes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Signature {
    kinds: [ArgKind; MAX_ARGS],
    count: usize,
}

impl Signature {
    /// The arguments, from R1 on.
    pub(super) fn kinds(&self) -> &[ArgKind] {
        self.kinds.get(..self.count).unwrap_or(&self.kinds)
    }
}

bitflags::bitflags! {
    /// Declaration tags of an argument (`enum btf_arg_tag`).
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    struct Tags: u8 {
        const CTX = 1 << 0;
        const NONNULL = 1 << 1;
        const TRUSTED = 1 << 2;
        const UNTRUSTED = 1 << 3;
        const NULLABLE = 1 << 4;
        const ARENA = 1 << 5;
        /// One that the kernel does not know.
        const UNKNOWN = 1 << 6;
    }
}

impl Tags {
    fn named(name: &str) -> Self {
        match name {
            "ctx" => Self::CTX,
            "trusted" => Self::TRUSTED,
            "untrusted" => Self::UNTRUSTED,
            "nonnull" => Self::NONNULL,
            "nullable" => Self::NULLABLE,
            "arena" => Self::ARENA,
            _ => Self::UNKNOWN,
        }
    }
}

/// A tagged argument: function, number, tag.
type TaggedArg = (TypeId, u32, Tags);

/// What the BTF says of all functions, as far as it was asked.
#[derive(Debug, Default)]
pub(crate) struct Prototypes {
    /// Their signatures (`args_cached`).
    functions: List<Option<Signature>>,
    /// All `arg:` tags; collected when the first function is looked at.
    tags: Option<List<TaggedArg>>,
}

/// The function that is looked at.
#[derive(Clone, Copy)]
struct Subject<'b> {
    btf: &'b Btf<'b>,
    name: &'b str,
    is_global: bool,
    prog_type: ProgType,
}

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    fn signature_mut(&mut self, subprog: SubprogId) -> Step<&mut Option<Signature>> {
        let rows = &mut self.prototypes.functions;
        if rows.is_empty() {
            *rows = List::filled(&self.env.budget, self.env.subprogs.len(), None)?;
        }
        Ok(rows.at_mut(subprog.0 as usize)?)
    }

    /// The function's name, empty without BTF (`subprog_name`).
    pub(super) fn function_name(&self, subprog: SubprogId) -> &'a str {
        let info = self.env.code.func_info.get(subprog.0 as usize);
        let ty = info.and_then(|info| self.env.prog.btf?.type_by_id(info.type_id).ok());
        ty.map_or("", |ty| ty.name())
    }

    /// Notes that a function's BTF is not what it takes.
    pub(super) fn distrust(&mut self, subprog: SubprogId) -> Step {
        self.env.subprog_mut(subprog)?.flags |= SubprogFlags::UNRELIABLE;
        Ok(())
    }

    /// What a function takes (`btf_prepare_func_args`).
    ///
    /// # Errors
    /// The rejection, which counts only for global functions.
    pub(super) fn signature(&mut self, subprog: SubprogId) -> Step<Signature> {
        if let Some(signature) = *self.signature_mut(subprog)? {
            return Ok(signature);
        }
        let info = self.env.code.func_info.get(subprog.0 as usize).copied();
        let (Some(info), Some(btf)) = (info, self.env.prog.btf) else {
            return self.bug(format_args!("func_info undefined"));
        };
        // Both were tested with the function info.
        let func = btf.type_by_id(info.type_id).ok();
        let proto = func.and_then(|ty| btf.type_by_id(ty.as_func()?.proto).ok()?.as_func_proto());
        let (Some(func), Some(proto)) = (func, proto) else {
            return self.bug(format_args!("function info"));
        };
        if self.env.subprog(subprog)?.flags.contains(SubprogFlags::UNRELIABLE) {
            let name = func.name();
            return self.bug(format_args!("unreliable BTF for function {name}()"));
        }
        let subject = Subject {
            btf,
            name: func.name(),
            is_global: info.linkage == Linkage::Global,
            prog_type: self.env.prog.rules,
        };
        let count = proto.params.len();
        if count > MAX_ARGS {
            let (name, count) = (Text::new(subject.name), u32::try_from(count).unwrap_or(0));
            return self.refuse(&subject, Functions::TooManyArguments { name, count });
        }
        let returned = btf.skip_modifiers(proto.returns).ok();
        if !returned.is_some_and(|ty| is_scalar(&ty)) {
            let name = Text::new(subject.name);
            return self.refuse(&subject, Functions::NoScalar { name });
        }
        let mut signature = Signature { count, ..Signature::default() };
        let params = proto.params.iter();
        for ((arg, param), kind) in (0u32..).zip(params).zip(&mut signature.kinds) {
            *kind = self.argument(&subject, info.type_id, arg, param.type_id)?;
        }
        *self.signature_mut(subprog)? = Some(signature);
        Ok(signature)
    }

    /// Refuses a function; a static one without a word.
    fn refuse<T>(&mut self, subject: &Subject<'_>, message: Functions) -> Step<T> {
        if subject.is_global {
            return self.env.reject(message);
        }
        Err(Stop::Rejected(Errno::EINVAL))
    }

    fn argument(&mut self, of: &Subject<'a>, func: TypeId, arg: u32, ty: TypeId) -> Step<ArgKind> {
        let tags = self.tags_of(of, func, arg)?;
        let Ok(ty) = of.btf.skip_modifiers(ty) else {
            // Kernels load no BTF with such chains.
            return self.env.unsupported("BTF", "chain of modifiers");
        };
        if let TypeData::Ptr(target) = ty.data()
            && let Some(kind) = self.pointer(of, tags, arg, target)?
        {
            return Ok(kind);
        }
        if !tags.is_empty() {
            return self.env.reject(Functions::TagOnValue { arg });
        }
        if is_scalar(&ty) {
            return Ok(ArgKind::Anything);
        }
        let (kind, name) = (ty.kind().name(), Text::new(of.name));
        self.refuse(of, Functions::ArgumentType { arg, kind, name })
    }

    /// The tags of an argument.
    fn tags_of(&mut self, of: &Subject<'_>, func: TypeId, arg: u32) -> Step<Tags> {
        if self.prototypes.tags.is_none() {
            let mut rows = List::new();
            for ty in of.btf.types_of(Kind::DeclTag) {
                let (Some(tag), Some(name)) = (ty.as_decl_tag(), ty.name().strip_prefix("arg:"))
                else {
                    continue;
                };
                if let Some(component) = tag.component {
                    let row = (tag.target, component, Tags::named(name));
                    rows.push(&self.env.budget, row)?;
                }
            }
            self.prototypes.tags = Some(rows);
        }
        let mut all = Tags::empty();
        for (tagged, number, tag) in self.prototypes.tags.iter().flatten() {
            if (*tagged, *number) != (func, arg) {
                continue;
            }
            if !of.is_global {
                return self.env.reject(Functions::StaticTag { arg });
            }
            let unknown = *tag == Tags::UNTRUSTED && !self.env.has(Behaviour::UntrustedArguments);
            if *tag == Tags::UNKNOWN || unknown {
                return self.env.reject(Functions::UnknownTag { arg });
            }
            all |= *tag;
        }
        Ok(all)
    }

    /// What a pointer is taken as; none if a static function takes it as it comes.
    fn pointer(
        &mut self,
        of: &Subject<'a>,
        tags: Tags,
        arg: u32,
        target: TypeId,
    ) -> Step<Option<ArgKind>> {
        if tags.contains(Tags::CTX) || self.is_context_type(of.btf, target, of.prog_type)? {
            if tags.intersects(Tags::CTX.complement()) {
                return self.env.reject(Functions::TagCombination { arg });
            }
            if tags.contains(Tags::CTX) {
                self.check_context_type(of.btf, target, arg, of.prog_type)?;
            }
            return Ok(Some(ArgKind::Ctx));
        }
        let Ok(to) = of.btf.skip_modifiers(target) else {
            // Kernels load no BTF with such chains.
            return self.env.unsupported("BTF", "chain of modifiers");
        };
        if is_dynptr(&to) {
            if !tags.is_empty() {
                return self.env.reject(Functions::TagCombination { arg });
            }
            return Ok(Some(ArgKind::Dynptr));
        }
        if tags.contains(Tags::TRUSTED) {
            if tags.contains(Tags::NONNULL) {
                return self.env.reject(Functions::TagCombination { arg });
            }
            let id = self.kernel_candidate(arg, &to)?;
            let nullable = tags.contains(Tags::NULLABLE);
            return Ok(Some(ArgKind::BtfId { id, nullable, trusted: true }));
        }
        if tags.contains(Tags::UNTRUSTED) {
            return self.untrusted(tags, arg, &to).map(Some);
        }
        if tags.contains(Tags::ARENA) {
            if tags != Tags::ARENA {
                return self.env.reject(Functions::ArenaCombination { arg });
            }
            return Ok(Some(ArgKind::Arena));
        }
        if !of.is_global {
            return Ok(None);
        }
        if tags.contains(Tags::NULLABLE) {
            return self.env.reject(Functions::TagCombination { arg });
        }
        let Some(size) = size_of(of.btf, to.id()) else {
            let (kind, name) = (to.kind().name(), Text::new(to.name()));
            return self.env.reject(Functions::NoSize { arg, kind, name });
        };
        Ok(Some(ArgKind::Mem { size, nullable: !tags.contains(Tags::NONNULL) }))
    }

    fn untrusted(&mut self, tags: Tags, arg: u32, to: &Type<'_>) -> Step<ArgKind> {
        if tags != Tags::UNTRUSTED {
            return self.env.reject(Functions::UntrustedCombination { arg });
        }
        let is_regular = |ty: &Type<'_>| {
            ty.kind().is_enum()
                || ty.as_int().is_some_and(|int| {
                    int.offset == 0 && matches!(int.bits, 8 | 16 | 32 | 64 | 128)
                })
        };
        if to.kind() == Kind::Void || is_regular(to) {
            return Ok(ArgKind::UntrustedMem);
        }
        let id = self.kernel_candidate(arg, to)?;
        let kernel = self.env.kernel;
        let kind = kernel.btf(None)?.and_then(|btf| btf.type_by_id(id).ok()).map(|ty| ty.kind());
        match kind {
            Some(kind) if kind.is_composite() => {
                Ok(ArgKind::BtfId { id, nullable: false, trusted: false })
            }
            // The kernel looks the pointer's name up in its own BTF: pointers have none.
            Some(kind) => {
                let (kind, name) = (kind.name(), Text::new("(anon)"));
                self.env.reject(Functions::UntrustedType { arg, kind, name })
            }
            // The id is one of the kernel's types.
            None => self.env.unsupported("kernel BTF", "type"),
        }
    }

    /// The kernel's type of the same kind and name (`btf_get_ptr_to_btf_id`).
    fn kernel_candidate(&mut self, arg: u32, local: &Type<'_>) -> Step<TypeId> {
        let kernel = self.env.kernel;
        let kind = local.kind().name();
        let wanted = essential_name(local.name_bytes());
        if local.name_bytes().is_empty() {
            let name = Text::new("(anon)");
            return self.env.reject(Functions::CandidateError { arg, kind, name });
        }
        let Some(btf) = kernel.btf(None)? else {
            // A kernel whose BTF is not known.
            return self.env.unsupported("kernel BTF", "none");
        };
        let mut found = btf
            .own_types_with_prefix(wanted)
            .filter(|ty| ty.kind() == local.kind() && essential_name(ty.name_bytes()) == wanted);
        let name = || Text::new(local.name());
        match (found.next().map(|ty| ty.id()), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => {
                self.env.reject(Functions::ManyCandidates { arg, kind, name: name() })
            }
            (None, _) => self.env.reject(Functions::NoCandidate { arg, kind, name: name() }),
        }
    }

    /// Whether R1 to R5 are what a function takes (`btf_check_subprog_call`): the error number if
    /// not, which is none for a static function. What is wrong has been said.
    ///
    /// # Errors
    /// What ends the verification in any case.
    pub(super) fn check_arguments(&mut self, subprog: SubprogId) -> Step<Option<Errno>> {
        let unreliable = self.env.subprog(subprog)?.flags.contains(SubprogFlags::UNRELIABLE);
        if self.env.code.func_info.is_empty() || unreliable {
            return Ok(Some(Errno::EINVAL));
        }
        match self.match_arguments(subprog) {
            Ok(()) => Ok(None),
            Err(Stop::Rejected(errno)) if errno != Errno::EFAULT => {
                self.distrust(subprog)?;
                Ok(Some(errno))
            }
            Err(stop) => Err(stop),
        }
    }

    /// `btf_check_func_arg_match`
    fn match_arguments(&mut self, subprog: SubprogId) -> Step {
        let signature = self.signature(subprog)?;
        for (number, kind) in (0u8..).zip(signature.kinds()) {
            self.match_argument(number, *kind)?;
        }
        Ok(())
    }

    fn match_argument(&mut self, number: u8, kind: ArgKind) -> Step {
        let reg = Reg::new(number + 1);
        let arg = u32::from(number);
        let value = self.copy_of(reg)?;
        let plain = value.flags.is_empty();
        match kind {
            ArgKind::Anything => {
                if !value.is_scalar() {
                    return self.env.reject(Functions::NotScalar { reg: reg.number() });
                }
            }
            // They are only probed.
            ArgKind::UntrustedMem | ArgKind::BtfId { trusted: false, .. } => {}
            ArgKind::Ctx => {
                self.check_passed_offset(reg, &value, false)?;
                if value.kind != RegKind::Ctx || !plain {
                    return self.env.reject(Functions::NotContext { arg });
                }
            }
            ArgKind::Arena => {
                if !(value.is_scalar() || value.kind == RegKind::Arena && plain) {
                    return self.env.reject(Functions::NotArena { reg: reg.number() });
                }
            }
            ArgKind::Mem { size, nullable } => {
                self.check_passed_offset(reg, &value, false)?;
                match self.check_memory(reg, size) {
                    Err(Stop::Rejected(_)) => return Err(Stop::Rejected(Errno::EINVAL)),
                    other => other?,
                }
                if !nullable && value.may_be_null() {
                    return self.env.reject(Functions::MaybeNull { arg });
                }
            }
            ArgKind::Dynptr => {
                self.check_passed_offset(reg, &value, false)?;
                self.check_dynptr(reg, DynptrUse::Use { kind: None, read_only: true })?;
            }
            ArgKind::BtfId { id, nullable, .. } => {
                if nullable && value.is_null() {
                    return Ok(());
                }
                self.check_trusted_object(reg, &value, id, nullable)?;
                self.check_passed_offset(reg, &value, false)?;
            }
        }
        Ok(())
    }
}

/// A number by its type.
fn is_scalar(ty: &Type<'_>) -> bool {
    ty.kind() == Kind::Int || ty.kind().is_enum()
}

/// `btf_is_dynptr_ptr`
fn is_dynptr(to: &Type<'_>) -> bool {
    let structural = to.kind().is_composite() || (to.kind() == Kind::Fwd && !to.kind_flag());
    structural && to.name() == "bpf_dynptr"
}

/// `btf_resolve_size`: bytes; none for what has no size.
fn size_of(btf: &Btf<'_>, id: TypeId) -> Option<u32> {
    const MAX_RESOLVE_DEPTH: usize = 32;
    let (mut at, mut count) = (id, 1u32);
    for _ in 0..MAX_RESOLVE_DEPTH {
        let ty = btf.type_by_id(at).ok()?;
        let size = match ty.data() {
            TypeData::Ptr(_) => 8,
            TypeData::Array(array) => {
                count = count.checked_mul(array.count)?;
                at = array.element;
                continue;
            }
            _ if ty.kind().is_modifier() => {
                at = ty.target()?;
                continue;
            }
            _ => match ty.kind() {
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float => ty.size()?,
                _ => return None,
            },
        };
        return size.checked_mul(count);
    }
    None
}
