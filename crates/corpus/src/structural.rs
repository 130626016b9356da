// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Small programs of our own, each of which breaks one structural rule or keeps just within it.
//!
//! Structural is what a kernel judges without following a value: control flow, subprograms, fields
//! and opcodes of instructions, the kinds of 64-bit loads, function, line and relocation records,
//! attach targets, and what `BPF_PROG_LOAD` asks before the verifier begins. Nothing here says what
//! a kernel answers: kernels are asked.
//!
//! The list is the same in every run. An id is `group/name`.

mod attach;
mod code;
mod fields;
mod flow;
mod gate;
mod immediates;
mod opcodes;
mod subprograms;
mod tables;

use veristable_btf::Btf;
use veristable_isa::Insn;
use veristable_kernel::ProgType;
use veristable_program::LoadRequest;

/// One program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// `group/name`, unique.
    pub id: String,
    /// What is loaded.
    pub request: LoadRequest,
}

/// The programs that hold for every kernel.
#[must_use]
pub fn structural() -> Vec<Case> {
    let mut cases = Cases::default();
    flow::add(&mut cases);
    subprograms::add(&mut cases);
    fields::add(&mut cases);
    opcodes::add(&mut cases);
    immediates::add(&mut cases);
    tables::add(&mut cases);
    attach::add(&mut cases);
    gate::add(&mut cases);
    cases.0
}

/// The programs that name types and functions of a kernel by id. What its BTF does not have is left
/// out.
#[must_use]
pub fn linked(btf: &Btf<'_>) -> Vec<Case> {
    let mut cases = Cases::default();
    attach::add_linked(&mut cases, btf);
    immediates::add_linked(&mut cases, btf);
    subprograms::add_linked(&mut cases, btf);
    cases.0
}

/// The list while it grows.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, id: impl Into<String>, request: LoadRequest) {
        self.0.push(Case { id: id.into(), request });
    }

    /// A socket filter.
    fn filter(&mut self, id: impl Into<String>, insns: impl Into<Vec<Insn>>) {
        self.add(id, filter(insns));
    }
}

/// A socket filter of these instructions.
fn filter(insns: impl Into<Vec<Insn>>) -> LoadRequest {
    program(ProgType::SOCKET_FILTER, insns)
}

/// A program of this type.
fn program(prog_type: ProgType, insns: impl Into<Vec<Insn>>) -> LoadRequest {
    LoadRequest {
        name: "structural".into(),
        section: "structural".into(),
        prog_type,
        license: "GPL".into(),
        insns: insns.into(),
        ..LoadRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_group_is_there_and_ids_are_unique() {
        let cases = structural();
        let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
        assert_eq!(ids.len(), cases.len());
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        for id in ids {
            *groups.entry(id.split('/').next().unwrap_or_default()).or_default() += 1;
        }
        for (group, least) in [
            ("flow", 40),
            ("subprograms", 30),
            ("fields", 300),
            ("opcodes", 512),
            ("immediates", 40),
            ("tables", 60),
            ("attach", 20),
            ("gate", 100),
        ] {
            assert!(groups.get(group).is_some_and(|count| *count >= least), "{groups:?}");
        }
    }

    #[test]
    fn requests_are_the_same_in_every_run_and_can_be_kept() {
        let cases = structural();
        assert_eq!(cases, structural());
        for case in cases {
            let bytes = case.request.to_bytes().unwrap();
            assert_eq!(LoadRequest::from_bytes(&bytes).unwrap(), case.request, "{}", case.id);
        }
    }

    #[test]
    fn types_are_sound_where_no_rule_about_them_is_broken() {
        for case in structural() {
            if let Some(btf) = &case.request.btf {
                Btf::open(&btf[..]).unwrap().check().unwrap();
            }
        }
    }

    #[test]
    fn ids_come_from_the_kernels_types() {
        let mut writer = veristable_btf::writer::Writer::new();
        let int = writer.add_int("int", 4, 1);
        let proto = writer.add_func_proto(int, &[]);
        writer.add_func("vfs_read", proto, veristable_btf::Linkage::Static);
        let bytes = writer.finish();
        let cases = linked(&Btf::open(&bytes[..]).unwrap());
        assert!(cases.iter().any(|case| case.id.contains("vfs_read")));
        assert!(!cases.iter().any(|case| case.id.contains("task_struct")));
        assert!(
            linked(&Btf::open(&veristable_btf::writer::Writer::new().finish()[..]).unwrap())
                .is_empty()
        );
    }
}
