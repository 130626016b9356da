// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The things that can be needed of a kernel.

use crate::InsnClass;
use core::fmt;
use veristable_kernel::{AttachType, HelperId, Kernel, MapType, ProgType};
use veristable_object::CoreUse;

/// What kind of thing is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ItemKind {
    /// A program type.
    ProgramType,
    /// An attach type.
    AttachType,
    /// What is attached to by BTF: a function, tracepoint, hook or iterator.
    Target,
    /// A member of a structure of functions.
    StructOps,
    /// A helper.
    Helper,
    /// A kernel function.
    Kfunc,
    /// A map type.
    MapType,
    /// A class of instructions.
    Instruction,
    /// A variable or another symbol of the kernel.
    Symbol,
    /// A configuration option.
    Config,
    /// A type, field or enum value that CO-RE looks for.
    KernelType,
    /// A behaviour of the verifier.
    Behaviour,
}

impl ItemKind {
    /// The word for it in every format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProgramType => "program type",
            Self::AttachType => "attach type",
            Self::Target => "attach target",
            Self::StructOps => "struct_ops",
            Self::Helper => "helper",
            Self::Kfunc => "kfunc",
            Self::MapType => "map type",
            Self::Instruction => "instruction",
            Self::Symbol => "kernel symbol",
            Self::Config => "configuration",
            Self::KernelType => "kernel type",
            Self::Behaviour => "behaviour",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What kind of target a program attaches to by BTF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TargetKind {
    /// A kernel function.
    Function,
    /// A tracepoint.
    Tracepoint,
    /// An LSM hook.
    LsmHook,
    /// What an iterator goes over.
    Iterator,
    /// A function of another program: no matter of the kernel.
    Program,
}

impl TargetKind {
    /// By the types of the program (`btf_get_kernel_prefix_kind` of libbpf).
    #[must_use]
    pub fn of(prog_type: ProgType, attach_type: AttachType) -> Self {
        match (prog_type, attach_type) {
            (ProgType::EXT, _) => Self::Program,
            (_, AttachType::TRACE_RAW_TP) => Self::Tracepoint,
            (_, AttachType::LSM_MAC | AttachType::LSM_CGROUP) => Self::LsmHook,
            (_, AttachType::TRACE_ITER) => Self::Iterator,
            _ => Self::Function,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Tracepoint => "tracepoint",
            Self::LsmHook => "LSM hook",
            Self::Iterator => "iterator over",
            Self::Program => "program function",
        }
    }
}

/// One thing that is needed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Item {
    /// Programs of this type.
    ProgramType(ProgType),
    /// Programs of this type with this attach type.
    AttachType(ProgType, AttachType),
    /// A target to attach to, without the prefixes that the kernel adds.
    Target(TargetKind, String),
    /// A member of a structure of functions.
    StructOps {
        /// The structure.
        structure: String,
        /// The member.
        member: String,
    },
    /// A helper.
    Helper(HelperId),
    /// A kernel function.
    Kfunc(String),
    /// A kernel function by its BTF id in a kernel that is not known.
    KfuncId(u32),
    /// Maps of this type.
    MapType(MapType),
    /// Instructions of a class.
    Instruction(InsnClass),
    /// A kernel variable with its type.
    Variable(String),
    /// The address of a kernel symbol.
    Symbol(String),
    /// A configuration option.
    Config(String),
    /// A type, field or enum value.
    Core(CoreUse, String),
}

impl Item {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ItemKind {
        match self {
            Self::ProgramType(_) => ItemKind::ProgramType,
            Self::AttachType(..) => ItemKind::AttachType,
            Self::Target(..) => ItemKind::Target,
            Self::StructOps { .. } => ItemKind::StructOps,
            Self::Helper(_) => ItemKind::Helper,
            Self::Kfunc(_) | Self::KfuncId(_) => ItemKind::Kfunc,
            Self::MapType(_) => ItemKind::MapType,
            Self::Instruction(_) => ItemKind::Instruction,
            Self::Variable(_) | Self::Symbol(_) => ItemKind::Symbol,
            Self::Config(_) => ItemKind::Config,
            Self::Core(..) => ItemKind::KernelType,
        }
    }

    /// Its name, as programs write it. Helpers are named by the first of the kernels that knows
    /// the number.
    #[must_use]
    pub fn name<'k>(&self, kernels: impl IntoIterator<Item = &'k dyn Kernel>) -> String {
        match self {
            Self::ProgramType(ty) => prog_type(*ty),
            Self::AttachType(_, ty) => {
                ty.name().map_or_else(|| ty.0.to_string(), str::to_ascii_lowercase)
            }
            Self::Target(kind, name) => format!("{} {name}", kind.word()),
            Self::StructOps { structure, member } => format!("{structure}.{member}"),
            Self::Helper(id) => {
                let name = kernels.into_iter().find_map(|kernel| kernel.helper_name(*id));
                name.map_or_else(|| format!("number {}", id.0), |name| format!("bpf_{name}"))
            }
            Self::KfuncId(id) => format!("BTF id {id}"),
            Self::MapType(ty) => {
                ty.name().map_or_else(|| ty.0.to_string(), str::to_ascii_lowercase)
            }
            Self::Instruction(class) => class.name().to_owned(),
            Self::Kfunc(name)
            | Self::Variable(name)
            | Self::Symbol(name)
            | Self::Config(name)
            | Self::Core(_, name) => name.clone(),
        }
    }
}

/// A program type in the lower-case spelling of its constant.
pub(crate) fn prog_type(ty: ProgType) -> String {
    ty.name().map_or_else(|| ty.0.to_string(), str::to_ascii_lowercase)
}
