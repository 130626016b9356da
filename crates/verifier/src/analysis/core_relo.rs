// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CO-RE relocations that the kernel applies (`check_core_relo`; `bpf_core_apply` of
//! `kernel/bpf/btf.c`). The algorithm is libbpf's and stands in the crate `btf`; this is what a
//! kernel says about it.

use super::core_candidates::Cache;
use crate::env::{Env, Target};
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::CoreRelo as Message;
use crate::outcome::{Abort, Step, Stop};
use crate::trace::Observer;
use core::fmt::{self, Write as _};
use veristable_btf::relo::{
    self, Candidate, Patch, PatchError, Progress, RawInsn, RelocError, RelocKind, Relocated, Rules,
    Spec, Work,
};
use veristable_btf::{Btf, CoreRelo, Kind, TypeId};
use veristable_isa::Insn;
use veristable_kernel::{Behaviour, Kernel};

/// What the relocations of one program share.
pub(crate) struct Relocations<'a> {
    /// The program's BTF.
    btf: &'a Btf<'a>,
    rules: Rules,
    cache: Cache<'a>,
    work: Work,
}

/// A relocation and its place in the table.
#[derive(Clone, Copy)]
struct Place<'r> {
    relo: &'r CoreRelo,
    index: u32,
    /// The slot that it changes.
    insn: u32,
}

impl<'a> Relocations<'a> {
    /// Nothing is relocated yet.
    pub(crate) fn new<O: Observer>(env: &Env<'a, O>, btf: &'a Btf<'a>) -> Self {
        let rules = Rules {
            levels: 2,
            negative_indexes: !env.has(Behaviour::CoreIndexesChecked),
            element_sizes: env.has(Behaviour::CoreElementSizes),
            form_first: env.has(Behaviour::CoreFormFirst),
            kernel: true,
        };
        Self { btf, rules, cache: Cache::new(), work: Work::default() }
    }

    /// Applies a relocation to its instruction, which exists.
    ///
    /// # Errors
    ///
    /// The rejection.
    pub(crate) fn apply<O: Observer>(
        &mut self,
        env: &mut Env<'a, O>,
        relo: &CoreRelo,
        index: u32,
    ) -> Step {
        let place = Place { relo, index, insn: relo.insn_offset / 8 };
        let answer = self.answer(env, place)?;
        let insn = env.code.insn(place.insn)?;
        let next = place.insn.saturating_add(1);
        let second = env.code.insns.get(next as usize).copied();
        let (mut raw, mut half) = (to_raw(insn), second.map(to_raw));
        match answer.patch(raw, half, self.rules) {
            Ok(patch) => {
                tell_patch(env, place, &answer, patch, (raw, half), self.rules)?;
                patch.apply(&mut raw, half.as_mut());
            }
            Err(error) => return refuse_patch(env, place, &answer, error, raw, self.rules),
        }
        set(env, place.insn, raw)?;
        if let Some(half) = half {
            set(env, next, half)?;
        }
        Ok(())
    }

    /// What the instruction has to become (`bpf_core_apply`, `bpf_core_calc_relo_insn`).
    fn answer<O: Observer>(&mut self, env: &mut Env<'a, O>, place: Place<'_>) -> Step<Relocated> {
        let Place { relo, index, .. } = place;
        let id = relo.type_id;
        let Ok(ty) = self.btf.type_by_id(id) else {
            return env.reject(Message::BadType { index, type_id: id.0 });
        };
        let own_id = relo.kind() == Some(RelocKind::TypeIdLocal);
        let kernel: &'a dyn Kernel = env.kernel;
        let kernel = if own_id { None } else { kernel.btf(None)? };
        let mut ids: &[TypeId] = &[];
        if !own_id {
            let Some(kernel) = kernel.filter(|_| !ty.name_bytes().is_empty()) else {
                return env.reject(Message::NoSearch { type_id: id.0.cast_signed() });
            };
            let found = self.cache.find(&env.budget, kernel, ty.name_bytes(), ty.kind())?;
            ids = &found.ids;
            for id in ids {
                let kind = found.kind.name();
                let name = charged(env, Text::from_bytes(found.name))?;
                env.say(Message::Candidate { kind, name, id: id.0 })?;
            }
        }
        let local = match Spec::parse(self.btf, relo, self.rules) {
            Ok(local) => local,
            Err(error) => return refuse_access(env, place, self.btf, &error),
        };
        let path = path_text(env, &local)?;
        env.say(Message::Parsed { index, path })?;
        if own_id {
            return Ok(local.own_id());
        }
        let candidates = ids.iter().filter_map(|id| Some(Candidate { btf: kernel?, id: *id }));
        let mut told = Ok(());
        let mut watch = |progress: Progress<'_, '_>| {
            if told.is_ok() {
                told = tell_progress(env, index, &progress);
            }
        };
        let answer = relo::choose(&local, candidates, &mut self.work, &mut watch);
        told?;
        answer.or_else(|error| refuse(env, place, &error))
    }
}

/// Puts a changed instruction in its place.
fn set<O: Observer>(env: &mut Env<'_, O>, index: u32, raw: RawInsn) -> Result<(), Abort> {
    let insn = Insn::new(raw.code, raw.dst, raw.src, raw.offset, raw.imm);
    let old = env.code.insns.at_mut(index as usize)?;
    if *old != insn {
        *old = insn;
        if raw.imm == relo::BAD_RELO_HELPER {
            env.code.aux_mut(index)?.target = Target::None;
        }
    }
    Ok(())
}

fn to_raw(insn: Insn) -> RawInsn {
    RawInsn { code: insn.code, dst: insn.dst(), src: insn.src(), offset: insn.off, imm: insn.imm }
}

/// Counts the memory of a text that a message keeps: a program may bring many relocations.
fn charged<O: Observer>(env: &Env<'_, O>, text: Text) -> Result<Text, Abort> {
    env.budget.take(text.as_str().len())?;
    Ok(text)
}

/// A text of at most 255 bytes, the rest is cut.
#[derive(Default)]
struct Cut {
    text: Text,
    len: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        /// Without the byte at the end (`spec_buf` of `bpf_core_calc_relo_insn`).
        const MAX: usize = 255;
        let room = MAX.saturating_sub(self.len);
        let text = text.get(..room.min(text.len())).unwrap_or("");
        self.len = self.len.saturating_add(text.len());
        self.text.write_str(text)
    }
}

/// A path in the kernel's words (`bpf_core_format_spec`).
fn path_text<O: Observer>(env: &Env<'_, O>, path: &Spec<'_>) -> Result<Text, Abort> {
    let mut cut = Cut::default();
    // Writing a text never fails.
    let _ = write!(cut, "{path}");
    charged(env, cut.text)
}

/// What the kernel says of each candidate.
fn tell_progress<O: Observer>(
    env: &mut Env<'_, O>,
    index: u32,
    progress: &Progress<'_, '_>,
) -> Result<(), Abort> {
    let message = match progress {
        Progress::Compared { index: candidate, matches, path, .. } => {
            let (candidate, path) = (*candidate, path_text(env, path)?);
            if *matches {
                Message::Matching { index, candidate, path }
            } else {
                Message::NotMatching { index, candidate, path }
            }
        }
        Progress::Failed {
            error: RelocError::Undecided { .. } | RelocError::TooMuchWork, ..
        } => {
            return Ok(());
        }
        Progress::Failed { index: candidate, path, error } => {
            let (candidate, path) = (*candidate, path_text(env, path)?);
            Message::MatchFailed {
                index,
                candidate,
                path,
                errno: error.kernel_errno().wrapping_neg(),
            }
        }
        Progress::NoMatch => Message::NoTarget { index },
    };
    env.say(message)
}

/// What libbpf's part of the kernel does not decide, or decides by what stands behind its data.
fn undecided<O: Observer, T>(env: &Env<'_, O>, error: &RelocError) -> Option<Step<T>> {
    match error {
        RelocError::Undecided { reason } => Some(env.unsupported("CO-RE relocation", *reason)),
        RelocError::TooMuchWork => {
            Some(env.unsupported("CO-RE relocation", "that is too much work"))
        }
        _ => None,
    }
}

/// A relocation whose access string is not one of its type.
fn refuse_access<O: Observer, T>(
    env: &mut Env<'_, O>,
    place: Place<'_>,
    btf: &Btf<'_>,
    error: &RelocError,
) -> Step<T> {
    if let Some(stop) = undecided(env, error) {
        return stop;
    }
    let Place { relo, index, .. } = place;
    let root = relo.type_id.0;
    if let RelocError::UnexpectedKind { id, kind, position } = error
        && relo.kind().is_some_and(RelocKind::is_field)
    {
        let kind = kind.name();
        env.say(Message::UnexpectedKind { root, position: *position, id: id.0, kind })?;
    }
    let ty = btf.type_by_id(relo.type_id).ok();
    let name = ty.map_or(&b""[..], |ty| ty.name_bytes());
    let name = if name.is_empty() { Text::new("<anon>") } else { Text::from_bytes(name) };
    let name = charged(env, name)?;
    let access = btf.string(relo.access_offset).unwrap_or(b"<?>");
    let access = charged(env, Text::from_bytes(access))?;
    let kind = ty.map_or(Kind::Void, |ty| ty.kind()).name();
    let errno = error.kernel_errno().wrapping_neg();
    env.reject(Message::NotParsed { index, id: root, kind, name, access, errno })
}

/// A relocation that has no answer; what is wrong with a candidate was said before.
fn refuse<O: Observer, T>(env: &mut Env<'_, O>, place: Place<'_>, error: &RelocError) -> Step<T> {
    if let Some(stop) = undecided(env, error) {
        return stop;
    }
    let Place { relo, index, insn } = place;
    let kind = relo.kind_number;
    let word = |value: &Option<u64>| if value.is_some() { "success" } else { "failure" };
    match error {
        RelocError::ArrayAccess { .. } => env.reject(Message::ArrayAccess { kind, insn }),
        RelocError::UnloadableBitField => env.reject(Message::BitField { kind, insn }),
        RelocError::OffsetAmbiguity { first, other } => {
            env.reject(Message::OffsetAmbiguity { index, other: *other, first: *first })
        }
        RelocError::DecisionAmbiguity { first, other } => env.reject(Message::DecisionAmbiguity {
            index,
            other_word: word(other),
            other: other.unwrap_or(0),
            first_word: word(first),
            first: first.unwrap_or(0),
        }),
        error => Err(Stop::Rejected(errno(error.kernel_errno()))),
    }
}

fn errno(number: i32) -> Errno {
    u16::try_from(number).map_or(Errno::EINVAL, Errno)
}

/// The 64-bit constant of which these are the halves.
fn constant(insn: RawInsn, second: Option<RawInsn>) -> u64 {
    let high = second.map_or(0, |half| half.imm.cast_unsigned());
    u64::from(high) << 32 | u64::from(insn.imm.cast_unsigned())
}

/// What the kernel says of a changed instruction (`bpf_core_patch_insn`).
fn tell_patch<O: Observer>(
    env: &mut Env<'_, O>,
    place: Place<'_>,
    answer: &Relocated,
    patch: Patch,
    (raw, second): (RawInsn, Option<RawInsn>),
    rules: Rules,
) -> Result<(), Abort> {
    let Place { index, insn, .. } = place;
    let new = answer.new;
    match patch {
        Patch::Poison => {
            if !answer.poison {
                env.say(Message::WrongAccess { index, insn })?;
            }
            let is_wide = Insn::is_ldimm64(Insn::new(raw.code, 0, 0, 0, 0));
            let next = insn.saturating_add(1);
            let (first, last) = if rules.form_first { (insn, next) } else { (next, insn) };
            if is_wide {
                env.say(Message::Substituted { index, insn: first })?;
            }
            env.say(Message::Substituted { index, insn: if is_wide { last } else { insn } })
        }
        Patch::Imm(_) => {
            let old = i64::from(raw.imm).cast_unsigned();
            env.say(Message::PatchedImm { index, insn, old, new })
        }
        Patch::Imm64 { .. } => {
            env.say(Message::PatchedImm64 { index, insn, old: constant(raw, second), new })
        }
        Patch::Memory { .. } => {
            tell_offset(env, place, answer, raw)?;
            let (old, new) = (answer.original_size, answer.new_size);
            if old != new {
                env.say(Message::PatchedSize { index, insn, old, new })?;
            }
            Ok(())
        }
    }
}

fn tell_offset<O: Observer>(
    env: &mut Env<'_, O>,
    place: Place<'_>,
    answer: &Relocated,
    raw: RawInsn,
) -> Result<(), Abort> {
    let Place { index, insn, .. } = place;
    let old = i64::from(raw.offset).cast_unsigned();
    env.say(Message::PatchedOffset { index, insn, old, new: answer.new })
}

/// An instruction that is none that the compiler makes for such a relocation.
fn refuse_patch<O: Observer>(
    env: &mut Env<'_, O>,
    place: Place<'_>,
    answer: &Relocated,
    error: PatchError,
    raw: RawInsn,
    rules: Rules,
) -> Step {
    let Place { index, insn, .. } = place;
    match error {
        // Older kernels are silent.
        PatchError::NoImmediate { .. } if !rules.form_first => Err(Stop::Rejected(Errno::EINVAL)),
        PatchError::NoImmediate { code } | PatchError::Unrecognized { code } => {
            let (src, dst) = (raw.src, raw.dst);
            let (off, imm) = (i32::from(raw.offset), raw.imm);
            env.reject(Message::Unrecognized { index, insn, code, src, dst, off, imm })
        }
        PatchError::UnexpectedValue { found, expected: original, new } => {
            let low = (found & 0xffff_ffff) as u32;
            match raw.code & 7 {
                0 => env.reject(Message::UnexpectedImm64 { index, insn, found, original, new }),
                4 | 7 => {
                    env.reject(Message::UnexpectedImm { index, insn, found: low, original, new })
                }
                _ => {
                    env.reject(Message::UnexpectedOffset { index, insn, found: low, original, new })
                }
            }
        }
        PatchError::OffsetTooLarge { new } => {
            env.reject(Message::OffsetTooBig { index, insn, new })
        }
        PatchError::UnexpectedSize { found, expected } => {
            tell_offset(env, place, answer, raw)?;
            env.reject(Message::UnexpectedSize { index, insn, found, expected })
        }
        PatchError::InvalidSize { new } => {
            tell_offset(env, place, answer, raw)?;
            env.reject(Message::InvalidSize { index, insn, new })
        }
        PatchError::UnexpectedForm => env.reject(Message::UnexpectedForm { index, insn }),
    }
}
