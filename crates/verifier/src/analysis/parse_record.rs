// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Finding the special fields of a structure or section (`btf_parse_fields`, `btf_find_field` of
//! `kernel/bpf/btf.c`).

use super::record::{Field, FieldKind, FieldKinds, Kptr, KptrHold, Record, Root};
use crate::mem::{Budget, List};
use crate::outcome::{Abort, Step, Stop};
use crate::state::BtfRef;
use veristable_btf::{Btf, Kind, Type, TypeData, TypeId};
use veristable_kernel::{Behaviour, Fact, Kernel, NameList};

/// Fields of a type at most (`BTF_FIELDS_MAX`, `include/linux/bpf.h`).
const MAX_FIELDS: usize = 11;

/// Depth of structures and array dimensions (`MAX_RESOLVE_DEPTH`).
const MAX_DEPTH: usize = 32;

/// Bytes of a tagged pointer.
const POINTER: u32 = 8;

/// Why there is no record.
enum Refusal {
    /// The kernel finds an error, and makes none.
    Kernel,
    /// We stop.
    Stop(Stop),
}

impl From<Abort> for Refusal {
    fn from(abort: Abort) -> Self {
        Self::Stop(abort.into())
    }
}

impl From<Fact> for Refusal {
    fn from(fact: Fact) -> Self {
        Self::Stop(fact.into())
    }
}

impl From<veristable_btf::Error> for Refusal {
    fn from(_: veristable_btf::Error) -> Self {
        Self::Kernel
    }
}

/// What belongs to a kind of field that is found by the name of its type.
struct Named {
    kinds: FieldKinds,
    name: &'static str,
    /// At most one in a structure.
    unique: bool,
    size: u32,
    align: u32,
}

const fn row(kinds: FieldKinds, name: &'static str, unique: bool, size: u32, align: u32) -> Named {
    Named { kinds, name, unique, size, align }
}

/// Names, sizes and alignments (`btf_get_field_type`; `include/uapi/linux/bpf.h`,
/// `include/asm-generic/rqspinlock.h`).
const NAMED: [Named; 10] = [
    row(FieldKinds::SPIN_LOCK, "bpf_spin_lock", true, 4, 4),
    row(FieldKinds::RES_SPIN_LOCK, "bpf_res_spin_lock", true, 4, 4),
    row(FieldKinds::TIMER, "bpf_timer", true, 16, 8),
    row(FieldKinds::WORKQUEUE, "bpf_wq", true, 16, 8),
    row(FieldKinds::TASK_WORK, "bpf_task_work", true, 8, 8),
    row(FieldKinds::LIST_HEAD, "bpf_list_head", false, 16, 8),
    row(FieldKinds::LIST_NODE, "bpf_list_node", false, 24, 8),
    row(FieldKinds::RB_ROOT, "bpf_rb_root", false, 16, 8),
    row(FieldKinds::RB_NODE, "bpf_rb_node", false, 32, 8),
    row(FieldKinds::REFCOUNT, "bpf_refcount", false, 4, 4),
];

/// A field as it was found (`struct btf_field_info`).
#[derive(Clone, Copy)]
struct Found<'b> {
    off: u32,
    what: What<'b>,
}

#[derive(Clone, Copy)]
enum What<'b> {
    /// By its type's name alone; its size.
    Plain(FieldKind, u32),
    /// A tagged pointer to this structure.
    Pointer(KptrHold, TypeId),
    /// A list or tree of this structure, by the member of this name.
    Root { list: bool, value: TypeId, node: &'b str },
}

impl What<'_> {
    const fn size(self) -> u32 {
        match self {
            Self::Plain(_, size) => size,
            Self::Pointer(..) => POINTER,
            Self::Root { .. } => 16,
        }
    }

    /// Whether it may be in an array.
    const fn repeats(self) -> bool {
        matches!(self, Self::Pointer(..) | Self::Root { .. })
    }
}

/// Where types are looked up.
pub(crate) struct Source<'b, 'k> {
    /// The BTF of the map or program.
    pub(crate) btf: &'b Btf<'b>,
    /// How a register names that.
    pub(crate) own: BtfRef,
    /// The kernel, whose types come first.
    pub(crate) kernel: &'k dyn Kernel,
    /// Memory.
    pub(crate) budget: &'k Budget,
}

/// The special fields of a structure or section; `None` if there are none, or if the kernel finds
/// an error in them and goes on without.
///
/// # Errors
///
/// If that cannot be said.
pub(crate) fn parse(
    source: &Source<'_, '_>,
    ty: TypeId,
    wanted: FieldKinds,
    value_size: u32,
) -> Step<Option<Record>> {
    let mut search = Search { source, wanted, found: List::new() };
    let result = search.run(ty).and_then(|()| record(source, &search.found, value_size));
    search.found.release(source.budget);
    match result {
        Ok(record) => Ok(record),
        Err(Refusal::Kernel) => Ok(None),
        Err(Refusal::Stop(stop)) => Err(stop),
    }
}

/// Whether a type is a pointer with a tag for kernel objects (`btf_find_kptr` with `BPF_KPTR`).
pub(crate) fn is_kptr(btf: &Btf<'_>, ty: &Type<'_>) -> bool {
    matches!(kptr(btf, ty, FieldKinds::KPTR), Ok(Some(_)))
}

/// A structure or section that is being looked through.
struct Level<'b> {
    ty: Type<'b>,
    next: usize,
    /// Where its fields begin among those found.
    first: usize,
    off: u32,
    elements: u32,
    /// Fields that there was room for when it began.
    room: usize,
    seen: FieldKinds,
}

struct Search<'s, 'b, 'k> {
    source: &'s Source<'b, 'k>,
    wanted: FieldKinds,
    found: List<Found<'b>>,
}

/// A member or variable.
struct Place<'b> {
    /// What carries declaration tags: the structure or the variable.
    owner: Type<'b>,
    /// The member's number there.
    component: Option<u32>,
    ty: Type<'b>,
    off: u32,
    /// The size that it must have, 0 if any.
    expected: u32,
}

impl<'b> Search<'_, 'b, '_> {
    fn run(&mut self, id: TypeId) -> Result<(), Refusal> {
        let ty = self.source.btf.type_by_id(id)?;
        if !matches!(ty.kind(), Kind::Struct | Kind::Datasec) {
            return Err(Refusal::Kernel);
        }
        let in_all = self.once_in_all();
        let mut seen_in_all = FieldKinds::empty();
        let (budget, mut levels) = (self.source.budget, List::new());
        let level = |ty, first, off, elements, room| {
            let seen = FieldKinds::empty();
            Level { ty, next: 0, first, off, elements, room, seen }
        };
        levels.push(budget, level(ty, 0, 0, 1, MAX_FIELDS))?;
        while let Some(top) = levels.last_mut() {
            let Some(place) = place(self.source.btf, &top.ty, top.next)? else {
                if let Some(done) = levels.pop() {
                    self.leave(&done)?;
                }
                continue;
            };
            top.next += 1;
            let room = MAX_FIELDS.saturating_sub(self.found.len());
            let seen = if in_all { &mut seen_in_all } else { &mut top.seen };
            if let Some((ty, elements)) = self.one(&place, seen, room)? {
                if levels.len() >= MAX_DEPTH {
                    return Err(Refusal::Kernel);
                }
                levels.push(budget, level(ty, self.found.len(), place.off, elements, room))?;
            }
        }
        levels.release(budget);
        Ok(())
    }

    fn once_in_all(&self) -> bool {
        self.source.kernel.behaviours().has(Behaviour::FieldsOnceInAll)
    }

    /// A nested structure is done: its fields move to where it is, once for each element.
    fn leave(&mut self, level: &Level<'b>) -> Result<(), Refusal> {
        let own = self.found.get_mut(level.first..).unwrap_or_default();
        if own.is_empty() {
            return Ok(());
        }
        for field in own {
            field.off = field.off.wrapping_add(level.off);
        }
        self.repeat(level.first, level.elements, level.ty.size_or_type(), level.room)
    }

    /// `btf_repeat_fields`
    fn repeat(
        &mut self,
        first: usize,
        elements: u32,
        size: u32,
        room: usize,
    ) -> Result<(), Refusal> {
        if elements <= 1 {
            return Ok(());
        }
        let count = self.found.len().saturating_sub(first);
        let repeats = self.found.iter().skip(first).all(|field| field.what.repeats());
        let total = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(u64::from(elements));
        if !repeats || total > u64::try_from(room).unwrap_or(0) {
            return Err(Refusal::Kernel);
        }
        for element in 1..elements {
            for index in first..first.saturating_add(count) {
                let mut copy = *self.found.at(index)?;
                copy.off = copy.off.wrapping_add(element.wrapping_mul(size));
                self.found.push(self.source.budget, copy)?;
            }
        }
        Ok(())
    }

    /// One member or variable (`btf_find_field_one`). Gives a structure to look into.
    fn one(
        &mut self,
        place: &Place<'b>,
        seen: &mut FieldKinds,
        room: usize,
    ) -> Result<Option<(Type<'b>, u32)>, Refusal> {
        let (ty, elements) = flatten(self.source.btf, place.ty)?;
        if elements == 0 {
            return Ok(None);
        }
        let is_struct = ty.kind() == Kind::Struct;
        let mut rows = NAMED.iter().filter(|row| self.wanted.contains(row.kinds));
        let named = rows.find(|row| row.name == ty.name());
        let once =
            |row: &&Named| row.unique || (row.kinds == FieldKinds::REFCOUNT && self.once_in_all());
        if let Some(row) = named.filter(once) {
            if seen.contains(row.kinds) {
                return Err(Refusal::Kernel);
            }
            seen.insert(row.kinds);
        }
        let (size, align) = match named {
            Some(row) => (row.size, row.align),
            None if is_struct => {
                let size = ty.size_or_type().wrapping_mul(elements);
                let fits = place.expected == 0 || place.expected == size;
                return Ok(fits.then_some((ty, elements)));
            }
            None if self.wanted.intersects(FieldKinds::KPTR | FieldKinds::UPTR) => {
                (POINTER, POINTER)
            }
            None => return Ok(None),
        };
        let fits = place.expected == 0 || place.expected == size.wrapping_mul(elements);
        if !fits || !place.off.is_multiple_of(align) {
            return Ok(None);
        }
        let what = match named {
            None => {
                let found = kptr(self.source.btf, &ty, self.wanted)?;
                found.map(|(hold, id)| What::Pointer(hold, id))
            }
            Some(row) if is_struct && ty.size_or_type() == size => Some(self.named(row, place)?),
            Some(_) => None,
        };
        let Some(what) = what else { return Ok(None) };
        if room == 0 {
            return Err(Refusal::Kernel);
        }
        let first = self.found.len();
        self.found.push(self.source.budget, Found { off: place.off, what })?;
        self.repeat(first, elements, size, room)?;
        Ok(None)
    }

    fn named(&self, row: &Named, place: &Place<'b>) -> Result<What<'b>, Refusal> {
        let kind = match row.kinds {
            FieldKinds::SPIN_LOCK => FieldKind::SpinLock,
            FieldKinds::RES_SPIN_LOCK => FieldKind::ResSpinLock,
            FieldKinds::TIMER => FieldKind::Timer,
            FieldKinds::WORKQUEUE => FieldKind::Workqueue,
            FieldKinds::TASK_WORK => FieldKind::TaskWork,
            FieldKinds::REFCOUNT => FieldKind::Refcount,
            FieldKinds::LIST_NODE => FieldKind::ListNode,
            FieldKinds::RB_NODE => FieldKind::RbNode,
            kinds => return self.root(kinds == FieldKinds::LIST_HEAD, place),
        };
        Ok(What::Plain(kind, row.size))
    }

    /// What a list or tree holds, from the one declaration tag `contains:TYPE:MEMBER`
    /// (`btf_find_graph_root`).
    fn root(&self, list: bool, place: &Place<'b>) -> Result<What<'b>, Refusal> {
        let btf = self.source.btf;
        let mut tags = btf
            .decl_tags(place.owner.id())
            .filter(|(tag, _)| tag.component == place.component)
            .filter_map(|(_, text)| text.strip_prefix("contains:"));
        let (Some(text), None) = (tags.next(), tags.next()) else { return Err(Refusal::Kernel) };
        let (value, node) = text.split_once(':').ok_or(Refusal::Kernel)?;
        let value = btf.find_by_name(value, Kind::Struct).ok_or(Refusal::Kernel)?;
        if node.is_empty() {
            return Err(Refusal::Kernel);
        }
        Ok(What::Root { list, value, node })
    }
}

/// The member or variable of this number.
fn place<'b>(btf: &'b Btf<'b>, ty: &Type<'b>, index: usize) -> Result<Option<Place<'b>>, Refusal> {
    if let Some(section) = ty.as_datasec() {
        let Some(info) = section.vars.get(index) else { return Ok(None) };
        let owner = btf.type_by_id(info.type_id)?;
        let ty = btf.type_by_id(TypeId(owner.size_or_type()))?;
        let (off, expected) = (info.offset, info.size);
        return Ok(Some(Place { owner, component: None, ty, off, expected }));
    }
    let Some(member) = ty.members().get(index) else { return Ok(None) };
    if !member.bit_offset.is_multiple_of(8) {
        return Err(Refusal::Kernel);
    }
    Ok(Some(Place {
        owner: *ty,
        component: u32::try_from(index).ok(),
        ty: btf.type_by_id(member.type_id)?,
        off: member.byte_offset(),
        expected: 0,
    }))
}

/// The element type of an array of any dimensions, and how many elements there are.
fn flatten<'b>(btf: &'b Btf<'b>, ty: Type<'b>) -> Result<(Type<'b>, u32), Refusal> {
    let (mut ty, mut elements) = (ty, 1u32);
    for _ in 0..MAX_DEPTH {
        let TypeData::Array(array) = ty.data() else { return Ok((ty, elements)) };
        elements = elements.wrapping_mul(array.count);
        ty = btf.type_by_id(array.element)?;
    }
    Err(Refusal::Kernel)
}

/// A pointer with a tag (`btf_find_kptr`).
fn kptr(
    btf: &Btf<'_>,
    ty: &Type<'_>,
    wanted: FieldKinds,
) -> Result<Option<(KptrHold, TypeId)>, Refusal> {
    let mut id = ty.id();
    if let TypeData::Volatile(target) = ty.data() {
        id = target;
    }
    let TypeData::Ptr(target) = btf.type_by_id(id)?.data() else { return Ok(None) };
    let tagged = btf.type_by_id(target)?;
    let TypeData::TypeTag(tag) = tagged.data() else { return Ok(None) };
    if tag.attribute {
        return Ok(None);
    }
    if btf.type_by_id(tag.target)?.kind() == Kind::TypeTag {
        return Err(Refusal::Kernel);
    }
    let (hold, kinds) = match tagged.name() {
        "kptr_untrusted" => (KptrHold::Unref, FieldKinds::KPTR_UNREF),
        "kptr" => (KptrHold::Ref, FieldKinds::KPTR_REF),
        "percpu_kptr" => (KptrHold::Percpu, FieldKinds::KPTR_PERCPU),
        "uptr" => (KptrHold::User, FieldKinds::UPTR),
        _ => return Err(Refusal::Kernel),
    };
    if !wanted.contains(kinds) {
        return Ok(None);
    }
    let target = btf.skip_modifiers(tag.target)?;
    if target.kind() != Kind::Struct {
        return Err(Refusal::Kernel);
    }
    Ok(Some((hold, target.id())))
}

/// What was found becomes a record, with the types resolved and the combinations tested.
fn record(
    source: &Source<'_, '_>,
    found: &[Found<'_>],
    value_size: u32,
) -> Result<Option<Record>, Refusal> {
    if found.is_empty() {
        return Ok(None);
    }
    let (mut record, mut end) = (Record::default(), 0);
    for field in found {
        let size = field.what.size();
        let after = field.off.wrapping_add(size);
        if after > value_size || field.off < end {
            return Err(Refusal::Kernel);
        }
        end = after;
        let kind = match field.what {
            What::Plain(kind, _) => kind,
            What::Pointer(hold, id) => FieldKind::Kptr(resolve(source, hold, id)?),
            What::Root { list, value, node } => {
                let root = resolve_root(source, list, value, node)?;
                if list { FieldKind::ListHead(root) } else { FieldKind::RbRoot(root) }
            }
        };
        record.kinds |= kind.kinds();
        record.fields.push(source.budget, Field { offset: field.off, size, kind })?;
    }
    let locks = FieldKinds::SPIN_LOCK | FieldKinds::RES_SPIN_LOCK;
    let bad = record.kinds.contains(locks)
        || record.has(FieldKinds::GRAPH_ROOT) && !record.has(locks)
        || record.kinds.contains(FieldKinds::GRAPH_NODE) && !record.has(FieldKinds::REFCOUNT);
    if bad { Err(Refusal::Kernel) } else { Ok(Some(record)) }
}

/// The type behind a pointer: the kernel's if it has one of that name (`btf_parse_kptr`). Modules
/// are not looked through: none is loaded.
fn resolve(source: &Source<'_, '_>, hold: KptrHold, id: TypeId) -> Result<Kptr, Refusal> {
    let name = source.btf.type_by_id(id)?.name();
    let known = source.kernel.btf(None)?.and_then(|btf| btf.find_by_name(name, Kind::Struct));
    let Some(known) = known else {
        let rcu_safe = matches!(hold, KptrHold::Ref | KptrHold::Percpu);
        return Ok(Kptr { hold, btf: source.own, id, rcu_safe });
    };
    if hold == KptrHold::Ref && source.kernel.dtor(name)?.is_none() {
        return Err(Refusal::Kernel);
    }
    let rcu_safe = match hold {
        KptrHold::Percpu => true,
        KptrHold::Ref => {
            let protected = source.kernel.names(NameList::RcuProtectedTypes)?;
            protected.is_some_and(|names| names.contains(&name))
        }
        KptrHold::Unref | KptrHold::User => false,
    };
    Ok(Kptr { hold, btf: BtfRef::Kernel, id: known, rcu_safe })
}

/// Where the node is in the elements (`btf_parse_graph_root`).
fn resolve_root(
    source: &Source<'_, '_>,
    list: bool,
    value: TypeId,
    node: &str,
) -> Result<Root, Refusal> {
    let btf = source.btf;
    let type_name = if list { "bpf_list_node" } else { "bpf_rb_node" };
    let ty = btf.type_by_id(value)?;
    let mut members = ty.members().iter().filter(|member| member.name() == node);
    let (Some(member), None) = (members.next(), members.next()) else {
        return Err(Refusal::Kernel);
    };
    let is = btf.type_by_id(member.type_id)?;
    // Eight bytes are the alignment of both kinds of nodes.
    let aligned = member.bit_offset.is_multiple_of(64);
    if is.kind() != Kind::Struct || is.name() != type_name || !aligned {
        return Err(Refusal::Kernel);
    }
    Ok(Root { btf: source.own, value, node_offset: member.byte_offset() })
}
