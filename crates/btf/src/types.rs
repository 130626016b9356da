// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Views of types: what one type says, without copying it.

use core::fmt;

use crate::raw::{info_flag, info_kind, info_vlen};
use crate::{Btf, Members, Params, SectionVars, Values};

/// The number of a type. 0 is `void`; the types of split BTF continue those of its base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The type `void`, which is not in the data.
    pub const VOID: Self = Self(0);

    /// Whether this is `void`.
    pub const fn is_void(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

impl From<u32> for TypeId {
    fn from(id: u32) -> Self {
        Self(id)
    }
}

/// The kind of a type: `BTF_KIND_*` of include/uapi/linux/btf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `void`: type 0 only.
    Void,
    /// An integer, also `char` and `bool`.
    Int,
    /// A pointer.
    Ptr,
    /// An array.
    Array,
    /// A struct.
    Struct,
    /// A union.
    Union,
    /// An enum with values of 32 bits or less.
    Enum,
    /// A forward declaration of a struct or union.
    Fwd,
    /// A typedef.
    Typedef,
    /// `volatile`.
    Volatile,
    /// `const`.
    Const,
    /// `restrict`.
    Restrict,
    /// A function: a name for a [`Kind::FuncProto`].
    Func,
    /// A function's prototype.
    FuncProto,
    /// A global variable.
    Var,
    /// An ELF section with the variables in it.
    Datasec,
    /// A floating-point number.
    Float,
    /// `__attribute__((btf_decl_tag("...")))`.
    DeclTag,
    /// `__attribute__((btf_type_tag("...")))`.
    TypeTag,
    /// An enum with 64-bit values.
    Enum64,
    /// A kind of a later kernel, skipped by means of the layout table.
    Unknown(u8),
}

impl Kind {
    /// The kind with this number; 0 is [`Kind::Void`].
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Void,
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            other => Self::Unknown(other),
        }
    }

    /// The number of the kind in the data.
    pub const fn number(self) -> u8 {
        match self {
            Self::Void => 0,
            Self::Int => 1,
            Self::Ptr => 2,
            Self::Array => 3,
            Self::Struct => 4,
            Self::Union => 5,
            Self::Enum => 6,
            Self::Fwd => 7,
            Self::Typedef => 8,
            Self::Volatile => 9,
            Self::Const => 10,
            Self::Restrict => 11,
            Self::Func => 12,
            Self::FuncProto => 13,
            Self::Var => 14,
            Self::Datasec => 15,
            Self::Float => 16,
            Self::DeclTag => 17,
            Self::TypeTag => 18,
            Self::Enum64 => 19,
            Self::Unknown(number) => number,
        }
    }

    /// The kernel's word for the kind (`btf_kind_str` of kernel/bpf/btf.c; libbpf prints the same
    /// in lower case).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Void => "UNKNOWN",
            Self::Int => "INT",
            Self::Ptr => "PTR",
            Self::Array => "ARRAY",
            Self::Struct => "STRUCT",
            Self::Union => "UNION",
            Self::Enum => "ENUM",
            Self::Fwd => "FWD",
            Self::Typedef => "TYPEDEF",
            Self::Volatile => "VOLATILE",
            Self::Const => "CONST",
            Self::Restrict => "RESTRICT",
            Self::Func => "FUNC",
            Self::FuncProto => "FUNC_PROTO",
            Self::Var => "VAR",
            Self::Datasec => "DATASEC",
            Self::Float => "FLOAT",
            Self::DeclTag => "DECL_TAG",
            Self::TypeTag => "TYPE_TAG",
            Self::Enum64 => "ENUM64",
            Self::Unknown(_) => "UNKNOWN",
        }
    }

    /// Whether [`Btf::skip_modifiers`] steps over the kind: typedefs, `volatile`, `const`,
    /// `restrict` and type tags (`btf_type_is_modifier` of the kernel; `skip_mods_and_typedefs`
    /// of libbpf).
    pub const fn is_modifier(self) -> bool {
        matches!(
            self,
            Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag
        )
    }

    /// Whether the kind is [`Kind::Struct`] or [`Kind::Union`].
    pub const fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Whether the kind is [`Kind::Enum`] or [`Kind::Enum64`].
    pub const fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One type. Cheap to copy; its parts are read from the BTF data when asked for.
#[derive(Clone, Copy)]
pub struct Type<'b> {
    pub(crate) btf: &'b Btf<'b>,
    pub(crate) id: TypeId,
    pub(crate) name_offset: u32,
    pub(crate) info: u32,
    pub(crate) size_or_type: u32,
    /// What follows `struct btf_type`; as long as the kind and the count of elements demand.
    pub(crate) tail: &'b [u8],
}

impl<'b> Type<'b> {
    /// The type's id.
    pub const fn id(&self) -> TypeId {
        self.id
    }

    /// The type's kind.
    pub const fn kind(&self) -> Kind {
        Kind::from_number(info_kind(self.info))
    }

    /// The offset of the type's name in the string section(s).
    pub const fn name_offset(&self) -> u32 {
        self.name_offset
    }

    /// The type's name; empty if it has none, or one that cannot be read (see [`Btf::check`]).
    pub fn name(&self) -> &'b str {
        self.btf.name(self.name_offset)
    }

    /// The type's name as bytes; empty if it has none.
    pub fn name_bytes(&self) -> &'b [u8] {
        self.btf.string(self.name_offset).unwrap_or(&[])
    }

    /// The info word as stored: number of elements, kind, kind flag.
    pub const fn info(&self) -> u32 {
        self.info
    }

    /// The number of elements (members, values, parameters, variables); for a function its
    /// linkage.
    pub const fn vlen(&self) -> u32 {
        info_vlen(self.info)
    }

    /// The `kind_flag`: what it means depends on the kind.
    pub const fn kind_flag(&self) -> bool {
        info_flag(self.info)
    }

    /// The word that is a size for some kinds and a type for others.
    pub const fn size_or_type(&self) -> u32 {
        self.size_or_type
    }

    /// The bytes after `struct btf_type` that belong to this type.
    pub const fn tail(&self) -> &'b [u8] {
        self.tail
    }

    /// The BTF in which the type is stored (the base, for a type of the base).
    pub const fn btf(&self) -> &'b Btf<'b> {
        self.btf
    }

    /// The size in bytes as stored, for the kinds that store one.
    pub const fn size(&self) -> Option<u32> {
        match self.kind() {
            Kind::Int
            | Kind::Struct
            | Kind::Union
            | Kind::Enum
            | Kind::Enum64
            | Kind::Datasec
            | Kind::Float => Some(self.size_or_type),
            _ => None,
        }
    }

    /// The type that this one refers to in its fixed part, for the kinds that do: pointers,
    /// modifiers, typedefs, functions (their prototype), prototypes (what they return), variables
    /// and declaration tags.
    pub const fn target(&self) -> Option<TypeId> {
        match self.kind() {
            Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::FuncProto
            | Kind::Var
            | Kind::DeclTag
            | Kind::TypeTag => Some(TypeId(self.size_or_type)),
            _ => None,
        }
    }

    /// Everything the type says, by kind.
    pub fn data(&self) -> TypeData<'b> {
        let target = TypeId(self.size_or_type);
        let size = self.size_or_type;
        let first = crate::raw::u32_at(self.tail, 0).unwrap_or(0);
        match self.kind() {
            Kind::Void => TypeData::Void,
            Kind::Int => TypeData::Int(Int::new(size, first)),
            Kind::Ptr => TypeData::Ptr(target),
            Kind::Array => TypeData::Array(Array::new(self.tail)),
            Kind::Struct => TypeData::Struct(self.composite()),
            Kind::Union => TypeData::Union(self.composite()),
            Kind::Enum | Kind::Enum64 => {
                let values = Values::new(self);
                let data = Enum { size, signed: self.kind_flag(), values };
                if self.kind() == Kind::Enum {
                    TypeData::Enum(data)
                } else {
                    TypeData::Enum64(data)
                }
            }
            Kind::Fwd if self.kind_flag() => TypeData::Fwd(FwdKind::Union),
            Kind::Fwd => TypeData::Fwd(FwdKind::Struct),
            Kind::Typedef => TypeData::Typedef(target),
            Kind::Volatile => TypeData::Volatile(target),
            Kind::Const => TypeData::Const(target),
            Kind::Restrict => TypeData::Restrict(target),
            Kind::Func => {
                TypeData::Func(Func { proto: target, linkage: Linkage::from_number(self.vlen()) })
            }
            Kind::FuncProto => {
                TypeData::FuncProto(FuncProto { returns: target, params: Params::new(self) })
            }
            Kind::Var => {
                TypeData::Var(Var { type_id: target, linkage: Linkage::from_number(first) })
            }
            Kind::Datasec => TypeData::Datasec(Datasec { size, vars: SectionVars::new(self) }),
            Kind::Float => TypeData::Float { size },
            Kind::DeclTag => TypeData::DeclTag(DeclTag {
                target,
                component: u32::try_from(first.cast_signed()).ok(),
                attribute: self.kind_flag(),
            }),
            Kind::TypeTag => TypeData::TypeTag(TypeTag { target, attribute: self.kind_flag() }),
            Kind::Unknown(kind) => TypeData::Unknown(kind),
        }
    }

    fn composite(&self) -> Composite<'b> {
        Composite { size: self.size_or_type, members: Members::new(self) }
    }

    /// The struct or union that this is, if it is one.
    pub fn as_composite(&self) -> Option<Composite<'b>> {
        self.kind().is_composite().then(|| self.composite())
    }

    /// The members of a struct or union; none for other kinds.
    pub fn members(&self) -> Members<'b> {
        Members::new(self)
    }

    /// The array that this is, if it is one.
    pub fn as_array(&self) -> Option<Array> {
        (self.kind() == Kind::Array).then(|| Array::new(self.tail))
    }

    /// The integer that this is, if it is one.
    pub fn as_int(&self) -> Option<Int> {
        match self.data() {
            TypeData::Int(int) => Some(int),
            _ => None,
        }
    }

    /// The enum (of either kind) that this is, if it is one.
    pub fn as_enum(&self) -> Option<Enum<'b>> {
        match self.data() {
            TypeData::Enum(data) | TypeData::Enum64(data) => Some(data),
            _ => None,
        }
    }

    /// The function that this is, if it is one.
    pub fn as_func(&self) -> Option<Func> {
        match self.data() {
            TypeData::Func(func) => Some(func),
            _ => None,
        }
    }

    /// The prototype that this is, if it is one.
    pub fn as_func_proto(&self) -> Option<FuncProto<'b>> {
        match self.data() {
            TypeData::FuncProto(proto) => Some(proto),
            _ => None,
        }
    }

    /// The variable that this is, if it is one.
    pub fn as_var(&self) -> Option<Var> {
        match self.data() {
            TypeData::Var(var) => Some(var),
            _ => None,
        }
    }

    /// The section that this is, if it is one.
    pub fn as_datasec(&self) -> Option<Datasec<'b>> {
        match self.data() {
            TypeData::Datasec(section) => Some(section),
            _ => None,
        }
    }

    /// The declaration tag that this is, if it is one.
    pub fn as_decl_tag(&self) -> Option<DeclTag> {
        match self.data() {
            TypeData::DeclTag(tag) => Some(tag),
            _ => None,
        }
    }
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} '{}'", self.id, self.kind(), self.name())
    }
}

/// What a type says, by kind.
#[derive(Clone, Copy, Debug)]
pub enum TypeData<'b> {
    /// `void`.
    Void,
    /// An integer.
    Int(Int),
    /// A pointer to a type.
    Ptr(TypeId),
    /// An array.
    Array(Array),
    /// A struct.
    Struct(Composite<'b>),
    /// A union.
    Union(Composite<'b>),
    /// An enum of up to 32 bits.
    Enum(Enum<'b>),
    /// A forward declaration.
    Fwd(FwdKind),
    /// A typedef of a type.
    Typedef(TypeId),
    /// A volatile type.
    Volatile(TypeId),
    /// A constant type.
    Const(TypeId),
    /// A restricted pointer type.
    Restrict(TypeId),
    /// A function.
    Func(Func),
    /// A prototype.
    FuncProto(FuncProto<'b>),
    /// A variable.
    Var(Var),
    /// A section.
    Datasec(Datasec<'b>),
    /// A floating-point number.
    Float {
        /// Its size in bytes.
        size: u32,
    },
    /// A tag on a declaration; the type's name is the tag's text.
    DeclTag(DeclTag),
    /// A tag on a type; the type's name is the tag's text.
    TypeTag(TypeTag),
    /// An enum of 64 bits.
    Enum64(Enum<'b>),
    /// A kind unknown to this crate, with its number.
    Unknown(u8),
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int {
    /// The size of the storage in bytes.
    pub size: u32,
    /// The number of bits, at most `size * 8` in valid BTF.
    pub bits: u8,
    /// The offset of the first bit; not 0 only in obsolete bit-field types.
    pub offset: u8,
    /// The encoding as stored: `BTF_INT_SIGNED` 1, `BTF_INT_CHAR` 2, `BTF_INT_BOOL` 4.
    pub encoding: u8,
}

impl Int {
    fn new(size: u32, word: u32) -> Self {
        let [bits, _, offset, encoding] = word.to_le_bytes();
        Self { size, bits, offset, encoding: encoding & 0xf }
    }

    /// Whether values are signed (`BTF_INT_SIGNED`).
    pub const fn is_signed(self) -> bool {
        self.encoding & 1 != 0
    }

    /// Whether it is a character (`BTF_INT_CHAR`).
    pub const fn is_char(self) -> bool {
        self.encoding & 2 != 0
    }

    /// Whether it is a boolean (`BTF_INT_BOOL`).
    pub const fn is_bool(self) -> bool {
        self.encoding & 4 != 0
    }
}

/// An array type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    /// The type of an element.
    pub element: TypeId,
    /// The type of an index.
    pub index: TypeId,
    /// The number of elements; 0 for a flexible array.
    pub count: u32,
}

impl Array {
    fn new(tail: &[u8]) -> Self {
        let word = |at| crate::raw::u32_at(tail, at).unwrap_or(0);
        Self { element: TypeId(word(0)), index: TypeId(word(4)), count: word(8) }
    }
}

/// A struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Composite<'b> {
    /// The size in bytes.
    pub size: u32,
    /// The members, in the order of declaration.
    pub members: Members<'b>,
}

/// An enum of either kind.
#[derive(Clone, Copy, Debug)]
pub struct Enum<'b> {
    /// The size in bytes.
    pub size: u32,
    /// Whether values are signed (the kind flag).
    pub signed: bool,
    /// The values, in the order of declaration.
    pub values: Values<'b>,
}

/// What a forward declaration declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FwdKind {
    /// A struct.
    Struct,
    /// A union.
    Union,
}

/// Where a function or variable is visible: `BTF_FUNC_*` and `BTF_VAR_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// In its own object only.
    Static,
    /// Everywhere; defined here.
    Global,
    /// Defined elsewhere.
    Extern,
    /// No linkage that is known.
    Unknown(u32),
}

impl Linkage {
    /// The linkage with this number.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Static,
            1 => Self::Global,
            2 => Self::Extern,
            other => Self::Unknown(other),
        }
    }

    /// The number of the linkage in the data.
    pub const fn number(self) -> u32 {
        match self {
            Self::Static => 0,
            Self::Global => 1,
            Self::Extern => 2,
            Self::Unknown(number) => number,
        }
    }
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func {
    /// Its prototype.
    pub proto: TypeId,
    /// Its linkage.
    pub linkage: Linkage,
}

/// A function prototype.
#[derive(Clone, Copy, Debug)]
pub struct FuncProto<'b> {
    /// The type that is returned; `void` is [`TypeId::VOID`].
    pub returns: TypeId,
    /// The parameters. The last of a variadic function has no name and type `void`.
    pub params: Params<'b>,
}

/// A global variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// Its type.
    pub type_id: TypeId,
    /// Its linkage.
    pub linkage: Linkage,
}

/// An ELF section and the variables (or extern functions) in it.
#[derive(Clone, Copy, Debug)]
pub struct Datasec<'b> {
    /// The size in bytes; compilers leave it 0 for libbpf to fill in.
    pub size: u32,
    /// The variables.
    pub vars: SectionVars<'b>,
}

/// A tag on a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclTag {
    /// What is tagged: a struct, union, typedef, variable or function.
    pub target: TypeId,
    /// The index of the tagged member or parameter, if not the whole target is tagged.
    pub component: Option<u32>,
    /// Whether the text is any attribute (kind flag, Linux 6.14), not `btf_decl_tag("...")`.
    pub attribute: bool,
}

/// A tag on a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeTag {
    /// The tagged type.
    pub target: TypeId,
    /// Whether the text is any attribute (kind flag, Linux 6.14), not `btf_type_tag("...")`.
    pub attribute: bool,
}
