// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Instructions that `verify` executes for each program of the set: `cargo xtask bench accepted`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use gungraun::prelude::*;
use veristable_bench::Prepared;
use veristable_verifier::Outcome;

fn prepare(name: &str) -> Prepared {
    Prepared::new(name).unwrap()
}

// An error's way is not what is to be counted.
fn must_load((outcome, _): (Outcome, Prepared)) {
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
}

// What was prepared is given back, so that giving it up is not counted.
#[library_benchmark(setup = prepare, teardown = must_load)]
#[bench::straight("straight")]
#[bench::diamonds("diamonds")]
#[bench::bounded_loop("bounded_loop")]
#[bench::nested_loops("nested_loops")]
#[bench::subprograms("subprograms")]
#[bench::map_values("map_values")]
#[bench::precision("precision")]
#[bench::callback("callback")]
#[bench::iterator("iterator")]
#[bench::kernel_types("kernel_types")]
#[bench::packet("packet")]
#[bench::references("references")]
#[bench::example_xdp_ports("example_xdp_ports")]
#[bench::example_subprog("example_subprog")]
fn program(mut prepared: Prepared) -> (Outcome, Prepared) {
    let outcome = black_box(&mut prepared).run();
    (black_box(outcome), prepared)
}

library_benchmark_group!(name = verify, benchmarks = program);

main!(
    // The kernel's profile is opened from the cache: unpacking it under valgrind takes long.
    config = LibraryBenchmarkConfig::default()
        .pass_through_envs(["HOME", "XDG_CACHE_HOME", "VERISTABLE_CACHE"]);
    library_benchmark_groups = verify
);
