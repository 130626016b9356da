// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions of the program: calls, callbacks, returns, the end of the program.

mod call;
mod callback;
mod exit;

#[allow(unused_imports, reason = "for the callers that are being built")]
pub(crate) use callback::Callback;
