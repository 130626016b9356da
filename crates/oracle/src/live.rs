// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The running kernel.

use std::fs;

use veristable_isa::Insn;
use veristable_kernel::ProgType;
use veristable_program::LoadRequest;

use crate::answer::{Answer, LoadOptions, Oracle, Verdict};
use crate::batch::Builder;
use crate::danger;
use crate::error::{Doing as _, OracleError, errno_name};
use crate::supervise::{Blame, End, Supervisor};
use crate::sys;

/// The kernel that this process runs on.
///
/// Programs are loaded and closed at once, in a process that is killed when a load takes too long.
/// Those on the [danger list](crate::danger) are not loaded.
pub struct Live {
    release: String,
    supervisor: Supervisor,
    /// Why nothing is loaded any more: a program crashed the kernel or cannot be killed.
    closed: Option<String>,
}

impl Live {
    /// Opens the running kernel and loads one trivial program to see that it may.
    ///
    /// # Errors
    /// The process may not load programs, or the kernel has no `bpf()`.
    pub fn open() -> Result<Self, OracleError> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")
            .doing(|| "reading /proc/sys/kernel/osrelease".into())?
            .trim()
            .to_owned();
        let supervisor =
            Supervisor::new(Blame::Worker).doing(|| "setting memory aside for logs".into())?;
        let mut live = Self { release, supervisor, closed: None };
        live.probe()?;
        Ok(live)
    }

    fn probe(&mut self) -> Result<(), OracleError> {
        let request = trivial();
        let mut verdict = None;
        self.load(&[&request], &LoadOptions::default(), &mut |_, answer| {
            verdict = Some(answer.verdict);
        })?;
        let what = match verdict {
            Some(Verdict::Loaded) => return Ok(()),
            Some(Verdict::Refused { errno: libc::ENOSYS }) => {
                return Err(OracleError::Missing {
                    what: "the running kernel has no bpf() system call".into(),
                    help: "ask a guest instead: `vm:6.18.15`".into(),
                });
            }
            Some(Verdict::Refused { errno }) => {
                format!("the running kernel refuses a trivial program ({})", errno_name(errno))
            }
            other => format!("the running kernel did not load a trivial program: {other:?}"),
        };
        let help = if sys::effective_uid() == 0 {
            "a container or a lockdown may forbid bpf(): use a guest (`vm:6.18.15`) or the host"
        } else {
            "run as root (CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_ADMIN)"
        };
        Err(OracleError::Missing { what, help: help.into() })
    }

    fn refusal(&mut self, request: &LoadRequest) -> Option<String> {
        if self.supervisor.is_stuck() {
            return Some("an earlier load cannot be killed and still occupies the kernel".into());
        }
        if let Some(closed) = &self.closed {
            return Some(closed.clone());
        }
        danger::find(request, &self.release)
            .map(|entry| format!("on the danger list: {}", entry.reason))
    }
}

/// A program that every kernel loads.
pub(crate) fn trivial() -> LoadRequest {
    LoadRequest {
        name: "probe".into(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".into(),
        insns: vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)],
        ..LoadRequest::default()
    }
}

impl Oracle for Live {
    fn name(&self) -> &str {
        "live"
    }

    fn kernel(&self) -> &str {
        &self.release
    }

    fn load(
        &mut self,
        batch: &[&LoadRequest],
        options: &LoadOptions,
        each: &mut dyn FnMut(usize, Answer),
    ) -> Result<(), OracleError> {
        let mut builder = Builder::default();
        // Numbers in the caller's batch of what goes to the kernel.
        let mut asked = Vec::with_capacity(batch.len());
        for (index, request) in batch.iter().enumerate() {
            match self.refusal(request) {
                Some(reason) => each(index, Answer::environment(reason)),
                None => {
                    builder.push(request);
                    asked.push(index);
                }
            }
        }
        let packed = builder.finish();
        let mut next = 0;
        while next < asked.len() {
            let mut last = None;
            let mut take = |number: usize, answer: Answer| {
                last = Some(number);
                if let Some(index) = asked.get(number) {
                    each(*index, answer);
                }
            };
            let end = self
                .supervisor
                .run(&packed, next, options, &mut take)
                .doing(|| "starting a process to load programs".into())?;
            next = last.map_or(asked.len(), |number| number + 1);
            let culprit = last
                .and_then(|number| packed.programs.get(number))
                .map_or("?", |item| item.request.name.as_str());
            let closed = match end {
                End::Complete => continue,
                End::Crashed => {
                    format!("the kernel crashed on `{culprit}` and is not asked further")
                }
                End::Stuck => format!("the load of `{culprit}` cannot be killed"),
            };
            for index in asked.iter().skip(next) {
                each(*index, Answer::environment(closed.clone()));
            }
            if end == End::Crashed {
                self.closed = Some(closed);
            }
            break;
        }
        Ok(())
    }

    fn read_file(&mut self, path: &str) -> Result<Vec<u8>, OracleError> {
        fs::read(path).doing(|| format!("reading {path}"))
    }
}
