// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Asks a kernel how it behaves where its profile only assumes it.
//!
//! The running kernel's profile takes behaviours over from the nearest kernel that is known. Some
//! can be told from the figures of a tiny program, so that they need not be assumed.

use std::time::Duration;

use veristable_isa::asm::assemble;
use veristable_kernel::{Behaviour, Profile, ProgType};
use veristable_oracle::{LoadOptions, Oracle, OracleError};
use veristable_program::LoadRequest;

/// A program and how many more instructions a kernel processes that has the behaviour.
struct Probe {
    behaviour: Behaviour,
    program: &'static str,
    /// Instructions processed without it.
    without: u64,
}

const PROBES: &[Probe] = &[Probe {
    behaviour: Behaviour::ForkOnSignMask,
    program: "r0 = *(u32 *)(r1 + 0)\nw0 s>>= 31\nr0 &= 5\nr0 = 0\nexit\n",
    without: 5,
}];

/// The profile with the behaviours that the oracle shows. A kernel that does not answer a probe
/// keeps what its profile says.
///
/// # Errors
/// The oracle cannot go on.
pub fn behaviours(mut profile: Profile, oracle: &mut dyn Oracle) -> Result<Profile, OracleError> {
    for probe in PROBES {
        let Ok(program) = assemble(probe.program, &()) else { continue };
        let request = LoadRequest {
            name: "probe".into(),
            prog_type: ProgType::SOCKET_FILTER,
            license: "GPL".into(),
            insns: program.insns,
            ..LoadRequest::default()
        };
        let options = LoadOptions { timeout: Duration::from_secs(10), ..LoadOptions::default() };
        let mut processed = None;
        oracle.load(&[&request], &options, &mut |_, answer| {
            processed = answer.stats.map(|stats| stats.processed_insns);
        })?;
        if let Some(processed) = processed {
            profile = profile.with_behaviour(probe.behaviour, processed > probe.without);
        }
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_programs_of_the_length_they_say() {
        for probe in PROBES {
            let program = assemble(probe.program, &()).expect("a probe assembles");
            assert_eq!(program.insns.len() as u64, probe.without, "{}", probe.program);
        }
    }
}
