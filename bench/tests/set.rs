// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The programs of the set load: else it would be an error's way that is counted. Each has a figure.
#![allow(missing_docs)]

use veristable_bench::{Prepared, SET};
use veristable_verifier::Outcome;

#[test]
fn every_program_loads() {
    let mut wrong = Vec::new();
    for (name, _) in SET {
        match Prepared::new(name).map(|mut prepared| prepared.run()) {
            Ok(Outcome::Accepted(accepted)) => println!("{name}: {:?}", accepted.stats),
            Ok(other) => wrong.push(format!("{name}: {other:?}")),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_program_has_an_accepted_figure_and_is_measured() {
    let accepted = include_str!("../accepted.txt");
    let bench = include_str!("../benches/instructions.rs");
    for (name, _) in SET {
        let figure = accepted.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(figure.is_some(), "{name} is not in accepted.txt");
        assert!(bench.contains(&format!("#[bench::{name}(\"{name}\")]")), "{name} is no bench");
    }
}
