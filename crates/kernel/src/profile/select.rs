// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which measured kind of program answers for a given program.
//!
//! Tables exist for some dozens of *variants*: program type, expected attach type, sleepable or
//! not, and for some types one or a few attach targets. A program that matches one is answered by
//! it. For others, one cell at a time:
//!
//! 1. Variants of the same type, attach type and sleepability but other targets answer if they
//!    agree: availability does not depend on the target, with the exceptions that have tables of
//!    their own ([`super::HookRule`], struct_ops).
//! 2. If only the sleepability was not measured for the attach type: where another attach type of
//!    the program type was measured both ways and shows no difference, it is as without. If it
//!    does show one, and both attach types agree without, they agree with.
//! 3. An attach type that was not measured: if all variants of the type agree, so does it. Sessions
//!    of uprobes are uprobes of several places (`is_uprobe_multi` of `kernel/trace/bpf_trace.c`).
//!
//! Everything else is an unknown fact.

use super::{Profile, prog_type_text};
use crate::{AttachType, Behaviour, Fact, ProgContext, ProgType, ReturnRange, StrId};
use alloc::string::ToString;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a variant attaches to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Attachment {
    /// Nothing.
    None,
    /// A function, tracepoint or hook, without the prefixes that the kernel adds.
    Target(StrId),
}

/// A kind of program whose tables were found out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Variant {
    /// Name, as in the decoded data.
    pub name: StrId,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type.
    pub attach_type: AttachType,
    /// Sleepable.
    pub sleepable: bool,
    /// What it attaches to.
    pub attachment: Attachment,
    /// Index of the helper set, if decoded.
    pub helpers: Option<u16>,
    /// Index of what the helpers need of the loader, if measured.
    pub needs: Option<u16>,
    /// Index of the kfunc set, if decoded.
    pub kfuncs: Option<u16>,
    /// Index of the context table, if decoded.
    pub context: Option<u16>,
    /// What a program may return, if measured.
    pub ret: Option<ReturnRange>,
    /// Whether a program may be sleepable, if measured: the empty string, or the message.
    pub sleepable_ok: Option<StrId>,
}

impl Profile {
    fn is_exact(&self, variant: &Variant, program: &ProgContext<'_>) -> bool {
        variant.prog_type == program.prog_type
            && variant.attach_type == program.expected_attach_type
            && variant.sleepable == program.sleepable
            && match variant.attachment {
                Attachment::None => program.attach_name.is_none(),
                Attachment::Target(name) => Some(self.facts.str(name)) == program.attach_name,
            }
    }

    /// The variant that was measured for exactly such programs and has what is asked for.
    pub(super) fn exact<T>(
        &self,
        program: &ProgContext<'_>,
        cell: impl Fn(&Variant) -> Option<T>,
    ) -> Option<T> {
        self.facts.variants.iter().filter(|variant| self.is_exact(variant, program)).find_map(cell)
    }

    /// The answer of one cell, chosen as this module says.
    pub(super) fn decide<T: PartialEq + Copy>(
        &self,
        program: &ProgContext<'_>,
        what: &dyn fmt::Display,
        cell: impl Fn(&Variant) -> Option<T>,
    ) -> Result<T, Fact> {
        let of_type = || {
            let variants = self.facts.variants.iter();
            variants.filter(|variant| variant.prog_type == program.prog_type)
        };
        let program =
            &ProgContext { expected_attach_type: self.known_attach_type(program), ..*program };
        let like = |attach: AttachType, sleepable: bool| {
            let same = move |v: &&Variant| v.attach_type == attach && v.sleepable == sleepable;
            agreed(of_type().filter(same).filter_map(&cell))
        };
        let attach = program.expected_attach_type;
        if let Some(value) = self.exact(program, &cell) {
            return Ok(value);
        }
        match like(attach, program.sleepable) {
            Agreed::On(value) => return Ok(value),
            Agreed::Never => return Err(self.not_measured(program, what)),
            Agreed::NoData => {}
        }
        // Only the other sleepability was measured for this attach type.
        if let Agreed::On(here) = like(attach, !program.sleepable) {
            let pairs = of_type().filter_map(|v| {
                let other = like(v.attach_type, !program.sleepable).value()?;
                Some((other, like(v.attach_type, program.sleepable).value()?))
            });
            let pairs = || pairs.clone();
            if pairs().all(|(other, this)| other == this) {
                return Ok(here);
            }
            return agreed(pairs().filter(|(other, _)| *other == here).map(|(_, this)| this))
                .value()
                .ok_or_else(|| self.not_measured(program, what));
        }
        let all = agreed(of_type().filter_map(&cell));
        all.value().ok_or_else(|| self.not_measured(program, what))
    }

    /// The attach type whose measurements hold for a program's.
    fn known_attach_type(&self, program: &ProgContext<'_>) -> AttachType {
        let attach = program.expected_attach_type;
        let is_session = attach == AttachType::TRACE_UPROBE_SESSION
            && program.prog_type == ProgType::KPROBE
            && self.behaviours.has(Behaviour::UprobeSessionReturns);
        let is_measured = |variant: &Variant| variant.attach_type == attach;
        if is_session && !self.facts.variants.iter().any(is_measured) {
            return AttachType::TRACE_UPROBE_MULTI;
        }
        attach
    }

    pub(super) fn not_measured(&self, program: &ProgContext<'_>, what: &dyn fmt::Display) -> Fact {
        let attach = program.expected_attach_type;
        let attach = attach.name().map_or_else(|| attach.0.to_string(), ToString::to_string);
        let sleepable = if program.sleepable { "sleepable " } else { "" };
        let prog_type = prog_type_text(program.prog_type);
        self.unknown(format_args!(
            "{what} for {sleepable}{prog_type} programs of attach type {attach}"
        ))
    }
}

enum Agreed<T> {
    NoData,
    Never,
    On(T),
}

impl<T> Agreed<T> {
    fn value(self) -> Option<T> {
        if let Self::On(value) = self { Some(value) } else { None }
    }
}

fn agreed<T: PartialEq>(values: impl Iterator<Item = T>) -> Agreed<T> {
    let mut first = None;
    for value in values {
        match &first {
            None => first = Some(value),
            Some(known) if *known == value => {}
            Some(_) => return Agreed::Never,
        }
    }
    first.map_or(Agreed::NoData, Agreed::On)
}
