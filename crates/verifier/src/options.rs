// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the caller chooses beside the request and the kernel.

use crate::outcome::Abort;
use core::cell::Cell;
use core::fmt;

/// Limits on one verification. None of them changes a verdict; a limit that is hit ends the
/// verification with [`crate::Outcome::Aborted`].
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Bytes that the verification may use at once.
    pub memory: usize,
    /// Simulated instructions, if fewer than the kernel's own limit are to be allowed.
    pub fuel: Option<u64>,
    /// Asked now and then; `true` ends the verification.
    pub cancel: Option<&'a dyn Fn() -> bool>,
    /// Settings of the machine that are not part of a kernel package.
    pub machine: Machine,
    /// Told the largest number of bytes that were in use at once, if it is larger than what is there.
    pub peak: Option<&'a Cell<usize>>,
}

/// Settings that an administrator or the processor decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    /// `kernel.unprivileged_bpf_disabled` is not 0.
    pub unprivileged_disabled: bool,
    /// `net.core.bpf_jit_enable` is not 0.
    pub jit: bool,
    /// The processor needs no care against Spectre v1 (`cpu_mitigations_off`).
    pub mitigations_off: bool,
    /// Processors that it can have (`nr_cpu_ids`); if it is not known, as many as the kernel was
    /// made for.
    pub cpus: Option<u32>,
}

impl Default for Machine {
    /// As distributions ship: JIT on, mitigations on, unprivileged programs refused.
    fn default() -> Self {
        Self { unprivileged_disabled: true, jit: true, mitigations_off: false, cpus: None }
    }
}

impl Options<'_> {
    /// The default memory budget: enough for most programs at the instruction limit. What needs more
    /// (up to 1.2 GiB were seen, for loops under `BPF_F_TEST_STATE_FREQ` or around iterators) is undecided.
    pub const DEFAULT_MEMORY: usize = 512 << 20;
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            memory: Self::DEFAULT_MEMORY,
            fuel: None,
            cancel: None,
            machine: Machine::default(),
            peak: None,
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("memory", &self.memory)
            .field("fuel", &self.fuel)
            .field("cancel", &self.cancel.is_some())
            .field("machine", &self.machine)
            .field("peak", &self.peak)
            .finish()
    }
}

/// Counts fuel and asks for cancellation.
pub(crate) struct Meter<'a> {
    fuel: u64,
    until_asked: u32,
    cancel: Option<&'a dyn Fn() -> bool>,
}

impl<'a> Meter<'a> {
    /// How many steps pass between two questions.
    const INTERVAL: u32 = 1024;

    pub(crate) fn new(options: &Options<'a>) -> Self {
        Self { fuel: options.fuel.unwrap_or(u64::MAX), until_asked: 0, cancel: options.cancel }
    }

    /// Several small steps of work.
    #[inline]
    pub(crate) fn ticks(&mut self, steps: usize) -> Result<(), Abort> {
        self.fuel = self.fuel.checked_sub(steps as u64).ok_or(Abort::Fuel)?;
        self.until_asked =
            self.until_asked.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
        Ok(())
    }

    /// One step of work.
    #[inline]
    pub(crate) fn tick(&mut self) -> Result<(), Abort> {
        self.fuel = self.fuel.checked_sub(1).ok_or(Abort::Fuel)?;
        match self.until_asked.checked_sub(1) {
            Some(left) => self.until_asked = left,
            None => {
                self.until_asked = Self::INTERVAL;
                if self.cancel.is_some_and(|cancel| cancel()) {
                    return Err(Abort::Cancelled);
                }
            }
        }
        Ok(())
    }
}
