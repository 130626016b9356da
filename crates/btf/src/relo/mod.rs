// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CO-RE: what instructions have to become for a given kernel, as libbpf 1.7 computes it
//! (tools/lib/bpf/relo_core.c and `bpf_core_find_cands` of tools/lib/bpf/libbpf.c in Linux 6.18),
//! or a kernel for programs that bring their relocations with them: the same file, with other
//! limits ([`Rules`]).
//!
//! A [`Relocator`] answers for each [`CoreRelo`] of an object with a [`Relocated`], which in turn
//! says what an instruction becomes: [`Relocated::patch`]. Who has candidates of his own and wants to
//! hear of every step takes these one by one: [`Spec::parse`], [`candidates`], [`choose`].

mod compat;
mod find;
mod names;
mod patch;
mod spec;
mod value;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::{Btf, CoreRelo, Error, Kind, TypeId};

pub use compat::types_are_compatible;
pub use find::{Candidate, candidates};
pub use names::essential_name;
pub use patch::{BAD_RELO_HELPER, Patch, PatchError, RawInsn};
pub use spec::Spec;

/// In what libbpf and kernels differ that relocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many calls deep types are compared (`MAX_TYPES_ARE_COMPAT_DEPTH` and
    /// `MAX_TYPES_MATCH_DEPTH` of kernel/bpf/btf.c; 32 in libbpf).
    pub levels: u32,
    /// Whether access strings may have negative indexes (`bpf_core_parse_spec`).
    pub negative_indexes: bool,
    /// Whether loads of a field that is an array have the size of its elements
    /// (`bpf_core_calc_field_relo`).
    pub element_sizes: bool,
    /// Whether an instruction that could not have been relocated is refused even if there is no
    /// answer (`bpf_core_patch_insn`).
    pub form_first: bool,
    /// Whether a kernel relocates: which kinds of types have sizes, what numbers look like, and how
    /// kinds are written.
    pub kernel: bool,
}

impl Rules {
    /// Those of libbpf. It lets negative indexes pass, and reads outside of the type; here, as in
    /// libbpf 1.8, they are an error.
    pub const LIBBPF: Self = Self {
        levels: 32,
        negative_indexes: false,
        element_sizes: true,
        form_first: false,
        kernel: false,
    };
}

/// What a relocation asks: `enum bpf_core_relo_kind` of include/uapi/linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelocKind {
    /// At which byte is the field?
    FieldByteOffset,
    /// How many bytes has the field?
    FieldByteSize,
    /// Does the field exist?
    FieldExists,
    /// Is the field signed?
    FieldSigned,
    /// By how much must the loaded bit-field be shifted to the left?
    FieldLshiftU64,
    /// By how much must it then be shifted to the right?
    FieldRshiftU64,
    /// Which id has the type in the object?
    TypeIdLocal,
    /// Which id has the type in the kernel?
    TypeIdTarget,
    /// Does the type exist?
    TypeExists,
    /// How many bytes has the type?
    TypeSize,
    /// Does the enum value exist?
    EnumvalExists,
    /// What is the enum value?
    EnumvalValue,
    /// Does the type exist with the same contents?
    TypeMatches,
}

impl RelocKind {
    /// The kind with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::FieldByteOffset,
            1 => Self::FieldByteSize,
            2 => Self::FieldExists,
            3 => Self::FieldSigned,
            4 => Self::FieldLshiftU64,
            5 => Self::FieldRshiftU64,
            6 => Self::TypeIdLocal,
            7 => Self::TypeIdTarget,
            8 => Self::TypeExists,
            9 => Self::TypeSize,
            10 => Self::EnumvalExists,
            11 => Self::EnumvalValue,
            12 => Self::TypeMatches,
            _ => return None,
        })
    }

    /// The number of the kind in the data.
    pub const fn number(self) -> u32 {
        match self {
            Self::FieldByteOffset => 0,
            Self::FieldByteSize => 1,
            Self::FieldExists => 2,
            Self::FieldSigned => 3,
            Self::FieldLshiftU64 => 4,
            Self::FieldRshiftU64 => 5,
            Self::TypeIdLocal => 6,
            Self::TypeIdTarget => 7,
            Self::TypeExists => 8,
            Self::TypeSize => 9,
            Self::EnumvalExists => 10,
            Self::EnumvalValue => 11,
            Self::TypeMatches => 12,
        }
    }

    /// Whether it asks about a field.
    pub const fn is_field(self) -> bool {
        matches!(
            self,
            Self::FieldByteOffset
                | Self::FieldByteSize
                | Self::FieldExists
                | Self::FieldSigned
                | Self::FieldLshiftU64
                | Self::FieldRshiftU64
        )
    }

    /// Whether it asks about a type as a whole.
    pub const fn is_type(self) -> bool {
        matches!(
            self,
            Self::TypeIdLocal
                | Self::TypeIdTarget
                | Self::TypeExists
                | Self::TypeSize
                | Self::TypeMatches
        )
    }

    /// Whether it asks about an enum's value.
    pub const fn is_enum_value(self) -> bool {
        matches!(self, Self::EnumvalExists | Self::EnumvalValue)
    }
}

impl fmt::Display for RelocKind {
    /// libbpf's word for the kind (`core_relo_kind_str`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldByteOffset => "byte_off",
            Self::FieldByteSize => "byte_sz",
            Self::FieldExists => "field_exists",
            Self::FieldSigned => "signed",
            Self::FieldLshiftU64 => "lshift_u64",
            Self::FieldRshiftU64 => "rshift_u64",
            Self::TypeIdLocal => "local_type_id",
            Self::TypeIdTarget => "target_type_id",
            Self::TypeExists => "type_exists",
            Self::TypeSize => "type_size",
            Self::EnumvalExists => "enumval_exists",
            Self::EnumvalValue => "enumval_value",
            Self::TypeMatches => "type_matches",
        })
    }
}

/// Why a relocation has no answer, so that libbpf refuses to load the object. (A field that does
/// not exist in the kernel is an answer: [`Relocated::poison`].)
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelocError {
    /// The object's or the kernel's BTF is bad.
    Btf(Error),
    /// The relocation is of a kind that is not known.
    UnknownKind {
        /// The number of the kind.
        number: u32,
    },
    /// Types without names cannot be looked for in a kernel.
    Anonymous {
        /// The type of the object.
        id: TypeId,
    },
    /// The access string makes no sense for the object's own type.
    BadAccess {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The access string leads into something that has no parts.
    UnexpectedKind {
        /// The type that was reached.
        id: TypeId,
        /// Its kind.
        kind: Kind,
        /// Which index of the access string leads there, from 0.
        position: u32,
    },
    /// A type of the kernel is too large for a path to lead into.
    TooLarge {
        /// The type of the kernel.
        id: TypeId,
    },
    /// More than 64 structs are nested.
    TooDeep,
    /// A comparison of types came to more than 32 levels.
    TooManyLevels,
    /// Array elements have no sign and no shifts.
    ArrayAccess {
        /// What was asked of the array element.
        kind: RelocKind,
    },
    /// The bit-field cannot be loaded with one load of 64 bits.
    UnloadableBitField,
    /// Several types of the kernel match, with the field at different places.
    OffsetAmbiguity {
        /// The offset in the first type, in bits.
        first: u32,
        /// The offset in another.
        other: u32,
    },
    /// Several types of the kernel match, with different answers: values, or `None` where the
    /// relocation has none.
    DecisionAmbiguity {
        /// The answer by the first type.
        first: Option<u64>,
        /// The answer by another.
        other: Option<u64>,
    },
    /// The types are so large or so entangled that the comparison was given up; libbpf would go on.
    TooMuchWork,
    /// What a kernel does here depends on what stands in its memory, or would break it.
    Undecided {
        /// What it does.
        reason: &'static str,
    },
}

impl RelocError {
    /// The number of the error with which libbpf's load fails, such as 22 for `EINVAL`.
    pub const fn errno(&self) -> i32 {
        const EINVAL: i32 = 22;
        const E2BIG: i32 = 7;
        match self {
            Self::TooLarge { .. } | Self::TooDeep | Self::UnloadableBitField => E2BIG,
            _ => EINVAL,
        }
    }

    /// The number of the error that a kernel has in its place; a type that is too large is not
    /// told from one without a size there (`btf_resolve_size`).
    pub const fn kernel_errno(&self) -> i32 {
        match self {
            Self::TooLarge { .. } => 22,
            _ => self.errno(),
        }
    }
}

impl From<Error> for RelocError {
    fn from(error: Error) -> Self {
        Self::Btf(error)
    }
}

impl fmt::Display for RelocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Btf(error) => error.fmt(f),
            Self::UnknownKind { number } => write!(f, "unknown kind of CO-RE relocation {number}"),
            Self::Anonymous { id } => {
                write!(f, "type {id} has no name, and cannot be looked for in a kernel")
            }
            Self::BadAccess { problem } => write!(f, "malformed access string: {problem}"),
            Self::UnexpectedKind { id, kind, .. } => {
                write!(f, "the access string leads to type {id} of unexpected kind {kind}")
            }
            Self::TooLarge { id } => Error::TooLarge { id: *id }.fmt(f),
            Self::TooDeep => f.write_str("more than 64 nested structs, unions and arrays"),
            Self::TooManyLevels => f.write_str("more than 32 levels of types to compare"),
            Self::ArrayAccess { kind } => {
                write!(f, "relocation {kind} cannot be applied to an array element")
            }
            Self::UnloadableBitField => {
                f.write_str("the bit-field cannot be loaded with 64 bits at once")
            }
            Self::OffsetAmbiguity { first, other } => {
                write!(f, "field offset ambiguity: {other} != {first}")
            }
            Self::DecisionAmbiguity { first, other } => {
                let word =
                    |value: &Option<u64>| if value.is_some() { "success" } else { "failure" };
                let number = |value: &Option<u64>| value.unwrap_or(0);
                write!(
                    f,
                    "relocation decision ambiguity: {} {} != {} {}",
                    word(other),
                    number(other),
                    word(first),
                    number(first)
                )
            }
            Self::TooMuchWork => f.write_str("comparing the types takes too long"),
            Self::Undecided { reason } => f.write_str(reason),
        }
    }
}

impl core::error::Error for RelocError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Btf(error) => Some(error),
            _ => None,
        }
    }
}

/// The answer to a relocation: `struct bpf_core_relo_res`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocated {
    /// The value that the compiler put into the instruction.
    pub original: u64,
    /// The value for this kernel.
    pub new: u64,
    /// There is no value for this kernel: the instruction is to become one that does not load.
    pub poison: bool,
    /// Whether the instruction must have the original value before it is patched.
    pub validate: bool,
    /// The field has another size here, and not both are pointers or unsigned integers: a load or
    /// store is to be poisoned.
    pub fail_size_change: bool,
    /// The size of the field in the object in bytes, 0 if it does not matter.
    pub original_size: u32,
    /// The size of the field in this kernel in bytes, 0 if it does not matter.
    pub new_size: u32,
}

impl Relocated {
    /// The answer from which every computation starts.
    const fn start() -> Self {
        Self {
            original: 0,
            new: 0,
            poison: false,
            validate: true,
            fail_size_change: false,
            original_size: 0,
            new_size: 0,
        }
    }
}

/// Work that a relocator may still do, in members, values and types looked at.
///
/// Types that nest without end, or nearly, would otherwise keep libbpf's algorithms busy for
/// years.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    left: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: MAX_WORK }
    }
}

impl Work {
    /// Counts one step.
    const fn step(&mut self) -> Result<(), RelocError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(RelocError::TooMuchWork),
        }
    }
}

/// Answers the relocations of one object for one kernel.
#[derive(Clone, Debug)]
pub struct Relocator<'t> {
    local: &'t Btf<'t>,
    kernel: &'t Btf<'t>,
    modules: Vec<&'t Btf<'t>>,
    /// Candidates by the object's type, less those that an earlier relocation ruled out.
    candidates: BTreeMap<TypeId, Vec<Candidate<'t>>>,
    work: Work,
}

/// How many steps all relocations of an object may take. Of the kernel's own tests (7.3, against a
/// kernel 6.18) the most expensive object needs 37,420.
const MAX_WORK: u64 = 20_000_000;

impl<'t> Relocator<'t> {
    /// A relocator for an object with the BTF `local` and a kernel with the BTF `kernel`, which
    /// should have an index of names.
    pub const fn new(local: &'t Btf<'t>, kernel: &'t Btf<'t>) -> Self {
        let work = Work { left: MAX_WORK };
        Self { local, kernel, modules: Vec::new(), candidates: BTreeMap::new(), work }
    }

    /// Adds the split BTF of the kernel's modules. Only types that the kernel proper does not have
    /// are looked for there, and only among each module's own types.
    #[must_use]
    pub fn with_modules(mut self, modules: impl IntoIterator<Item = &'t Btf<'t>>) -> Self {
        self.modules.extend(modules);
        self
    }

    /// Answers a relocation (`bpf_core_resolve_relo`, `bpf_core_calc_relo_insn`).
    ///
    /// # Errors
    ///
    /// If libbpf would refuse to load the object because of it.
    pub fn relocate(&mut self, relo: &CoreRelo) -> Result<Relocated, RelocError> {
        let number = relo.kind_number;
        let kind = relo.kind().ok_or(RelocError::UnknownKind { number })?;
        self.local.type_by_id(relo.type_id)?;
        if kind != RelocKind::TypeIdLocal {
            self.prepare_candidates(relo.type_id)?;
        }
        let local = Spec::parse(self.local, relo, Rules::LIBBPF)?;
        if kind == RelocKind::TypeIdLocal {
            return Ok(local.own_id());
        }
        let candidates = self.candidates.get(&relo.type_id).map_or(&[][..], Vec::as_slice);
        let mut kept = Vec::new();
        let mut keep = |progress: Progress<'_, 't>| {
            if let Progress::Compared { candidate, matches: true, .. } = progress {
                kept.push(candidate);
            }
        };
        let answer = choose(&local, candidates.iter().copied(), &mut self.work, &mut keep)?;
        if !kept.is_empty() {
            self.candidates.insert(relo.type_id, kept);
        }
        Ok(answer)
    }

    /// What a relocation speaks of, as libbpf prints it in the place of the verifier's complaint
    /// about a poisoned instruction (`bpf_core_format_spec`, `fixup_log_failed_core_relo`).
    ///
    /// # Errors
    ///
    /// If the relocation is malformed.
    pub fn describe(local: &Btf<'_>, relo: &CoreRelo) -> Result<String, RelocError> {
        let number = relo.kind_number;
        relo.kind().ok_or(RelocError::UnknownKind { number })?;
        Ok(Spec::parse(local, relo, Rules::LIBBPF)?.to_string())
    }

    /// What a relocation speaks of, for people: `task_struct.pid`, `bpf_func_id::BPF_FUNC_loop`, or
    /// a type's name, without flavours.
    ///
    /// # Errors
    ///
    /// If the relocation is malformed.
    pub fn subject(local: &Btf<'_>, relo: &CoreRelo) -> Result<String, RelocError> {
        let number = relo.kind_number;
        relo.kind().ok_or(RelocError::UnknownKind { number })?;
        Ok(Spec::parse(local, relo, Rules::LIBBPF)?.subject())
    }

    /// Looks for the types of the kernel that have the name and kind of the object's type.
    fn prepare_candidates(&mut self, id: TypeId) -> Result<(), RelocError> {
        if self.candidates.contains_key(&id) {
            return Ok(());
        }
        let local = self.local.type_by_id(id)?;
        if local.name_bytes().is_empty() {
            return Err(RelocError::Anonymous { id });
        }
        let kind = local.kind();
        let kinds = |found| compat::compatible_kinds(found, kind);
        let mut candidates = find::candidates(local.name_bytes(), kinds, self.kernel);
        if candidates.is_empty() {
            let modules = self.modules.iter();
            candidates.extend(
                modules.flat_map(|module| find::candidates(local.name_bytes(), kinds, module)),
            );
        }
        self.candidates.insert(id, candidates);
        Ok(())
    }
}

/// How far a relocation is.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'p, 't> {
    /// A candidate was compared.
    Compared {
        /// Its place among the candidates.
        index: u32,
        /// The candidate.
        candidate: Candidate<'t>,
        /// Whether it is what the object means.
        matches: bool,
        /// How far the object's path leads in it.
        path: &'p Spec<'t>,
    },
    /// A candidate could not be compared, which ends the relocation.
    Failed {
        /// Its place among the candidates.
        index: u32,
        /// How far the object's path leads in it.
        path: &'p Spec<'t>,
        /// What is wrong.
        error: &'p RelocError,
    },
    /// There is no candidate that matches.
    NoMatch,
}

/// Answers a relocation by the candidates, which have to agree (`bpf_core_calc_relo_insn`, but for
/// what is before its loop).
///
/// # Errors
///
/// If they do not, or one cannot be compared.
pub fn choose<'t>(
    local: &Spec<'_>,
    candidates: impl Iterator<Item = Candidate<'t>>,
    work: &mut Work,
    watch: &mut dyn FnMut(Progress<'_, 't>),
) -> Result<Relocated, RelocError> {
    let mut found: Option<(Relocated, u32)> = None;
    for (index, candidate) in (0..).zip(candidates) {
        let mut path = Spec::new(candidate.btf, local.kind, candidate.id, local.rules);
        let matches = match find::match_spec(local, &mut path, work) {
            Ok(matches) => matches,
            Err(error) => {
                watch(Progress::Failed { index, path: &path, error: &error });
                return Err(error);
            }
        };
        watch(Progress::Compared { index, candidate, matches, path: &path });
        if !matches {
            continue;
        }
        let answer = value::relocate(local, Some(&path))?;
        match &found {
            None => found = Some((answer, path.bit_offset)),
            Some(first) => check_unambiguous(first, (&answer, path.bit_offset))?,
        }
    }
    if let Some((answer, _)) = found {
        return Ok(answer);
    }
    watch(Progress::NoMatch);
    value::relocate(local, None)
}

/// The size of a type in bytes (`btf__resolve_size` of libbpf, `btf_resolve_size` of the kernel).
fn size_of(btf: &Btf<'_>, id: TypeId, rules: Rules) -> Result<u32, RelocError> {
    if !rules.kernel {
        return Ok(btf.resolve_size(id)?);
    }
    let kind = btf.skip_modifiers(id)?.kind();
    if matches!(kind, Kind::Var | Kind::DeclTag | Kind::Datasec) {
        return Err(Error::NoSize { id, kind }.into());
    }
    let size = btf.resolve_size(id)?;
    if i32::try_from(size).is_err() {
        // The size is returned as a number with a sign, and taken for an error.
        return Err(RelocError::Undecided { reason: "type of 2 GiB or more" });
    }
    Ok(size)
}

/// All candidates have to agree: on the place of the field, and on the answer.
fn check_unambiguous(first: &(Relocated, u32), other: (&Relocated, u32)) -> Result<(), RelocError> {
    let value = |answer: &Relocated| (!answer.poison).then_some(answer.new);
    if first.1 != other.1 {
        return Err(RelocError::OffsetAmbiguity { first: first.1, other: other.1 });
    }
    if value(&first.0) != value(other.0) {
        let (first, other) = (value(&first.0), value(other.0));
        return Err(RelocError::DecisionAmbiguity { first, other });
    }
    Ok(())
}
