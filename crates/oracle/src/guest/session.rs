// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One guest over its lives: a program may cost it one, and the snapshot gives it the next.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::machine::{Lost, Machine, Plan};
use super::mailbox::{Command, Reply};
use crate::answer::{Answer, LoadOptions, Verdict};
use crate::batch::Batch;
use crate::error::OracleError;
use crate::supervise::End;

/// How long a guest may be silent beyond the time-out of a program: it kills the loader, reads the
/// kernel's log and, on a busy machine, waits for its turn.
const SLACK: Duration = Duration::from_secs(20);

/// How long reading a file may take between two parts.
const FILE: Duration = Duration::from_secs(60);

/// Snapshots of one kernel that are kept: every build of this program has its own.
const KEPT: usize = 4;

/// Only one guest at a time starts from the beginning; the others then go on from its snapshot.
static STARTING: Mutex<()> = Mutex::new(());

/// Part of a batch.
pub(super) struct Chunk {
    /// Number of its first program in the whole batch.
    pub(super) first: usize,
    pub(super) batch: Batch,
}

/// A guest that is started when it is needed.
pub(super) struct Session {
    plan: Arc<Plan>,
    snapshots: bool,
    machine: Option<Machine>,
}

impl Session {
    pub(super) fn new(plan: Arc<Plan>, snapshots: bool) -> Self {
        Self { plan, snapshots, machine: None }
    }

    /// Loads the programs of a chunk. `each` takes the answers, and says whether anybody listens.
    pub(super) fn load(
        &mut self,
        chunk: Chunk,
        options: &LoadOptions,
        each: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), OracleError> {
        let Chunk { first, batch } = chunk;
        let count = batch.programs.len();
        let mut order = Command::Load { options: *options, from: 0, batch };
        let mut next = 0;
        while next < count {
            if let Command::Load { from, .. } = &mut order {
                *from = next as u32;
            }
            let bytes = match Machine::encode(&order) {
                Ok(bytes) => bytes,
                Err(why) => {
                    // A chunk is cut long before it is full, so this is one huge program.
                    (next..count).for_each(|number| {
                        each(first + number, Answer::environment(why.clone()));
                    });
                    return Ok(());
                }
            };
            let machine = self.machine()?;
            machine.order(&bytes);
            let mut listening = true;
            let outcome = follow(machine, options, &mut |number, answer| {
                next = number + 1;
                listening &= each(first + number, answer);
            });
            match outcome {
                Outcome::End(End::Complete) => return Ok(()),
                Outcome::End(End::Crashed | End::Stuck) => {}
                Outcome::Failed(why) => {
                    let error = machine.error(&why);
                    self.machine = None;
                    return Err(error);
                }
                Outcome::Lost(lost) => {
                    let console = machine.console_tail();
                    let splat = crate::kmsg::is_splat(&console) || matches!(lost, Lost::Ended);
                    let verdict =
                        if splat { Verdict::Crashed { splat: console } } else { Verdict::TimedOut };
                    each(first + next, Answer::bare(verdict));
                    next += 1;
                }
            }
            // Whatever it was, the next program deserves a guest that has not seen it.
            self.machine = None;
            if !listening {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn read_file(&mut self, path: String) -> Result<Vec<u8>, OracleError> {
        let machine = self.machine()?;
        let order = Machine::encode(&Command::ReadFile(path));
        machine.order(&order.map_err(|why| machine.error(&why))?);
        let error = match machine.receive(FILE) {
            Ok(Some((Reply::File, bytes))) => return Ok(bytes),
            // The guest goes on: there is no such file.
            Ok(Some((Reply::Failed(why), _))) => return Err(machine.error(&why)),
            Ok(_) => machine.error("answers something else than a file"),
            Err(Lost::Silent) => machine.error("does not answer"),
            Err(Lost::Ended) => machine.error("ended"),
        };
        self.machine = None;
        Err(error)
    }

    pub(super) fn dump_memory(&mut self, path: &Path) -> Result<(), OracleError> {
        self.machine()?.dump_memory(path)
    }

    /// The running machine, or a new one.
    fn machine(&mut self) -> Result<&mut Machine, OracleError> {
        let machine = match self.machine.take() {
            Some(machine) => machine,
            None => self.start()?,
        };
        Ok(self.machine.insert(machine))
    }

    fn start(&self) -> Result<Machine, OracleError> {
        if !self.snapshots {
            return Machine::boot(&self.plan);
        }
        if let Some(machine) = self.restore() {
            return Ok(machine);
        }
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machine) = self.restore() {
            return Ok(machine);
        }
        let mut machine = Machine::boot(&self.plan)?;
        // The first load makes the kernel read its own BTF; a snapshot is to have that behind it.
        warm_up(&mut machine)?;
        match machine.save(&self.plan.snapshot) {
            Ok(()) => {
                prune(&self.plan.snapshot);
                Ok(machine)
            }
            // A full disk, say: the guest may be in any state now, but one without works.
            Err(_) => Machine::boot(&self.plan),
        }
    }

    fn restore(&self) -> Option<Machine> {
        let snapshot = &self.plan.snapshot;
        if !snapshot.exists() {
            return None;
        }
        match Machine::restore(&self.plan, snapshot) {
            Ok(machine) => {
                // Used now: pruning goes by age.
                if let Ok(file) = fs::File::options().append(true).open(snapshot) {
                    let _ = file.set_modified(SystemTime::now());
                }
                Some(machine)
            }
            Err(_) => {
                let _ = fs::remove_file(snapshot);
                None
            }
        }
    }
}

enum Outcome {
    End(End),
    Failed(String),
    Lost(Lost),
}

/// Takes a load's answers until it ends.
fn follow(
    machine: &mut Machine,
    options: &LoadOptions,
    each: &mut dyn FnMut(usize, Answer),
) -> Outcome {
    // A log that does not fit means a second load of the same program.
    let limit = options.timeout * 2 + SLACK;
    loop {
        match machine.receive(limit) {
            Ok(Some((Reply::Answer(number, mut answer, memory), log))) => {
                answer.memory = memory;
                each(number as usize, answer.with_log(log));
            }
            Ok(Some((Reply::End(end), _))) => return Outcome::End(end),
            Ok(Some((Reply::Failed(why), _))) => return Outcome::Failed(why),
            Ok(Some((Reply::File, _)) | None) => {
                return Outcome::Failed("sends what is no answer".into());
            }
            Err(lost) => return Outcome::Lost(lost),
        }
    }
}

fn warm_up(machine: &mut Machine) -> Result<(), OracleError> {
    let mut builder = crate::batch::Builder::default();
    builder.push(&crate::live::trivial());
    let options = LoadOptions::default();
    let order = Command::Load { options, from: 0, batch: builder.finish() };
    machine.order(&Machine::encode(&order).map_err(|why| machine.error(&why))?);
    let mut verdict = None;
    let outcome = follow(machine, &options, &mut |_, answer| verdict = Some(answer.verdict));
    match (outcome, verdict) {
        (Outcome::End(End::Complete), Some(Verdict::Loaded)) => Ok(()),
        (Outcome::Failed(why), _) => Err(machine.error(&why)),
        (_, verdict) => {
            Err(machine.error(&format!("does not load a trivial program: {verdict:?}")))
        }
    }
}

/// Removes the oldest snapshots beside this one.
fn prune(snapshot: &Path) {
    let Some(entries) = snapshot.parent().and_then(|dir| fs::read_dir(dir).ok()) else { return };
    let mut all: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "snapshot"))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    all.sort();
    for (_, path) in all.iter().rev().skip(KEPT) {
        let _ = fs::remove_file(path);
    }
}
