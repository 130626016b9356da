// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Structures of functions.

use super::build::Builder;
use super::input::{Decoded, MemberArg, MemberEntry, StructOpsDesc};
use anyhow::Context;
use veristable_kernel::profile::{ArgRow, MemberRow, StructOpsRow};

impl Builder<'_> {
    /// The structures, or `None` if they were not decoded.
    pub(crate) fn struct_ops(&mut self) -> anyhow::Result<Option<Vec<StructOpsRow>>> {
        let decoded = self.decoded;
        if decoded.structops.is_none() {
            return Ok(None);
        }
        let rows = decoded.kfuncs.struct_ops.iter();
        rows.map(|desc| self.struct_ops_row(decoded, desc))
            .collect::<anyhow::Result<_>>()
            .map(Some)
            .context("struct_ops")
    }

    fn struct_ops_row(
        &mut self,
        decoded: &Decoded,
        desc: &StructOpsDesc,
    ) -> anyhow::Result<StructOpsRow> {
        let entry = decoded.structops.as_ref().and_then(|file| file.ops.get(&desc.name));
        let groups = decoded.kfuncs.struct_ops_kfuncs.get(&desc.name);
        let mut members = Vec::new();
        for (name, implementable) in &desc.ops {
            let member = entry.and_then(|entry| Some((entry, entry.members.get(name)?)));
            let helpers = match member {
                Some((entry, member)) => {
                    let set = entry.helper_sets.get(member.helper_set);
                    Some(self.helper_set(set.context("helper_set")?)?)
                }
                None => None,
            };
            let group = groups.and_then(|groups| groups.iter().find(|g| g.members.contains(name)));
            let kfuncs = match group {
                Some(group) => {
                    Some(self.kfunc_set(|kfunc| decoded.kfuncs.member_may_call(group, kfunc))?)
                }
                None => None,
            };
            members.push(MemberRow {
                name: self.names.id(name),
                implementable: *implementable,
                index: member.map(|(_, member)| member.index),
                args: member.map_or(Ok(Vec::new()), |(_, member)| self.member_args(member))?,
                helpers,
                kfuncs,
            });
        }
        Ok(StructOpsRow {
            name: self.names.id(&desc.name),
            value_type: self.names.id(&desc.value_id),
            verifier_ops: self.names.id(desc.verifier_ops.as_deref().unwrap_or("")),
            check_member: self.names.id(desc.check_member.as_deref().unwrap_or("")),
            members,
        })
    }

    fn member_args(&self, member: &MemberEntry) -> anyhow::Result<Vec<ArgRow>> {
        let row = |arg: &MemberArg| {
            let (offset, ty, btf) = match arg {
                MemberArg::Plain(offset, ty) => (*offset, ty, None),
                MemberArg::Typed(offset, ty, btf) => (*offset, ty, Some(btf)),
            };
            let ty = self.register_type(ty)?;
            Ok(ArgRow { offset, ty, btf: btf.map(|name| self.structure(name)) })
        };
        member.args.iter().map(row).collect()
    }
}
