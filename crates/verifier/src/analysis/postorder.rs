// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Post-order of the instructions, subprogram by subprogram (`compute_postorder`).

use super::graph::Graph;
use crate::env::Env;
use crate::mem::List;
use crate::outcome::{Abort, Step};
use crate::trace::Observer;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    New,
    /// On the stack, its successors not yet.
    Discovered,
    /// Its successors are on the stack above it, or were.
    Explored,
}

/// Computes the order. An instruction pushes all successors that were not seen before at once, so
/// this is not quite the order of a recursive walk.
///
/// # Errors
///
/// If memory does not suffice.
pub fn compute<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let len = env.code.insns.len();
    env.code.graph = Graph::of(&env.budget, &env.code.insns)?;
    let mut places = List::filled(&env.budget, len, u32::MAX)?;
    let mut progress = List::filled(&env.budget, len, Progress::New)?;
    let mut stack = List::with_room(&env.budget, len)?;
    let mut order = List::with_room(&env.budget, len)?;
    for number in 0..env.subprogs.len() {
        let begin = position(&order)?;
        let start = env.subprogs.at(number)?.start;
        stack.push(&env.budget, start)?;
        while let Some(&top) = stack.last() {
            env.tick()?;
            let state = progress.at_mut(top as usize)?;
            if *state == Progress::Explored {
                *places.at_mut(top as usize)? = position(&order)?;
                order.push(&env.budget, top)?;
                stack.pop();
                continue;
            }
            *state = Progress::Explored;
            for &successor in env.code.graph.successors(top) {
                let state = progress.at_mut(successor as usize)?;
                if *state == Progress::New {
                    *state = Progress::Discovered;
                    stack.push(&env.budget, successor)?;
                }
            }
        }
        env.subprogs.at_mut(number)?.postorder = (begin, position(&order)?);
    }
    progress.release(&env.budget);
    stack.release(&env.budget);
    env.code.postorder = order;
    env.code.places = places;
    Ok(())
}

fn position(order: &List<u32>) -> Result<u32, Abort> {
    u32::try_from(order.len()).map_err(|_| Abort::OutOfMemory)
}
