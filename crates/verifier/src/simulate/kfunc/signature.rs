// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a kfunc's BTF says of its arguments and its result, found out once per kfunc: the part of
//! `get_kfunc_ptr_arg_type` and `check_kfunc_args` that no register decides.

use super::special::Special;
use crate::analysis::kfuncs::Kfunc;
use crate::analysis::prog_context;
use veristable_btf::{Btf, Kind, Members, Param, Type, TypeId};
use veristable_kernel::{ContextTypes, KfuncFlags, ProgType};

/// Arguments in registers at most (`MAX_BPF_FUNC_REG_ARGS`).
pub(super) const MAX_ARGS: usize = 5;

/// How a kfunc is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    /// Its rules of its own, if it has any.
    pub(super) special: Option<Special>,
    /// What the kernel says of it.
    pub(super) flags: KfuncFlags,
    /// How many arguments its prototype has; more than [`MAX_ARGS`] is refused.
    pub(super) count: usize,
    /// The arguments.
    pub(super) args: [Arg; MAX_ARGS],
    /// Bit n: argument n takes all of its register.
    pub(super) wide_args: u8,
    /// The result.
    pub(super) result: Returns,
}

/// What an argument is by its type and name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg {
    /// Anything (`__ign`).
    Ignored,
    /// The kernel fills it in (`__prog`).
    Program,
    /// A number.
    Number(NumberUse),
    /// A pointer.
    Pointer(PointerArg),
    /// Nothing that can be passed.
    Other(Kind),
}

/// What a number is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NumberUse {
    /// The callee alone knows.
    Any,
    /// Known when the program is loaded (`__k`).
    Constant,
    /// The size of the returned memory, which may only be read (`rdonly_buf_size`).
    ReadOnlySize,
    /// The size of the returned memory (`rdwr_buf_size`).
    WritableSize,
}

/// A pointer argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointerArg {
    /// What it points to.
    pub(super) class: PointerClass,
    /// May be null (`__nullable`).
    pub(super) nullable: bool,
    /// The callee initialises the object (`__uninit`).
    pub(super) uninit: bool,
    /// A null pointer goes with any size (`__opt`).
    pub(super) optional: bool,
    /// The type behind it without modifiers.
    pub(super) target: TypeId,
    /// That type's kind.
    pub(super) target_kind: Kind,
}

/// What a pointer points to (`enum kfunc_ptr_arg_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PointerClass {
    /// The program's context.
    Ctx,
    /// An object that the program allocated (`__alloc`).
    AllocObject,
    /// An object with a reference count (`__refcounted_kptr`).
    Refcounted,
    /// A dynptr.
    Dynptr,
    /// An iterator in the stack.
    Iter,
    /// The head of a list.
    ListHead,
    /// A node of a list.
    ListNode,
    /// The root of a tree.
    RbRoot,
    /// A node of a tree.
    RbNode,
    /// A constant string (`__str`).
    ConstStr,
    /// A map (`__map`).
    Map,
    /// A work queue in a map value.
    Workqueue,
    /// Task work in a map value.
    TaskWork,
    /// Saved interrupt flags in the stack (`__irq_flag`).
    IrqFlag,
    /// A resilient lock.
    ResSpinLock,
    /// A kernel object, a callback or memory, as the register has it.
    Plain {
        /// The type is that of a function.
        is_callback: bool,
        /// As memory.
        memory: Pointee,
        /// The next argument's name says that it is the size.
        size: Option<SizeArg>,
    },
}

/// The name of an argument that is a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SizeArg {
    /// `__sz`
    Any,
    /// `__szk`
    Constant,
}

/// A pointee as plain memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pointee {
    /// Numbers only, so many bytes.
    Numbers(u32),
    /// `void`
    Void,
    /// Structures in structures in structures.
    TooDeep,
    /// Anything else.
    Other,
}

/// The result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Returns {
    /// Nothing, or what the kernel knows no register for.
    Nothing,
    /// A number of so many bytes.
    Number(u32),
    /// A pointer.
    Pointer {
        /// To this type, without modifiers.
        target: TypeId,
        /// Its kind.
        kind: Kind,
        /// Its size, if it has one.
        size: Option<u32>,
        /// It is a node of a list or of a tree.
        node: Option<Node>,
    },
}

/// A node that a kfunc returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    /// `struct bpf_list_node`
    List,
    /// `struct bpf_rb_node`
    Rbtree,
}

impl Signature {
    /// Reads the BTF of a kfunc, `None` if that is broken. `kernel` is the kernel's own BTF,
    /// `context` what it says of the program's type.
    pub(super) fn of(
        kernel: &Btf<'_>,
        context: Option<ContextTypes>,
        kfunc: &Kfunc<'_>,
        flags: KfuncFlags,
        rules: ProgType,
    ) -> Option<Self> {
        let special = if kfunc.offset == 0 { Special::of(kfunc.name) } else { None };
        let reader = Reader { kernel, context, btf: kfunc.btf, flags, special, rules };
        let params = kfunc.proto.params;
        let mut args = [Arg::Ignored; MAX_ARGS];
        let mut wide_args = 0;
        for (number, place) in args.iter_mut().enumerate() {
            let Some(param) = params.get(number) else { break };
            let ty = kfunc.btf.skip_modifiers(param.type_id).ok()?;
            if ty.kind() == Kind::Ptr || ty.size() == Some(8) {
                wide_args |= 1 << number;
            }
            *place = reader.arg(number, &param, &ty, params.get(number + 1).as_ref())?;
        }
        let result = reader.result(kfunc.proto.returns)?;
        Some(Self { special, flags, count: params.len(), args, wide_args, result })
    }

    /// Whether it has rules of this name.
    pub(super) fn is(&self, special: Special) -> bool {
        self.special == Some(special)
    }

    /// `is_kfunc_acquire`
    pub(super) const fn acquires(&self) -> bool {
        self.flags.contains(KfuncFlags::ACQUIRE)
    }

    /// `is_kfunc_release`
    pub(super) const fn releases(&self) -> bool {
        self.flags.contains(KfuncFlags::RELEASE)
    }

    /// `is_kfunc_trusted_args`
    pub(super) const fn wants_trust(&self) -> bool {
        self.flags.intersects(KfuncFlags::TRUSTED_ARGS.union(KfuncFlags::RELEASE))
    }

    /// `is_kfunc_rcu`
    pub(super) const fn takes_rcu(&self) -> bool {
        self.flags.contains(KfuncFlags::RCU)
    }
}

/// What an argument's type is read with.
struct Reader<'r> {
    kernel: &'r Btf<'r>,
    context: Option<ContextTypes>,
    btf: &'r Btf<'r>,
    flags: KfuncFlags,
    special: Option<Special>,
    rules: ProgType,
}

impl Reader<'_> {
    fn arg(
        &self,
        number: usize,
        param: &Param<'_>,
        ty: &Type<'_>,
        next: Option<&Param<'_>>,
    ) -> Option<Arg> {
        let name = param.name();
        if has_suffix(name, "__ign") {
            return Some(Arg::Ignored);
        }
        if has_suffix(name, "__prog") {
            return Some(Arg::Program);
        }
        if is_number(ty) {
            return Some(Arg::Number(match name {
                _ if has_suffix(name, "__k") => NumberUse::Constant,
                "rdonly_buf_size" => NumberUse::ReadOnlySize,
                "rdwr_buf_size" => NumberUse::WritableSize,
                _ => NumberUse::Any,
            }));
        }
        if ty.kind() != Kind::Ptr {
            return Some(Arg::Other(ty.kind()));
        }
        let raw = ty.target()?;
        let target = self.btf.skip_modifiers(raw).ok()?;
        Some(Arg::Pointer(PointerArg {
            class: self.class(number, name, raw, &target, next),
            nullable: has_suffix(name, "__nullable"),
            uninit: has_suffix(name, "__uninit"),
            optional: has_suffix(name, "__opt"),
            target: target.id(),
            target_kind: target.kind(),
        }))
    }

    /// The kernel's order of tests matters: names and types overlap.
    fn class(
        &self,
        number: usize,
        name: &str,
        raw: TypeId,
        target: &Type<'_>,
        next: Option<&Param<'_>>,
    ) -> PointerClass {
        let is = |structure| self.is_kernel_struct(target, structure);
        let iter_flags =
            KfuncFlags::ITER_NEW.union(KfuncFlags::ITER_NEXT).union(KfuncFlags::ITER_DESTROY);
        let is_iter = if self.flags.intersects(iter_flags) {
            number == 0
        } else {
            has_suffix(name, "__iter")
        };
        match name {
            _ if self.special == Some(Special::CastToKernCtx) => PointerClass::Ctx,
            _ if prog_context::is_context(self.kernel, self.context, self.btf, raw, self.rules) => {
                PointerClass::Ctx
            }
            _ if has_suffix(name, "__alloc") => PointerClass::AllocObject,
            _ if has_suffix(name, "__refcounted_kptr") => PointerClass::Refcounted,
            _ if is("bpf_dynptr") => PointerClass::Dynptr,
            _ if is_iter => PointerClass::Iter,
            _ if is("bpf_list_head") => PointerClass::ListHead,
            _ if is("bpf_list_node") => PointerClass::ListNode,
            _ if is("bpf_rb_root") => PointerClass::RbRoot,
            _ if is("bpf_rb_node") => PointerClass::RbNode,
            _ if has_suffix(name, "__str") => PointerClass::ConstStr,
            _ if has_suffix(name, "__map") => PointerClass::Map,
            _ if is("bpf_wq") => PointerClass::Workqueue,
            _ if is("bpf_task_work") => PointerClass::TaskWork,
            _ if has_suffix(name, "__irq_flag") => PointerClass::IrqFlag,
            _ if is("bpf_res_spin_lock") => PointerClass::ResSpinLock,
            _ => PointerClass::Plain {
                is_callback: target.kind() == Kind::FuncProto,
                memory: pointee(self.btf, target),
                size: next.and_then(|next| self.size_arg(next)),
            },
        }
    }

    /// `__is_kfunc_ptr_arg_type`
    fn is_kernel_struct(&self, ty: &Type<'_>, name: &str) -> bool {
        ty.kind() == Kind::Struct
            && ty.name() == name
            && self.kernel.find_by_name(name, Kind::Struct) == Some(ty.id())
    }

    fn size_arg(&self, param: &Param<'_>) -> Option<SizeArg> {
        let ty = self.btf.skip_modifiers(param.type_id).ok()?;
        if !is_number(&ty) {
            return None;
        }
        match param.name() {
            name if has_suffix(name, "__sz") => Some(SizeArg::Any),
            name if has_suffix(name, "__szk") => Some(SizeArg::Constant),
            _ => None,
        }
    }

    fn result(&self, id: TypeId) -> Option<Returns> {
        if id.is_void() {
            return Some(Returns::Nothing);
        }
        let ty = self.btf.skip_modifiers(id).ok()?;
        if is_number(&ty) {
            return Some(Returns::Number(ty.size()?));
        }
        if ty.kind() != Kind::Ptr {
            return Some(Returns::Nothing);
        }
        let target = self.btf.skip_modifiers(ty.target()?).ok()?;
        let node = if self.is_kernel_struct(&target, "bpf_list_node") {
            Some(Node::List)
        } else if self.is_kernel_struct(&target, "bpf_rb_node") {
            Some(Node::Rbtree)
        } else {
            None
        };
        let size = self.btf.resolve_size(target.id()).ok();
        Some(Returns::Pointer { target: target.id(), kind: target.kind(), size, node })
    }
}

/// Whether a parameter's name ends so and has more than that (`btf_param_match_suffix`).
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

/// An integer or an enumeration (`btf_type_is_scalar`).
fn is_number(ty: &Type<'_>) -> bool {
    ty.kind() == Kind::Int || ty.kind().is_enum()
}

fn pointee(btf: &Btf<'_>, ty: &Type<'_>) -> Pointee {
    if ty.id().is_void() {
        return Pointee::Void;
    }
    let numbers = || btf.resolve_size(ty.id()).map_or(Pointee::Other, Pointee::Numbers);
    if is_number(ty) {
        return numbers();
    }
    match scalar_struct(btf, ty) {
        ScalarStruct::Yes => numbers(),
        ScalarStruct::TooDeep => Pointee::TooDeep,
        ScalarStruct::No => Pointee::Other,
    }
}

/// Whether a structure consists of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ScalarStruct {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It is nested too deeply to say; the kernel says so.
    TooDeep,
}

/// Whether a structure or union consists of numbers, arrays of numbers and such structures, four
/// levels deep at most (`__btf_type_is_scalar_struct`).
pub(super) fn scalar_struct(btf: &Btf<'_>, ty: &Type<'_>) -> ScalarStruct {
    const LEVELS: usize = 4;
    if !ty.kind().is_composite() {
        return ScalarStruct::No;
    }
    // The members that are left on each level.
    let mut left: [Option<Members<'_>>; LEVELS] = [const { None }; LEVELS];
    let mut level = 0;
    if let Some(first) = left.first_mut() {
        *first = Some(ty.members());
    }
    while let Some(members) = left.get_mut(level).and_then(Option::as_mut) {
        let Some(member) = members.next() else {
            let Some(above) = level.checked_sub(1) else { return ScalarStruct::Yes };
            level = above;
            continue;
        };
        let Ok(ty) = btf.skip_modifiers(member.type_id) else { return ScalarStruct::No };
        if ty.kind().is_composite() {
            level += 1;
            let Some(place) = left.get_mut(level) else { return ScalarStruct::TooDeep };
            *place = Some(ty.members());
            continue;
        }
        let element = match ty.as_array() {
            Some(array) if array.count == 0 => return ScalarStruct::No,
            Some(array) => btf.skip_modifiers(array.element).ok(),
            None => Some(ty),
        };
        if !element.is_some_and(|ty| is_number(&ty)) {
            return ScalarStruct::No;
        }
    }
    ScalarStruct::Yes
}
