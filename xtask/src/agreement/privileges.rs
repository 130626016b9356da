// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Sets loaded with fewer capabilities: `SET@unpriv`, `SET@bpf`, `SET@bpf+net_admin`.

use anyhow::{Result, anyhow};
use veristable_agreement::Case;
use veristable_corpus::raw;
use veristable_kernel::{Kernel, Profile};
use veristable_program::Capabilities;

/// What stands behind the `@` of a set's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lowered<'a> {
    text: &'a str,
    capabilities: Capabilities,
}

/// The set and the capabilities that its name asks for, if it does.
pub(super) fn of_set(set: &str) -> Result<Option<(&str, Lowered<'_>)>> {
    let Some((base, text)) = set.rsplit_once('@') else { return Ok(None) };
    let capabilities =
        Capabilities::from_text(text).map_err(|unknown| anyhow!("{set}: {unknown}"))?;
    Ok(Some((base, Lowered { text, capabilities })))
}

/// The raw tests that run unprivileged, as their runner loads them then. `None` for other sets
/// and for loaders that have a capability: these load all tests of a set.
pub(super) fn raw_tests(
    base: &str,
    loader: Lowered<'_>,
    kernel: &Profile,
) -> Result<Option<Vec<Case>>> {
    if !base.starts_with("raw-") || !loader.capabilities.is_empty() {
        return Ok(None);
    }
    let btf = kernel.btf(None)?;
    let runner = raw::Loader { privileged: false, reg_invariants: true, btf };
    let cases = raw::load(base, runner)?.into_iter().filter(|case| case.unresolved.is_empty());
    Ok(Some(cases.map(|case| Case { id: case.id, request: case.request }).collect()))
}

/// The same programs, loaded by a process that has no more than these capabilities.
pub(super) fn lowered(mut cases: Vec<Case>, loader: Lowered<'_>) -> Vec<Case> {
    for case in &mut cases {
        case.request.capabilities &= loader.capabilities;
        case.id = format!("{} @{}", case.id, loader.text);
    }
    cases
}
