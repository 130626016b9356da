// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Makes a program smaller while something stays true of it.
//!
//! What has to stay true is a closure, so that it may ask a verifier, a guest, or a test.

use std::collections::BTreeSet;

use veristable_isa::Insn;
use veristable_isa::consts::{BPF_JA, BPF_JMP};
use veristable_program::{Attach, InfoTable, LoadRequest, ProgFlags};

use crate::edit::{resize, starts};

/// Makes a request smaller, as long as `holds` says that it is still interesting, and not more than
/// `tries` questions. What comes back has the property if the original had it.
pub fn minimise(
    request: &LoadRequest,
    tries: usize,
    holds: &mut dyn FnMut(&LoadRequest) -> bool,
) -> LoadRequest {
    let mut search = Search { best: request.clone(), left: tries, holds };
    loop {
        let before = search.best.clone();
        search.surroundings();
        search.instructions();
        search.simpler();
        search.unused_maps();
        if search.best == before || search.left == 0 {
            return search.best;
        }
    }
}

struct Search<'h> {
    best: LoadRequest,
    left: usize,
    holds: &'h mut dyn FnMut(&LoadRequest) -> bool,
}

impl Search<'_> {
    /// Takes a candidate if it is another one and has the property.
    fn try_out(&mut self, candidate: LoadRequest) -> bool {
        if self.left == 0 || candidate == self.best {
            return false;
        }
        self.left -= 1;
        let taken = (self.holds)(&candidate);
        if taken {
            self.best = candidate;
        }
        taken
    }

    /// Flags, tables and BTF.
    fn surroundings(&mut self) {
        let none = LoadRequest {
            func_info: InfoTable::default(),
            line_info: InfoTable::default(),
            btf: None,
            ..self.best.clone()
        };
        if !self.try_out(none) {
            let without_lines =
                LoadRequest { line_info: InfoTable::default(), ..self.best.clone() };
            self.try_out(without_lines);
        }
        self.try_out(LoadRequest { flags: ProgFlags::empty(), ..self.best.clone() });
        for flag in self.best.flags {
            self.try_out(LoadRequest { flags: self.best.flags - flag, ..self.best.clone() });
        }
        if matches!(self.best.attach, Attach::None) {
            self.try_out(LoadRequest { license: "GPL".to_owned(), ..self.best.clone() });
        }
    }

    /// Removes instructions: large pieces first, then one by one.
    fn instructions(&mut self) {
        let mut piece = starts(&self.best.insns).len() / 2;
        while piece > 0 && self.left > 0 {
            let mut at = starts(&self.best.insns).len();
            while at > 0 && self.left > 0 {
                at = at.saturating_sub(piece);
                if let Some(candidate) = without(&self.best, at, piece) {
                    self.try_out(candidate);
                }
                at = at.min(starts(&self.best.insns).len());
            }
            piece /= 2;
        }
    }

    /// Makes single instructions say less: constants zero, jumps unconditional or nothing.
    fn simpler(&mut self) {
        let nothing = Insn::new(BPF_JMP | BPF_JA, 0, 0, 0, 0);
        let mut at = 0;
        while let Some(&insn) = self.best.insns.get(at) {
            let mut forms = Vec::new();
            if insn.slots() == 1 {
                forms.push(nothing);
                // r = 0
                forms.push(Insn::new(0xb7, insn.dst(), 0, 0, 0));
            }
            let names_something = insn.is_helper_call()
                || insn.is_kfunc_call()
                || insn.is_pseudo_call()
                || (insn.is_ldimm64() && insn.src() != 0);
            if !names_something && insn.imm != 0 {
                forms.extend([0, 1].map(|imm| Insn { imm, ..insn }));
            }
            for form in forms {
                let mut candidate = self.best.clone();
                if let Some(place) = candidate.insns.get_mut(at)
                    && *place != form
                    && weight(form) < weight(*place)
                {
                    *place = form;
                    if self.try_out(candidate) {
                        break;
                    }
                }
            }
            at += insn.slots();
        }
    }

    /// Drops maps that no instruction names, and renumbers the others.
    fn unused_maps(&mut self) {
        let used: BTreeSet<usize> = starts(&self.best.insns)
            .into_iter()
            .filter_map(|at| self.best.insns.get(at))
            .filter(|insn| names_map(insn))
            .filter_map(|insn| usize::try_from(insn.imm).ok())
            .collect();
        if used.len() == self.best.maps.len() || !self.best.fd_array.is_empty() {
            return;
        }
        let mut candidate = self.best.clone();
        candidate.maps = used.iter().filter_map(|map| self.best.maps.get(*map).cloned()).collect();
        for at in starts(&candidate.insns) {
            if let Some(insn) = candidate.insns.get_mut(at)
                && names_map(insn)
                && let Some(number) =
                    used.iter().position(|map| i32::try_from(*map) == Ok(insn.imm))
            {
                insn.imm = number as i32;
            }
        }
        self.try_out(candidate);
    }
}

/// How much an instruction says; less is simpler.
fn weight(insn: Insn) -> u32 {
    let nothing = insn == Insn::new(BPF_JMP | BPF_JA, 0, 0, 0, 0);
    let number = insn.code == 0xb7;
    match (nothing, number) {
        (true, _) => 0,
        (_, true) => 1 + insn.imm.unsigned_abs().min(2),
        _ => 10 + insn.imm.unsigned_abs().min(2),
    }
}

fn names_map(insn: &Insn) -> bool {
    const PSEUDO_MAP_FD: u8 = 1;
    const PSEUDO_MAP_VALUE: u8 = 2;
    insn.is_ldimm64() && matches!(insn.src(), PSEUDO_MAP_FD | PSEUDO_MAP_VALUE)
}

/// The request without some instructions, counted from number `first`.
fn without(request: &LoadRequest, first: usize, count: usize) -> Option<LoadRequest> {
    let mut out = request.clone();
    for number in (first..first.saturating_add(count)).rev() {
        if let Some(at) = starts(&out.insns).get(number) {
            out = resize(&out, *at, false)?;
        }
    }
    (out.insns.len() < request.insns.len()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::minimise;
    use veristable_isa::asm;
    use veristable_program::{LoadRequest, ProgFlags};

    fn request(source: &str) -> LoadRequest {
        let insns = asm::assemble(source, &()).unwrap().insns;
        LoadRequest { insns, flags: ProgFlags::TEST_STATE_FREQ, ..LoadRequest::default() }
    }

    #[test]
    fn only_what_matters_stays() {
        let original = request(
            "r6 = r1\nr0 = 7\nif r0 == 3 goto +2\nr2 = 0x1122334455 ll\nr1 = r6\nr0 /= 5\nexit",
        );
        let divides = |request: &LoadRequest| request.insns.iter().any(|insn| insn.code == 0x37);
        let mut asked = 0;
        let small = minimise(&original, 1000, &mut |request| {
            asked += 1;
            divides(request)
        });
        assert_eq!(asm::listing(&small.insns).to_string(), "(37) r0 /= 0\n");
        assert_eq!(small.flags, ProgFlags::empty());
        assert!(asked < 100, "{asked}");
    }

    #[test]
    fn jumps_keep_their_targets() {
        let original = request("r0 = 1\nr2 = 2\nr3 = 3\nif r0 == 3 goto +2\nr4 = 4\nr5 = 5\nexit");
        let jumps_to_exit = |request: &LoadRequest| {
            request.insns.iter().enumerate().any(|(at, insn)| {
                let to = insn.jump_target(at).and_then(|to| usize::try_from(to).ok());
                insn.code == 0x15
                    && to.is_some_and(|to| request.insns.get(to).is_some_and(|i| i.code == 0x95))
            })
        };
        let small = minimise(&original, 1000, &mut |request| jumps_to_exit(request));
        assert_eq!(small.insns.len(), 2);
        assert!(jumps_to_exit(&small));
    }

    #[test]
    fn the_number_of_questions_is_bounded() {
        let original = request("r0 = 1\nr2 = 2\nr3 = 3\nexit");
        let mut asked = 0;
        minimise(&original, 5, &mut |_| {
            asked += 1;
            false
        });
        assert_eq!(asked, 5);
    }
}
