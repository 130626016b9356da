// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Agreement with real kernels: compares what `veristable` says with what an oracle says.
//!
//! ```text
//! annotated selftests: what their annotations expect, beside both answers
//! cells     a sample of a kernel's facts, as programs
//! compare   one program: classes of verdicts, message, counts, log
//! probe     behaviours that a kernel shows
//! run       a set: predict, ask, compare
//! table     sums over a set
//! known     the checked-in list of known disagreements
//! ```

pub mod annotated;
pub mod cells;
mod compare;
mod known;
pub mod probe;
mod run;
mod table;

pub use compare::{
    Answer, Class, Comparison, Counts, Match, Observation, Prediction, Said, compare,
};
pub use known::{Changes, Known, KnownError};
pub use run::{
    Case, Finished, MessageId, Predicted, RunOptions, machine_of, observe, predict, predict_whole,
    run, summarise,
};
pub use table::{Share, Table};
