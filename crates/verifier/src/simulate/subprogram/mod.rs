// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions of the program: calls, callbacks, returns, the end of the program.

mod arguments;
mod call;
mod callback;
mod context_type;
mod exit;
mod global;
mod result;

pub(crate) use arguments::Prototypes;
pub(crate) use callback::Callback;
