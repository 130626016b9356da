// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The cases of rule files that show behaviours ([`Behaviour::probe`]), as part of the program: they
//! are run on kernels whose behaviours are not known. Each is tiny, fixed, and was loaded by the
//! guests of both kernels between which the behaviour was found.

use crate::rules;
use veristable_kernel::{Behaviour, Kernel};
use veristable_program::LoadRequest;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// The rule files that have such cases, by name.
        const FILES: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../verifier/tests/rules/", $name, ".bpfasm")),
        )),+];
    };
}

files! {
    "behaviours_calls",
    "behaviours_core",
    "behaviours_memory",
    "behaviours_objects",
    "behaviours_values",
}

/// A program that shows a behaviour.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// The program; `None` if the kernel lacks what it names.
    pub request: Option<LoadRequest>,
}

/// The probes of all behaviours that have one, with names as `kernel` has them.
#[must_use]
pub fn probes(kernel: &dyn Kernel) -> Vec<Probe> {
    let probe = |behaviour: &Behaviour| {
        let request = find(*behaviour, kernel)?.ok();
        Some(Probe { behaviour: *behaviour, request })
    };
    Behaviour::ALL.iter().filter_map(probe).collect()
}

/// All cases of the files, as `FILE: CASE`, each with the text of its file: where probes can be
/// found.
pub fn cases() -> impl Iterator<Item = (String, String)> {
    FILES.iter().flat_map(|(file, text)| {
        let names = text.lines().filter_map(|line| line.strip_prefix("; case: "));
        names.map(move |name| (format!("{file}: {name}"), (*text).to_owned()))
    })
}

/// The probe of a behaviour, `None` if the table names none.
fn find(behaviour: Behaviour, kernel: &dyn Kernel) -> Option<anyhow::Result<LoadRequest>> {
    let (file, case) = behaviour.probe()?.split_once(": ")?;
    let (_, text) = FILES.iter().find(|(name, _)| *name == file)?;
    rules::program(text, case, kernel)
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, FILES};

    #[test]
    fn every_probe_is_part_of_the_program() {
        for probe in Behaviour::ALL.iter().filter_map(|behaviour| behaviour.probe()) {
            let (file, case) = probe.split_once(": ").expect(probe);
            let (_, text) = FILES.iter().find(|(name, _)| *name == file).expect(probe);
            let line = format!("; case: {case}");
            assert!(text.lines().any(|found| found == line), "{probe}");
        }
    }
}
