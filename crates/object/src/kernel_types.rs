// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Types of the kernel and of the modules that count as loaded.

use crate::LinkError;
use veristable_btf::{Btf, Kind, TypeId};
use veristable_kernel::Kernel;

/// A type that was found.
#[derive(Clone, Copy)]
pub(crate) struct Found<'k> {
    pub(crate) btf: &'k Btf<'k>,
    pub(crate) id: TypeId,
    /// Position of the module, if it is not the kernel's own.
    pub(crate) module: Option<usize>,
}

/// The BTF of a kernel.
pub(crate) struct KernelTypes<'k> {
    kernel: Option<&'k Btf<'k>>,
    modules: Vec<(&'k str, &'k Btf<'k>)>,
}

impl<'k> KernelTypes<'k> {
    pub(crate) fn new(kernel: &'k dyn Kernel, modules: &'k [String]) -> Result<Self, LinkError> {
        let own = kernel.btf(None)?;
        let mut list = Vec::new();
        for module in modules {
            if let Some(btf) = kernel.btf(Some(module))? {
                list.push((module.as_str(), btf));
            }
        }
        Ok(Self { kernel: own, modules: list })
    }

    /// The kernel's own BTF.
    pub(crate) fn own(&self, what: &'static str) -> Result<&'k Btf<'k>, LinkError> {
        self.kernel.ok_or(LinkError::NoKernelBtf { what })
    }

    pub(crate) fn modules(&self) -> &[(&'k str, &'k Btf<'k>)] {
        &self.modules
    }

    pub(crate) fn module_name(&self, index: usize) -> String {
        self.modules.get(index).map_or_else(String::new, |(name, _)| (*name).to_owned())
    }

    /// The type of this name and kind: the kernel's, else the first module's
    /// (`find_ksym_btf_id` of libbpf).
    pub(crate) fn find(
        &self,
        name: &str,
        kind: Kind,
        what: &'static str,
    ) -> Result<Option<Found<'k>>, LinkError> {
        let own = self.own(what)?;
        if let Some(id) = own.find_by_name(name, kind) {
            return Ok(Some(Found { btf: own, id, module: None }));
        }
        Ok(self.modules.iter().enumerate().find_map(|(index, (_, btf))| {
            let id = btf.find_own_by_name(name, kind)?;
            Some(Found { btf, id, module: Some(index) })
        }))
    }
}
