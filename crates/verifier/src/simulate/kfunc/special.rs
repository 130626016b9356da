// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kfuncs that the verifier treats one by one (`special_kfunc_list`).

macro_rules! special {
    ($($(#[$doc:meta])* $name:ident $text:literal),+ $(,)?) => {
        /// A kfunc with rules of its own.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Special { $(#[doc = $text] $name),+ }

        impl Special {
            /// By the name of a function of the kernel proper.
            pub(super) fn of(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

special! {
    ObjNew "bpf_obj_new_impl",
    ObjDrop "bpf_obj_drop_impl",
    RefcountAcquire "bpf_refcount_acquire_impl",
    ListPushFront "bpf_list_push_front_impl",
    ListPushBack "bpf_list_push_back_impl",
    ListPopFront "bpf_list_pop_front",
    ListPopBack "bpf_list_pop_back",
    ListFront "bpf_list_front",
    ListBack "bpf_list_back",
    CastToKernCtx "bpf_cast_to_kern_ctx",
    RdonlyCast "bpf_rdonly_cast",
    RcuReadLock "bpf_rcu_read_lock",
    RcuReadUnlock "bpf_rcu_read_unlock",
    RbtreeRemove "bpf_rbtree_remove",
    RbtreeAdd "bpf_rbtree_add_impl",
    RbtreeFirst "bpf_rbtree_first",
    RbtreeRoot "bpf_rbtree_root",
    RbtreeLeft "bpf_rbtree_left",
    RbtreeRight "bpf_rbtree_right",
    DynptrFromSkb "bpf_dynptr_from_skb",
    DynptrFromXdp "bpf_dynptr_from_xdp",
    DynptrFromSkbMeta "bpf_dynptr_from_skb_meta",
    XdpPullData "bpf_xdp_pull_data",
    DynptrSlice "bpf_dynptr_slice",
    DynptrSliceRdwr "bpf_dynptr_slice_rdwr",
    DynptrClone "bpf_dynptr_clone",
    PercpuObjNew "bpf_percpu_obj_new_impl",
    PercpuObjDrop "bpf_percpu_obj_drop_impl",
    Throw "bpf_throw",
    WqSetCallback "bpf_wq_set_callback_impl",
    PreemptDisable "bpf_preempt_disable",
    PreemptEnable "bpf_preempt_enable",
    IterCssTaskNew "bpf_iter_css_task_new",
    SessionCookie "bpf_session_cookie",
    GetKmemCache "bpf_get_kmem_cache",
    LocalIrqSave "bpf_local_irq_save",
    LocalIrqRestore "bpf_local_irq_restore",
    IterNumNew "bpf_iter_num_new",
    IterNumNext "bpf_iter_num_next",
    IterNumDestroy "bpf_iter_num_destroy",
    SetDentryXattr "bpf_set_dentry_xattr",
    RemoveDentryXattr "bpf_remove_dentry_xattr",
    ResSpinLock "bpf_res_spin_lock",
    ResSpinUnlock "bpf_res_spin_unlock",
    ResSpinLockIrqsave "bpf_res_spin_lock_irqsave",
    ResSpinUnlockIrqrestore "bpf_res_spin_unlock_irqrestore",
    Trap "__bpf_trap",
    TaskWorkSignal "bpf_task_work_schedule_signal_impl",
    TaskWorkResume "bpf_task_work_schedule_resume_impl",
}

impl Special {
    /// `is_bpf_list_api_kfunc`
    pub(super) const fn is_list(self) -> bool {
        matches!(
            self,
            Self::ListPushFront
                | Self::ListPushBack
                | Self::ListPopFront
                | Self::ListPopBack
                | Self::ListFront
                | Self::ListBack
        )
    }

    /// `is_bpf_rbtree_api_kfunc`; all of them need the tree's lock.
    pub(super) const fn is_rbtree(self) -> bool {
        matches!(
            self,
            Self::RbtreeAdd
                | Self::RbtreeRemove
                | Self::RbtreeFirst
                | Self::RbtreeRoot
                | Self::RbtreeLeft
                | Self::RbtreeRight
        )
    }

    /// Gives a node of a list or tree away, which stays known without being owned.
    pub(super) const fn inserts_node(self) -> bool {
        matches!(self, Self::ListPushFront | Self::ListPushBack | Self::RbtreeAdd)
    }

    /// `is_bpf_res_spin_lock_kfunc`
    pub(super) const fn is_res_lock(self) -> bool {
        matches!(
            self,
            Self::ResSpinLock
                | Self::ResSpinUnlock
                | Self::ResSpinLockIrqsave
                | Self::ResSpinUnlockIrqrestore
        )
    }

    /// Takes a resilient lock, which may fail.
    pub(super) const fn takes_res_lock(self) -> bool {
        matches!(self, Self::ResSpinLock | Self::ResSpinLockIrqsave)
    }

    /// May be called with a lock held (`kfunc_spin_allowed`).
    pub(super) const fn allowed_under_lock(self) -> bool {
        self.is_list()
            || self.is_rbtree()
            || self.is_res_lock()
            || matches!(
                self,
                Self::RefcountAcquire | Self::IterNumNew | Self::IterNumNext | Self::IterNumDestroy
            )
    }

    /// `is_bpf_iter_num_api_kfunc`
    pub(super) const fn is_number_iterator(self) -> bool {
        matches!(self, Self::IterNumNew | Self::IterNumNext | Self::IterNumDestroy)
    }

    /// `is_task_work_add_kfunc`
    pub(super) const fn schedules_task_work(self) -> bool {
        matches!(self, Self::TaskWorkSignal | Self::TaskWorkResume)
    }
}
