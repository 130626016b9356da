// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The live oracle, where there is one.

mod common;

use veristable_oracle::{Live, LoadOptions, Oracle as _, Verdict};
use veristable_program::LoadRequest;

fn open() -> Option<Live> {
    match Live::open() {
        Ok(live) => Some(live),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

#[test]
fn known_answers() {
    if let Some(mut live) = open() {
        common::check(&mut live);
    }
}

#[test]
fn dangerous_programs_are_not_loaded() {
    let Some(mut live) = open() else { return };
    let request =
        LoadRequest { name: "ld_abs_backtrack_both_paths".into(), ..LoadRequest::default() };
    let mut seen = None;
    live.load(&[&request], &LoadOptions::default(), &mut |_, answer| seen = Some(answer.verdict))
        .unwrap();
    match seen {
        Some(Verdict::Environment { reason }) => {
            assert!(reason.starts_with("on the danger list: "), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
