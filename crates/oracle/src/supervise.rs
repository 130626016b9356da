// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Runs the loader in a forked worker and watches it.
//!
//! The worker inherits the batch, writes each log into memory shared with its parent and sends the
//! rest of the answer through a pipe; it goes on when the parent has taken it. A load that takes
//! too long is killed and the next worker starts behind it.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use veristable_program::FixupKind;

use crate::answer::{Answer, LoadOptions, Memory, Verdict};
use crate::batch::Batch;
use crate::kmsg::Kmsg;
use crate::loader::{Loader, Symbols};
use crate::sys::{self, Child, Raised, SharedMem};

/// How long a killed worker may take to go: the verifier looks for signals only in its main loop.
const DYING: Duration = Duration::from_secs(3);

/// Longest answer without its log that a worker may send.
const MAX_REPORT: u32 = 256 << 20;

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    /// Every program was answered.
    Complete,
    /// The kernel is no longer to be trusted after the program answered last.
    Crashed,
    /// A worker cannot be killed: the program answered last still occupies the kernel.
    Stuck,
}

/// Which splats are a program's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blame {
    /// All: nothing else runs on this kernel.
    Everything,
    /// Those that name the worker's process: the kernel is shared with others.
    Worker,
}

/// Watches workers. Keeps the log buffer between batches.
pub(crate) struct Supervisor {
    log: SharedMem,
    kmsg: Option<Kmsg>,
    blame: Blame,
    /// Workers that would not die.
    stuck: Vec<Child>,
}

struct Worker {
    child: Child,
    reports: PipeReader,
    go: PipeWriter,
}

/// What is heard of a worker.
enum Event {
    /// The answer, and the length of its log.
    Report(Box<Answer>, usize),
    Late,
    Gone,
}

/// What follows an answer.
enum Fate {
    /// The worker goes on.
    Next,
    /// A new worker goes on.
    Restart,
    /// Nobody does.
    End(End),
}

impl Supervisor {
    pub(crate) fn new(blame: Blame) -> io::Result<Self> {
        let log = SharedMem::anonymous(LoadOptions::MAX_LOG as usize)?;
        Ok(Self { log, kmsg: Kmsg::open(), blame, stuck: Vec::new() })
    }

    /// Whether a killed load of an earlier batch still occupies the kernel.
    pub(crate) fn is_stuck(&mut self) -> bool {
        self.stuck.retain(|child| child.try_wait().is_none());
        !self.stuck.is_empty()
    }

    /// Loads the programs from number `from` on; `each` gets every answer in order. Returns why it
    /// ended; programs behind the last one answered were not asked.
    pub(crate) fn run(
        &mut self,
        batch: &Batch,
        from: usize,
        options: &LoadOptions,
        each: &mut dyn FnMut(usize, Answer),
    ) -> io::Result<End> {
        let options =
            LoadOptions { log_size: options.log_size.clamp(1, LoadOptions::MAX_LOG), ..*options };
        let symbols = symbols(batch);
        if let Some(kmsg) = &mut self.kmsg {
            kmsg.news();
        }
        let mut next = from;
        while next < batch.programs.len() {
            let mut worker = self.start(batch, next, &options, &symbols)?;
            let mut fate = Fate::Next;
            while next < batch.programs.len() && matches!(fate, Fate::Next) {
                let answer;
                (answer, fate) = self.answer(&mut worker, &options)?;
                each(next, answer);
                next += 1;
                // A worker that is gone by now shows when its next answer is awaited.
                let _ = worker.go.write_all(&[1]);
            }
            let ended = self.dismiss(worker);
            match fate {
                Fate::End(end) => return Ok(end),
                _ if !ended => return Ok(End::Stuck),
                Fate::Next | Fate::Restart => {}
            }
        }
        Ok(End::Complete)
    }

    fn start(
        &self,
        batch: &Batch,
        from: usize,
        options: &LoadOptions,
        symbols: &Symbols,
    ) -> io::Result<Worker> {
        let (reports, to_parent) = io::pipe()?;
        let (from_parent, go) = io::pipe()?;
        let log = &self.log;
        let child = sys::fork(|| work(batch, from, options, symbols, log, to_parent, from_parent))?;
        Ok(Worker { child, reports, go })
    }

    /// Waits for the answer about the worker's current program.
    fn answer(&mut self, worker: &mut Worker, options: &LoadOptions) -> io::Result<(Answer, Fate)> {
        let event = worker.event(options.timeout)?;
        let splat = self.splat(&worker.child);
        Ok(match event {
            Event::Report(mut answer, log_len) => {
                let fatal = splat.as_deref().is_some_and(is_fatal);
                answer.splat = splat;
                let fate = if fatal { Fate::End(End::Crashed) } else { Fate::Next };
                (answer.with_log(self.log.copy(0, log_len)), fate)
            }
            Event::Late => {
                let mut answer = Answer::bare(Verdict::TimedOut);
                answer.splat = splat;
                (answer, Fate::Restart)
            }
            Event::Gone => gone(worker.child.wait(DYING), splat),
        })
    }

    fn splat(&mut self, child: &Child) -> Option<String> {
        let text = self.kmsg.as_mut()?.splat()?;
        let own = match self.blame {
            Blame::Everything => true,
            Blame::Worker => text.contains(&format!("PID: {} ", child.pid())),
        };
        own.then_some(text)
    }

    /// Ends a worker; `false` if it would not go.
    fn dismiss(&mut self, worker: Worker) -> bool {
        let Worker { child, reports, go } = worker;
        drop((reports, go));
        if child.wait(Duration::from_millis(2)).is_none() {
            child.kill();
        }
        let ended = child.wait(DYING).is_some();
        if !ended {
            self.stuck.push(child);
        }
        ended
    }
}

/// The answer for a program whose worker died of it.
fn gone(how: Option<Raised>, splat: Option<String>) -> (Answer, Fate) {
    let said = splat.unwrap_or_default();
    match how {
        Some(Raised::Signal(libc::SIGKILL))
            if said.is_empty() || said.contains("Out of memory") =>
        {
            let reason = "the kernel killed the loader, probably for want of memory";
            (Answer::environment(reason), Fate::Restart)
        }
        Some(Raised::Exit(101)) => {
            (Answer::environment("the loader failed (a panic, see above)"), Fate::Restart)
        }
        how => {
            let splat = if said.is_empty() { format!("the loader ended: {how:?}") } else { said };
            (Answer::bare(Verdict::Crashed { splat }), Fate::End(End::Crashed))
        }
    }
}

/// Whether a kernel that said this should not be asked further.
fn is_fatal(splat: &str) -> bool {
    ["BUG: ", "kernel BUG at", "Oops: ", "general protection fault"]
        .iter()
        .any(|sign| splat.contains(sign))
}

impl Worker {
    /// Waits for a report, up to the time-out of one program.
    fn event(&mut self, timeout: Duration) -> io::Result<Event> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Late);
            }
            let left = left.max(Duration::from_millis(1));
            if sys::wait_readable(self.reports.as_fd(), left)? {
                return Ok(self
                    .report()
                    .map_or(Event::Gone, |(a, len)| Event::Report(Box::new(a), len)));
            }
        }
    }

    fn report(&mut self) -> Option<(Answer, usize)> {
        let mut word = [0; 4];
        self.reports.read_exact(&mut word).ok()?;
        let len = u32::from_le_bytes(word);
        if len > MAX_REPORT {
            return None;
        }
        let mut bytes = vec![0; len as usize];
        self.reports.read_exact(&mut bytes).ok()?;
        let (mut answer, memory, log_len): (Answer, Memory, usize) =
            postcard::from_bytes(&bytes).ok()?;
        answer.memory = memory;
        Some((answer, log_len))
    }
}

/// The worker's life.
fn work(
    batch: &Batch,
    from: usize,
    options: &LoadOptions,
    symbols: &Symbols,
    log: &SharedMem,
    mut to_parent: PipeWriter,
    mut from_parent: PipeReader,
) {
    let mut loader = Loader::new(batch, symbols, log);
    for item in batch.programs.iter().skip(from) {
        let (mut answer, log_len) = loader.load(item, options);
        let memory = std::mem::take(&mut answer.memory);
        let report = (answer, memory, log_len);
        let Ok(bytes) = postcard::to_stdvec(&report) else { return };
        let Ok(len) = u32::try_from(bytes.len()) else { return };
        let sent =
            to_parent.write_all(&len.to_le_bytes()).and_then(|()| to_parent.write_all(&bytes));
        if sent.is_err() || from_parent.read_exact(&mut [0]).is_err() {
            return;
        }
    }
}

/// Looks the symbols up that the batch names. The first of several with the same name counts.
fn symbols(batch: &Batch) -> Symbols {
    let names: Vec<&str> = batch
        .programs
        .iter()
        .chain(&batch.targets)
        .flat_map(|item| &item.request.fixups)
        .filter_map(|fixup| match &fixup.kind {
            FixupKind::SymbolAddress(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Symbols::new();
    }
    let wanted: std::collections::HashSet<&str> = names.into_iter().collect();
    let text = fs::read("/proc/kallsyms").unwrap_or_default();
    let mut found = Symbols::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let Ok(address) = u64::from_str_radix(address, 16)
            && wanted.contains(name)
        {
            found.entry(name.to_owned()).or_insert(address);
        }
    }
    found
}
