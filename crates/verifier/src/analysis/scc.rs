// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Strongly connected components: the loops of each subprogram (`compute_scc`).

use crate::env::Env;
use crate::mem::List;
use crate::outcome::Step;
use crate::trace::Observer;

/// Tarjan's walk in Pearce's form, with its own stack.
struct Walk {
    /// Instructions of components that are still open.
    open: List<u32>,
    /// The path.
    path: List<u32>,
    /// Number of an instruction in the order of discovery, 0 before.
    number: List<u32>,
    /// Smallest such number that is known to be reachable; [`CLOSED`] once its component is done.
    low: List<u32>,
    next_number: u32,
    next_id: u32,
}

const CLOSED: u32 = u32::MAX;

/// Gives each component of more than one instruction, or with an edge to itself, an id, from 1 on
/// in the order in which they are completed.
///
/// # Errors
///
/// If memory does not suffice.
pub fn compute<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if env.code.graph.only_goes_on() {
        env.code.scc_count = 0;
        return Ok(());
    }
    let len = env.code.insns.len();
    let mut walk = Walk {
        open: List::with_room(&env.budget, len)?,
        path: List::with_room(&env.budget, len)?,
        number: List::filled(&env.budget, len, 0)?,
        low: List::filled(&env.budget, len, 0)?,
        next_number: 1,
        next_id: 1,
    };
    for root in 0..env.code.len() {
        if *walk.number.at(root as usize)? == 0 {
            walk.run(env, root)?;
        }
    }
    env.code.scc_count = walk.next_id - 1;
    walk.open.release(&env.budget);
    walk.path.release(&env.budget);
    walk.number.release(&env.budget);
    walk.low.release(&env.budget);
    Ok(())
}

impl Walk {
    fn run<O: Observer>(&mut self, env: &mut Env<'_, O>, root: u32) -> Step {
        self.path.push(&env.budget, root)?;
        while let Some(&at) = self.path.last() {
            env.tick()?;
            if *self.number.at(at as usize)? == 0 {
                *self.number.at_mut(at as usize)? = self.next_number;
                *self.low.at_mut(at as usize)? = self.next_number;
                self.next_number = self.next_number.saturating_add(1);
                self.open.push(&env.budget, at)?;
            }
            if let Some(successor) = self.scan(env, at)? {
                self.path.push(&env.budget, successor)?;
                continue;
            }
            if *self.low.at(at as usize)? >= *self.number.at(at as usize)? {
                self.close(env, at)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Takes the successors' numbers over; the first one that was not visited, if there is one.
    fn scan<O: Observer>(&mut self, env: &Env<'_, O>, at: u32) -> Step<Option<u32>> {
        for &successor in env.code.graph.successors(at) {
            if *self.number.at(successor as usize)? == 0 {
                return Ok(Some(successor));
            }
            let reachable = *self.low.at(successor as usize)?;
            let low = self.low.at_mut(at as usize)?;
            *low = (*low).min(reachable);
        }
        Ok(None)
    }

    /// `at` is the root of a component: it and all that was opened after it.
    fn close<O: Observer>(&mut self, env: &mut Env<'_, O>, at: u32) -> Step {
        let to_itself = env.code.graph.successors(at).contains(&at);
        let is_loop = to_itself || self.open.last() != Some(&at);
        while let Some(member) = self.open.pop() {
            *self.low.at_mut(member as usize)? = CLOSED;
            if is_loop {
                env.code.aux_mut(member)?.scc = self.next_id;
            }
            if member == at {
                break;
            }
        }
        if is_loop {
            self.next_id = self.next_id.saturating_add(1);
        }
        Ok(())
    }
}
