// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Special fields of map values and of objects that programs allocate (`btf_parse_fields` of
//! `kernel/bpf/btf.c`, `struct btf_record`).

use super::btf_info::used_btf;
use super::parse_record::{self, Source};
use crate::env::Env;
use crate::mem::List;
use crate::outcome::{Abort, Step};
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, TypeId};
use veristable_program::MapSpec;

bitflags::bitflags! {
    /// Kinds of fields (`enum btf_field_type`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FieldKinds: u16 {
        /// `struct bpf_spin_lock`
        const SPIN_LOCK = 1 << 0;
        /// `struct bpf_timer`
        const TIMER = 1 << 1;
        /// A pointer tagged `kptr_untrusted`.
        const KPTR_UNREF = 1 << 2;
        /// A pointer tagged `kptr`.
        const KPTR_REF = 1 << 3;
        /// A pointer tagged `percpu_kptr`.
        const KPTR_PERCPU = 1 << 4;
        /// `struct bpf_list_head`
        const LIST_HEAD = 1 << 5;
        /// `struct bpf_list_node`
        const LIST_NODE = 1 << 6;
        /// `struct bpf_rb_root`
        const RB_ROOT = 1 << 7;
        /// `struct bpf_rb_node`
        const RB_NODE = 1 << 8;
        /// `struct bpf_refcount`
        const REFCOUNT = 1 << 9;
        /// `struct bpf_wq`
        const WORKQUEUE = 1 << 10;
        /// A pointer tagged `uptr`.
        const UPTR = 1 << 11;
        /// `struct bpf_res_spin_lock`
        const RES_SPIN_LOCK = 1 << 12;
        /// `struct bpf_task_work`
        const TASK_WORK = 1 << 13;
        /// Any pointer to a kernel object or an allocated one (`BPF_KPTR`).
        const KPTR = Self::KPTR_UNREF.bits() | Self::KPTR_REF.bits() | Self::KPTR_PERCPU.bits();
        /// What makes an object an element (`BPF_GRAPH_NODE`).
        const GRAPH_NODE = Self::RB_NODE.bits() | Self::LIST_NODE.bits();
        /// What holds elements (`BPF_GRAPH_ROOT`).
        const GRAPH_ROOT = Self::RB_ROOT.bits() | Self::LIST_HEAD.bits();
    }
}

/// How a pointer in a map value is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KptrHold {
    /// Not at all: it may dangle (`BPF_KPTR_UNREF`).
    Unref,
    /// With a reference (`BPF_KPTR_REF`).
    Ref,
    /// With a reference, to memory of each CPU (`BPF_KPTR_PERCPU`).
    Percpu,
    /// Pinned memory of the user (`BPF_UPTR`).
    User,
}

/// What a pointer in a map value points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kptr {
    /// How it is held.
    pub hold: KptrHold,
    /// The BTF that knows the type: the kernel's if that has one of this name, else the program's.
    pub btf: BtfRef,
    /// The type.
    pub id: TypeId,
    /// What it points to stays alive under RCU (`rcu_safe_kptr`).
    pub rcu_safe: bool,
}

/// What a list or a tree holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Root {
    /// The BTF that knows the type.
    pub btf: BtfRef,
    /// The type of the elements.
    pub value: TypeId,
    /// Where in an element the node is, in bytes.
    pub node_offset: u32,
}

/// What a field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldKind {
    /// `struct bpf_spin_lock`
    SpinLock,
    /// `struct bpf_res_spin_lock`
    ResSpinLock,
    /// `struct bpf_timer`
    Timer,
    /// `struct bpf_wq`
    Workqueue,
    /// `struct bpf_task_work`
    TaskWork,
    /// `struct bpf_refcount`
    Refcount,
    /// A tagged pointer.
    Kptr(Kptr),
    /// `struct bpf_list_head`
    ListHead(Root),
    /// `struct bpf_list_node`
    ListNode,
    /// `struct bpf_rb_root`
    RbRoot(Root),
    /// `struct bpf_rb_node`
    RbNode,
}

impl FieldKind {
    /// The kind as a member of a set.
    #[must_use]
    pub const fn kinds(self) -> FieldKinds {
        match self {
            Self::SpinLock => FieldKinds::SPIN_LOCK,
            Self::ResSpinLock => FieldKinds::RES_SPIN_LOCK,
            Self::Timer => FieldKinds::TIMER,
            Self::Workqueue => FieldKinds::WORKQUEUE,
            Self::TaskWork => FieldKinds::TASK_WORK,
            Self::Refcount => FieldKinds::REFCOUNT,
            Self::Kptr(Kptr { hold: KptrHold::Unref, .. }) => FieldKinds::KPTR_UNREF,
            Self::Kptr(Kptr { hold: KptrHold::Ref, .. }) => FieldKinds::KPTR_REF,
            Self::Kptr(Kptr { hold: KptrHold::Percpu, .. }) => FieldKinds::KPTR_PERCPU,
            Self::Kptr(Kptr { hold: KptrHold::User, .. }) => FieldKinds::UPTR,
            Self::ListHead(_) => FieldKinds::LIST_HEAD,
            Self::ListNode => FieldKinds::LIST_NODE,
            Self::RbRoot(_) => FieldKinds::RB_ROOT,
            Self::RbNode => FieldKinds::RB_NODE,
        }
    }

    /// The kind's name in messages (`btf_field_type_name`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpinLock => "bpf_spin_lock",
            Self::ResSpinLock => "bpf_res_spin_lock",
            Self::Timer => "bpf_timer",
            Self::Workqueue => "bpf_wq",
            Self::TaskWork => "bpf_task_work",
            Self::Refcount => "bpf_refcount",
            Self::Kptr(Kptr { hold: KptrHold::Unref | KptrHold::Ref, .. }) => "kptr",
            Self::Kptr(Kptr { hold: KptrHold::Percpu, .. }) => "percpu_kptr",
            Self::Kptr(Kptr { hold: KptrHold::User, .. }) => "uptr",
            Self::ListHead(_) => "bpf_list_head",
            Self::ListNode => "bpf_list_node",
            Self::RbRoot(_) => "bpf_rb_root",
            Self::RbNode => "bpf_rb_node",
        }
    }
}

/// A special field (`struct btf_field`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// What it is.
    pub kind: FieldKind,
}

/// The special fields of a map's value or of an allocated object (`struct btf_record`).
#[derive(Debug, Default)]
pub struct Record {
    /// The fields by offset.
    pub fields: List<Field>,
    /// Which kinds there are.
    pub kinds: FieldKinds,
}

impl Record {
    /// Whether it has a field of one of these kinds (`btf_record_has_field`).
    #[must_use]
    pub fn has(&self, kinds: FieldKinds) -> bool {
        self.kinds.intersects(kinds)
    }

    /// The field at this offset, if it is of one of these kinds (`btf_record_find`).
    #[must_use]
    pub fn find(&self, offset: u32, kinds: FieldKinds) -> Option<Field> {
        let found = self.fields.iter().find(|field| field.offset == offset).copied();
        found.filter(|field| kinds.contains(field.kind.kinds()))
    }

    /// Where the last field of one of these kinds is; there is hardly ever more than one.
    #[must_use]
    pub fn offset_of(&self, kinds: FieldKinds) -> Option<u32> {
        let mut fields = self.fields.iter().rev();
        fields.find(|field| kinds.contains(field.kind.kinds())).map(|field| field.offset)
    }
}

/// A record's place among those that were computed; cheap to copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordId(pub(crate) u32);

/// The records that were asked for.
#[derive(Debug, Default)]
pub struct Records {
    records: List<Record>,
    /// Those of maps, by number in the request and whether it is the inner map.
    maps: List<((u32, bool), Option<RecordId>)>,
    /// Those of types of the program.
    types: List<((BtfRef, TypeId), Option<RecordId>)>,
}

impl Records {
    /// A record.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if there is none.
    pub fn get(&self, id: RecordId) -> Result<&Record, Abort> {
        self.records.at(id.0 as usize)
    }
}

/// The special fields of the value of a map, by its number in the request (`map->record`).
///
/// # Errors
///
/// If that cannot be said.
pub fn of_map<O: Observer>(env: &mut Env<'_, O>, map: u32, inner: bool) -> Step<Option<RecordId>> {
    let key = (map, inner);
    if let Some((_, known)) = env.records.maps.iter().find(|(known, _)| *known == key) {
        return Ok(*known);
    }
    let request = env.request;
    let desc = request.maps.get(map as usize);
    let spec = desc.and_then(|desc| if inner { desc.inner.as_deref() } else { Some(&desc.spec) });
    let record = match spec {
        Some(spec) => parse_map(env, spec)?,
        None => None,
    };
    let id = add(env, record)?;
    env.records.maps.push(&env.budget, (key, id))?;
    Ok(id)
}

fn add<O: Observer>(env: &mut Env<'_, O>, record: Option<Record>) -> Step<Option<RecordId>> {
    let Some(record) = record else { return Ok(None) };
    let id = RecordId(u32::try_from(env.records.records.len()).unwrap_or(u32::MAX));
    env.records.records.push(&env.budget, record)?;
    Ok(Some(id))
}

/// Whether the map has BTF (`map->btf`).
#[must_use]
pub fn has_btf(spec: &MapSpec) -> bool {
    spec.btf.is_some() && (spec.btf_key_type_id != 0 || spec.btf_value_type_id != 0)
}

/// `map_check_btf`
fn parse_map<O: Observer>(env: &mut Env<'_, O>, spec: &MapSpec) -> Step<Option<Record>> {
    let wanted = !FieldKinds::GRAPH_NODE;
    let (Some(bytes), id) = (&spec.btf, spec.btf_value_type_id) else { return Ok(None) };
    if id == 0 {
        return Ok(None);
    }
    let shared = used_btf(env.request) == Some(bytes);
    let (btf, own) = match env.prog.btf {
        Some(btf) if shared => (btf, BtfRef::Program),
        _ => {
            let mut others = (0u32..).zip(env.prog.map_btfs);
            let Some((at, (_, btf))) = others.find(|(_, (known, _))| *known == bytes) else {
                // Such a map could not have been made: the kernel loads no such BTF.
                return env.unsupported("map BTF", "");
            };
            (btf, BtfRef::Maps(at))
        }
    };
    let Some(value) = value_type(btf, TypeId(id)) else { return Ok(None) };
    let source = Source { btf, own, kernel: env.kernel, budget: &env.budget };
    parse_record::parse(&source, value, wanted, spec.value_size)
}

/// The type without modifiers, also of a variable (`btf_type_id_size`).
fn value_type(btf: &Btf<'_>, id: TypeId) -> Option<TypeId> {
    let ty = btf.skip_modifiers(id).ok()?;
    match ty.as_var() {
        Some(var) => Some(btf.skip_modifiers(var.type_id).ok()?.id()),
        None => Some(ty.id()),
    }
}

/// The special fields of a structure of the program, or of maps' programs, that has some as direct members
/// (`btf_find_struct_meta`).
///
/// # Errors
///
/// If that cannot be said.
pub fn of_type<O: Observer>(
    env: &mut Env<'_, O>,
    own: BtfRef,
    id: TypeId,
) -> Step<Option<RecordId>> {
    let place = match env.records.types.binary_search_by_key(&(own, id), |(known, _)| *known) {
        Ok(place) => return Ok(env.records.types.at(place)?.1),
        Err(place) => place,
    };
    let btf = match own {
        BtfRef::Maps(at) => env.prog.map_btfs.get(at as usize).map(|(_, btf)| btf),
        _ => env.prog.btf,
    };
    let record = match btf {
        Some(btf) if has_meta(btf, id) => {
            let size = btf.type_by_id(id).map_or(0, |ty| ty.size_or_type());
            let source = Source { btf, own, kernel: env.kernel, budget: &env.budget };
            parse_record::parse(&source, id, ALLOCATED, size)?
        }
        _ => None,
    };
    let record = add(env, record)?;
    env.records.types.insert(&env.budget, place, ((own, id), record))?;
    Ok(record)
}

/// Fields that allocated objects may have (`btf_parse_struct_metas`).
const ALLOCATED: FieldKinds = FieldKinds::SPIN_LOCK
    .union(FieldKinds::RES_SPIN_LOCK)
    .union(FieldKinds::GRAPH_ROOT)
    .union(FieldKinds::GRAPH_NODE)
    .union(FieldKinds::REFCOUNT)
    .union(FieldKinds::KPTR);

/// Whether a structure has a direct member of a special type (`btf_parse_struct_metas`).
fn has_meta(btf: &Btf<'_>, id: TypeId) -> bool {
    const NAMES: [&str; 6] = [
        "bpf_spin_lock",
        "bpf_list_head",
        "bpf_list_node",
        "bpf_rb_root",
        "bpf_rb_node",
        "bpf_refcount",
    ];
    let Ok(ty) = btf.type_by_id(id) else { return false };
    ty.kind() == Kind::Struct
        && ty.members().iter().any(|member| {
            let Ok(member) = btf.type_by_id(member.type_id) else { return false };
            let named = member.kind() == Kind::Struct && NAMES.contains(&member.name());
            // Only the first structure of the name counts.
            named && btf.find_by_name(member.name(), Kind::Struct) == Some(member.id())
                || parse_record::is_kptr(btf, &member)
        })
}
