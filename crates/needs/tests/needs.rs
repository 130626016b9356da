// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the examples need, and what refusals are about.
#![allow(missing_docs)]

use std::path::Path;
use veristable_isa::asm::assemble;
use veristable_kernel::{Kernel, MapType, Profile, ProgType};
use veristable_needs::{Has, ItemKind, Needs, missing};
use veristable_object::{LinkOptions, Object};
use veristable_program::{LoadRequest, MapDesc, MapSpec};
use veristable_verifier::{Options, Outcome, Silent, verify};

fn object(name: &str) -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    Object::parse(&std::fs::read(path).unwrap(), name).unwrap()
}

fn kernel(name: &str) -> Profile {
    veristable_profiles::open(name).unwrap()
}

#[test]
fn every_kind_of_thing_is_found() {
    let needs = Needs::of_object(&object("newer.bpf.o"), &[]);
    let (old, new) = (kernel("6.12.117"), kernel("6.18.15"));
    let check = |kind: ItemKind, name: &str, old_has: bool, optional: bool| {
        let found = needs
            .needs
            .iter()
            .find(|need| need.item.kind() == kind && need.item.name([&new as &dyn Kernel]) == name);
        let need = found.unwrap_or_else(|| panic!("{kind} {name}"));
        assert_eq!(need.required.is_empty(), optional, "{name}");
        assert_eq!(needs.has(need, &old) == Has::Yes, old_has, "{name}");
        assert_eq!(needs.has(need, &new), Has::Yes, "{name}");
    };
    check(ItemKind::ProgramType, "tracing", true, false);
    check(ItemKind::AttachType, "trace_raw_tp", true, false);
    check(ItemKind::Target, "tracepoint cap_capable", false, false);
    check(ItemKind::Kfunc, "bpf_strlen", false, false);
    check(ItemKind::Kfunc, "bpf_strcmp", false, true);
    check(ItemKind::MapType, "array", true, false);
    check(ItemKind::Instruction, "may_goto", true, false);
    check(ItemKind::Instruction, "load-acquire and store-release", false, false);
    check(ItemKind::KernelType, "task_struct.perf_ctx_data", false, false);
}

/// Requests know by number what objects know by name; what both know is the same.
#[test]
fn objects_and_requests_need_the_same() {
    let kernel = kernel("6.18.15");
    for name in ["kconfig_kfunc.bpf.o", "ringbuf_events.bpf.o", "loop_sum.bpf.o"] {
        let object = object(name);
        let linked = object.link(&kernel, &LinkOptions::default());
        let requests: Vec<LoadRequest> =
            linked.programs.into_iter().map(|(_, request)| request.unwrap()).collect();
        let calls = |needs: &Needs| -> Vec<String> {
            let kinds = [ItemKind::Helper, ItemKind::Kfunc, ItemKind::Instruction];
            let needs = needs.needs.iter().filter(|need| !need.required.is_empty());
            needs
                .filter(|need| kinds.contains(&need.item.kind()))
                .map(|need| need.item.name([&kernel as &dyn Kernel]))
                .collect()
        };
        let from_requests = calls(&Needs::of_requests(&requests));
        let from_object = calls(&Needs::of_object(&object, &[]));
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names.dedup();
            names
        };
        let poisoned = |name: &String| !name.starts_with("number 200");
        let from_requests = from_requests.into_iter().filter(poisoned).collect();
        assert_eq!(sorted(from_object), sorted(from_requests), "{name}");
    }
}

#[test]
fn refusals_name_what_is_missing() {
    let kernel = kernel("6.18.15");
    let check = |ty: ProgType, text: &str, want: Option<(ItemKind, &str)>| {
        let insns = assemble(text, &()).unwrap().insns;
        let license = "GPL".into();
        let request = LoadRequest { prog_type: ty, license, insns, ..LoadRequest::default() };
        let outcome = verify(&request, &kernel, &Options::default(), &mut Silent);
        let Outcome::Rejected(rejected) = outcome else { panic!("{text}: {outcome:?}") };
        let found = missing::at_verification(&rejected, &request, None, &kernel);
        let found = found.as_ref().map(|missing| (missing.kind, missing.name.as_str()));
        assert_eq!(found, want, "{text}");
    };
    let socket = ProgType::SOCKET_FILTER;
    check(socket, "r0 = r3\nexit", None);
    check(socket, "call 9999\nexit", Some((ItemKind::Helper, "number 9999")));
    // bpf_redirect is there, but not for socket filters.
    check(socket, "call 23\nexit", Some((ItemKind::Helper, "bpf_redirect")));
    check(socket, ".raw 0x0d 0 0 0 0\nexit", Some((ItemKind::Instruction, "gotox")));
    // Arguments of a helper that is there are no matter of the kernel.
    check(socket, "call 1\nexit", None);
    check(ProgType(999), "r0 = 0\nexit", Some((ItemKind::ProgramType, "999")));
}

#[test]
fn maps_that_cannot_be_created_are_named() {
    let spec = MapSpec { name: "m".into(), map_type: MapType(999), ..MapSpec::default() };
    let map = MapDesc { spec, ..MapDesc::default() };
    let request = LoadRequest { maps: vec![map.into()], ..LoadRequest::default() };
    let found = missing::map(&request, &kernel("6.18.15")).unwrap();
    assert_eq!((found.kind, found.name.as_str()), (ItemKind::MapType, "999"));
}
