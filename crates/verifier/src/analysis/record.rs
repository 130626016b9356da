// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Special fields of map values and of objects that programs allocate (`btf_parse_fields` of
//! `kernel/bpf/btf.c`, `struct btf_record`).

use crate::mem::List;
use crate::state::BtfRef;
use veristable_btf::TypeId;

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

    /// Where the first field of one of these kinds is.
    #[must_use]
    pub fn offset_of(&self, kinds: FieldKinds) -> Option<u32> {
        let mut fields = self.fields.iter();
        fields.find(|field| kinds.contains(field.kind.kinds())).map(|field| field.offset)
    }
}

/// A record's place among those that were computed; cheap to copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordId(pub(crate) u32);
