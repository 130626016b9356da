// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What may be asked of a kernel.
//!
//! A kernel is *facts* (helper prototypes, kfunc sets, context tables, BTF, configuration) and
//! *behaviours* (known differences between verifiers). The [`Kernel`] trait is the only way in
//! which the linker and the verifier see either; a [`Profile`], the running kernel and a recording
//! wrapper are its implementations. Nothing here runs a program.
//!
//! ```text
//! question   the trait
//! facts      the answers
//! types      register, argument and return types, flags
//! behaviour  the table of behaviours, limits, designs
//! ids        numbers of the system call that have names
//! profile    a kernel as plain data
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod behaviour;
mod errno;
mod facts;
mod ids;
pub mod profile;
mod question;
mod strings;
mod types;

pub use behaviour::{Behaviour, Behaviours, DesignId, Limits};
pub use errno::errno_name;
pub use facts::{
    Allowed, ContextTypes, CtxAccess, CtxAnswer, CtxField, Direction, FactKind, Helper,
    HelperAnswer, HelperArg, HelperBtf, IterTarget, JitFeature, Kfunc, KfuncRef, LsmHook,
    MapTypeFacts, NameList, Origin, ProgTypeFacts, ReturnRange, Sleepable, StructOps,
    StructOpsMember, Tracepoint, TypeRef, TypedArg,
};
pub use ids::{AttachType, HelperId, MapType, ProgType};
pub use profile::Profile;
pub use question::{Answer, CompatibleRegisters, Fact, Kernel, KernelId, ProgContext};
pub use strings::{StrId, Strings};
pub use types::{
    ArgBase, ArgType, BtfKind, KfuncFlags, LoaderNeeds, RegBase, RegType, RetBase, RetType,
    TypeFlags,
};
