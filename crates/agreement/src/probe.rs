// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Asks a kernel how it behaves where its profile only assumes it.
//!
//! A probe is the case of a rule file that the table of behaviours names. What an answer means is not
//! written down: our own verifier is asked twice, for the kernel with the behaviour and for
//! the kernel without it, and the oracle's answer is compared with both. Where it is one of the two
//! (verdict, errno, message, processed instructions), the behaviour is known. Each answer may change
//! what the next one means, so the answers are gone through until nothing changes.

use std::fmt;
use std::time::Duration;

use veristable_corpus::probes::{Probe, probes};
use veristable_kernel::{Behaviour, Kernel as _, Origin, Profile};
use veristable_oracle::{LoadOptions, Oracle, OracleError};
use veristable_program::LoadRequest;
use veristable_verifier::Machine;

use crate::{Class, Match, Observation, Prediction, compare, machine_of, observe, predict};

/// Level of the logs: message and statistics.
const LOG_LEVEL: u32 = 4;

/// Rounds through all answers, at most.
const ROUNDS: usize = 4;

/// What asking came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// Behaviours that the kernel showed to have, or not to have.
    pub told: Vec<(Behaviour, bool)>,
    /// Of these, those that the profile had assumed otherwise.
    pub corrected: Vec<Behaviour>,
    /// Behaviours whose probes told nothing, and why.
    pub untold: Vec<(Behaviour, &'static str)>,
    /// Behaviours without a probe that fits this kernel: what the profile says is assumed.
    pub assumed: Vec<Behaviour>,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = |list: &[Behaviour]| list.iter().map(|b| b.id()).collect::<Vec<_>>().join(", ");
        let all = self.told.len() + self.untold.len() + self.assumed.len();
        write!(f, "{} of {all} behaviours told by probes", self.told.len())?;
        if !self.corrected.is_empty() {
            write!(f, "; other than assumed: {}", ids(&self.corrected))?;
        }
        if !self.assumed.is_empty() {
            write!(f, "; assumed without a probe: {}", ids(&self.assumed))?;
        }
        let untold: Vec<String> =
            self.untold.iter().map(|(b, why)| format!("{} ({why})", b.id())).collect();
        if !untold.is_empty() {
            write!(f, "; assumed as probes did not tell: {}", untold.join(", "))?;
        }
        Ok(())
    }
}

/// The profile with the behaviours that the oracle shows. A kernel that does not answer a probe
/// keeps what its profile says.
///
/// # Errors
/// The oracle cannot go on.
pub fn behaviours(
    profile: Profile,
    oracle: &mut dyn Oracle,
) -> Result<(Profile, Findings), OracleError> {
    let machine = machine_of(oracle);
    let probes = probes(&profile);
    let observations = ask(&probes, oracle)?;
    let before = *profile.behaviours();
    let mut findings = Findings::default();
    let mut profile = profile;
    for _ in 0..ROUNDS {
        let known = *profile.behaviours();
        (profile, findings) = judge(profile, &probes, &observations, machine);
        if *profile.behaviours() == known {
            break;
        }
    }
    let changed = |b: &Behaviour| before.has(*b) != profile.behaviours().has(*b);
    findings.corrected = Behaviour::ALL.iter().copied().filter(changed).collect();
    let all = findings.untold.is_empty() && findings.assumed.is_empty();
    let origin = if all { Origin::Observed } else { Origin::Assumed };
    let text = findings.to_string();
    Ok((profile.with_probes(origin, text), findings))
}

/// The oracle's answers, in the order of the probes.
fn ask(probes: &[Probe], oracle: &mut dyn Oracle) -> Result<Vec<Observation>, OracleError> {
    let requests =
        || probes.iter().enumerate().filter_map(|(at, p)| Some((at, p.request.as_ref()?)));
    let asked: Vec<&LoadRequest> = requests().map(|(_, request)| request).collect();
    let places: Vec<usize> = requests().map(|(at, _)| at).collect();
    let options = LoadOptions {
        log_level: LOG_LEVEL,
        timeout: Duration::from_secs(10),
        ..LoadOptions::default()
    };
    let nothing = || Observation::NoAnswer("it was not asked".into());
    let mut observations: Vec<Observation> = probes.iter().map(|_| nothing()).collect();
    oracle.load(&asked, &options, &mut |index, answer| {
        let slot = places.get(index).and_then(|at| observations.get_mut(*at));
        if let (Some(slot), Some(request)) = (slot, asked.get(index)) {
            *slot = observe(&answer, LOG_LEVEL, &request.insns);
        }
    })?;
    Ok(observations)
}

/// Sets every behaviour as the answers tell, given the others as the profile has them.
fn judge(
    mut profile: Profile,
    probes: &[Probe],
    observations: &[Observation],
    machine: Machine,
) -> (Profile, Findings) {
    let mut findings = Findings::default();
    for behaviour in Behaviour::ALL.iter().copied() {
        let found = probes.iter().zip(observations).find(|(p, _)| p.behaviour == behaviour);
        let Some((probe, seen)) = found else {
            findings.assumed.push(behaviour);
            continue;
        };
        let told = match &probe.request {
            Some(request) => tell(&profile, behaviour, request, seen, machine),
            None => Err("the kernel lacks what the probe names"),
        };
        match told {
            Ok(has) => {
                findings.told.push((behaviour, has));
                profile = profile.with_behaviour(behaviour, has);
            }
            Err(why) => findings.untold.push((behaviour, why)),
        }
    }
    (profile, findings)
}

/// Whether the kernel has the behaviour, by its answer to one probe.
fn tell(
    profile: &Profile,
    behaviour: Behaviour,
    request: &LoadRequest,
    seen: &Observation,
    machine: Machine,
) -> Result<bool, &'static str> {
    let predicted = |has: bool| {
        let kernel = profile.clone().with_behaviour(behaviour, has);
        predict(request, &kernel, LOG_LEVEL, machine)
    };
    which(&predicted(true), &predicted(false), seen)
}

/// Which of two predictions an answer is.
fn which(
    with: &Prediction,
    without: &Prediction,
    seen: &Observation,
) -> Result<bool, &'static str> {
    if let Observation::NoAnswer(_) = seen {
        return Err("the kernel gave no answer");
    }
    if with == without {
        return Err("it makes no difference to a verifier of this design");
    }
    if let (Prediction::Unsupported(_), _) | (_, Prediction::Unsupported(_)) = (with, without) {
        return Err("veristable cannot decide the probe");
    }
    // From the whole answer down to the verdict alone.
    for fits in [is_same, has_same_counts, has_same_verdict] {
        match (fits(with, seen), fits(without, seen)) {
            (true, false) => return Ok(true),
            (false, true) => return Ok(false),
            (true, true) => return Err("the answer fits both ways"),
            (false, false) => {}
        }
    }
    Err("the answer fits neither way")
}

fn has_same_verdict(prediction: &Prediction, seen: &Observation) -> bool {
    matches!(compare(prediction, seen).class, Class::BothAccept | Class::BothReject)
}

fn has_same_counts(prediction: &Prediction, seen: &Observation) -> bool {
    has_same_verdict(prediction, seen) && compare(prediction, seen).processed != Match::Different
}

fn is_same(prediction: &Prediction, seen: &Observation) -> bool {
    has_same_counts(prediction, seen) && compare(prediction, seen).message != Match::Different
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Counts, Said};

    fn answer(said: Said, processed_insns: u64) -> Answer {
        let counts = Some(Counts { processed_insns, ..Counts::default() });
        Answer { said, message: String::new(), counts, log: None }
    }

    #[test]
    fn answers_tell_which_prediction_they_are() {
        use Said::{Accepted, Rejected};
        let check = |with, without, seen: Option<Answer>, want: Option<bool>| {
            let seen = seen.map_or(Observation::NoAnswer("none".into()), |answer| {
                Observation::Answered { reached: true, answer }
            });
            let (with, without) = (Prediction::Verdict(with), Prediction::Verdict(without));
            assert_eq!(which(&with, &without, &seen).ok(), want, "{with:?} {without:?} {seen:?}");
        };
        let yes = || answer(Accepted, 5);
        let no = || answer(Rejected(22), 2);
        check(yes(), no(), Some(yes()), Some(true));
        check(yes(), no(), Some(no()), Some(false));
        // By the count alone.
        check(yes(), answer(Accepted, 7), Some(answer(Accepted, 7)), Some(false));
        // The verdict tells where counts are off.
        check(yes(), no(), Some(answer(Accepted, 6)), Some(true));
        check(yes(), no(), Some(answer(Rejected(13), 2)), None);
        check(yes(), answer(Accepted, 7), Some(answer(Accepted, 6)), None);
        check(yes(), yes(), Some(yes()), None);
        check(yes(), no(), None, None);
    }

    fn built_in() -> Vec<Profile> {
        let names = veristable_profiles::list().map(|kernel| kernel.name);
        names.map(|name| veristable_profiles::open(name).unwrap()).collect()
    }

    fn machine() -> Machine {
        Machine { unprivileged_disabled: false, cpus: Some(1), ..Machine::default() }
    }

    /// Our own answer in the place of a kernel's.
    fn as_observed(prediction: Prediction) -> Observation {
        match prediction {
            Prediction::Verdict(answer) => Observation::Answered { reached: true, answer },
            Prediction::Unsupported(why) => Observation::NoAnswer(why),
        }
    }

    /// Every probe tells its behaviour on some built-in kernel.
    #[test]
    fn probes_make_a_difference() {
        let mut told = std::collections::BTreeSet::new();
        for kernel in &built_in() {
            for Probe { behaviour, request } in probes(kernel) {
                let Some(request) = request else { continue };
                let seen = as_observed(predict(&request, kernel, LOG_LEVEL, machine()));
                let found = tell(kernel, behaviour, &request, &seen, machine());
                if let Ok(has) = found {
                    assert_eq!(has, kernel.behaviours().has(behaviour), "{behaviour:?}");
                    told.insert(behaviour);
                }
            }
        }
        let silent: Vec<&Behaviour> = Behaviour::ALL
            .iter()
            .filter(|behaviour| behaviour.probe().is_some() && !told.contains(behaviour))
            .collect();
        assert!(silent.is_empty(), "{silent:?}");
        assert!(!told.is_empty());
    }

    /// A kernel that behaves in everything otherwise than assumed is found out.
    #[test]
    fn behaviours_are_found_from_a_wrong_start() {
        for kernel in built_in() {
            let probes = probes(&kernel);
            let answers: Vec<Observation> = probes
                .iter()
                .map(|probe| match &probe.request {
                    Some(request) => as_observed(predict(request, &kernel, LOG_LEVEL, machine())),
                    None => Observation::NoAnswer("nothing to ask".into()),
                })
                .collect();
            let told = judge(kernel.clone(), &probes, &answers, machine()).1.told;
            let wrong = told.iter().fold(kernel.clone(), |profile, (behaviour, has)| {
                profile.with_behaviour(*behaviour, !has)
            });
            let mut profile = wrong;
            for _ in 0..ROUNDS {
                profile = judge(profile, &probes, &answers, machine()).0;
            }
            let differ =
                |b: &&Behaviour| profile.behaviours().has(**b) != kernel.behaviours().has(**b);
            let differ: Vec<&Behaviour> = Behaviour::ALL.iter().filter(differ).collect();
            assert!(differ.is_empty(), "{}: {differ:?}", kernel.id().name);
        }
    }
}
