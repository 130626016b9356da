// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel's own raw-instruction tests against what they expect. Skipped where the dump of
//! `cargo xtask corpus raw` is not in the cache.
//!
//! What a selftest expects is not what a given kernel does, so that only false accepts fail here;
//! the rest is counted by `cargo xtask agreement`. `RAW_FILTER` limits the run to cases whose name
//! contains it and prints their logs; `RAW_LIST` prints every disagreement.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

use std::collections::BTreeMap;
use veristable_corpus::raw::{self, Expected, Loader};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Machine, Options, Outcome, verify};

#[test]
fn no_false_accept_among_the_raw_tests() {
    let kernel = veristable_profiles::open("6.18.15").expect("built in");
    let list = std::env::var_os("RAW_LIST").is_some();
    let filter = std::env::var("RAW_FILTER").ok();
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    let mut false_accepts = Vec::new();
    for privileged in [true, false] {
        let loader = Loader { privileged, reg_invariants: true, btf: None };
        let cases = match raw::load("raw-6.18", loader) {
            Ok(cases) => cases,
            Err(why) => {
                println!("skipped: the raw tests are not in the cache ({why:#})");
                return;
            }
        };
        for case in cases {
            if filter.as_ref().is_some_and(|filter| !case.id.contains(filter)) {
                continue;
            }
            let mut request = case.request.clone();
            request.log.level = 2;
            request.log.size = 16 << 20;
            let mut log = KernelLog::new(request.log, Dialect::V6_18);
            let machine = Machine { unprivileged_disabled: false, ..Machine::default() };
            let options = Options { machine, ..Options::default() };
            let outcome = verify(&request, &kernel, &options, &mut log);
            let text = log.text();
            let said = case.log.iter().all(|part| text.contains(part.as_str()));
            let class = match (&outcome, case.expected) {
                (Outcome::Accepted(_), Expected::Accept | Expected::VerboseAccept) if said => {
                    "accepted".into()
                }
                (Outcome::Accepted(_), Expected::Accept | Expected::VerboseAccept) => {
                    "ACCEPTED, other log".into()
                }
                (Outcome::Accepted(_), _) => "FALSE ACCEPT".into(),
                (Outcome::Rejected(_), Expected::Accept | Expected::VerboseAccept) => {
                    "FALSE REJECT".into()
                }
                (Outcome::Rejected(_), _) if said => "rejected".into(),
                (Outcome::Rejected(_), _) => "REJECTED, other message".into(),
                (Outcome::Unsupported(feature), _) => format!("unsupported {}", feature.name),
                (Outcome::UnknownFact(fact), _) => format!("unknown fact {fact}"),
                (Outcome::Aborted(_), _) => "ABORTED".to_owned(),
            };
            let wrong = class.starts_with(char::is_uppercase);
            if filter.is_some() || (list && wrong) {
                println!("== {class}: {} {:?}\nwanted {:?}", case.id, outcome, case.log);
                if filter.is_some() {
                    println!("{text}");
                }
            }
            if class == "FALSE ACCEPT" {
                false_accepts.push(case.id.clone());
            }
            *table.entry(class).or_default() += 1;
        }
    }
    for (class, count) in &table {
        println!("{count:6} {class}");
    }
    assert_eq!(false_accepts, Vec::<String>::new());
}
