// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Behaviours that a refusal hangs on, found by trying.

use veristable_kernel::{Behaviour, Kernel, Profile};
use veristable_program::LoadRequest;
use veristable_verifier::{Options, Rejected, Silent, verify};

/// Instructions that the refusal may have taken.
const MOST: u32 = 200_000;

/// The behaviours in which `kernel`, that refuses a program, must become like `other` to accept it.
///
/// Every behaviour in which the two differ is changed, and if that makes the difference the change
/// is narrowed down by halves. Empty if the behaviours are not the reason, or are so only together,
/// or if the program is so large that trying would take long.
#[must_use]
pub fn responsible(
    request: &LoadRequest,
    rejected: &Rejected,
    kernel: &Profile,
    other: &Profile,
) -> Vec<Behaviour> {
    if rejected.stats.as_ref().is_some_and(|stats| stats.processed_insns > MOST) {
        return Vec::new();
    }
    let has = |profile: &Profile, behaviour| profile.behaviours().has(behaviour);
    let differ = |behaviour: &Behaviour| has(kernel, *behaviour) != has(other, *behaviour);
    let mut suspects: Vec<Behaviour> = Behaviour::ALL.iter().copied().filter(differ).collect();
    let accepts = |changed: &[Behaviour]| {
        let changed = changed.iter().fold(kernel.clone(), |profile, behaviour| {
            profile.with_behaviour(*behaviour, has(other, *behaviour))
        });
        verify(request, &changed, &Options::default(), &mut Silent).is_accepted()
    };
    if suspects.is_empty() || !accepts(&suspects) {
        return Vec::new();
    }
    while suspects.len() > 1 {
        let (first, second) = suspects.split_at(suspects.len() / 2);
        let half = [first, second].into_iter().find(|half| accepts(half)).map(<[_]>::to_vec);
        match half {
            Some(half) => suspects = half,
            None => break,
        }
    }
    // More than a few are no reason that a person can use.
    if suspects.len() > 3 { Vec::new() } else { suspects }
}
