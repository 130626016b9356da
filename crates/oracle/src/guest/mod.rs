// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Debian kernels in QEMU guests.

mod agent;
mod apt;
mod bzimage;
mod image;
mod initrd;
mod machine;
mod mailbox;
mod qmp;
mod session;

pub use agent::agent_if_init;
pub use image::{GuestKernel, kernels};

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use veristable_program::LoadRequest;

use self::machine::Plan;
use self::session::{Chunk, Session};
use crate::answer::{Answer, LoadOptions, Oracle};
use crate::batch::Builder;
use crate::error::{Doing as _, OracleError};

/// How guests are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestOptions {
    /// Guests that share the work.
    pub guests: usize,
    /// Memory of each, in MiB; only what it touches is used.
    pub memory_mib: u32,
    /// Whether a started guest is kept in the cache and later ones go on from there.
    pub snapshots: bool,
    /// Whether the kernel takes care of what processors mispredict, as it does unless told
    /// otherwise (`mitigations=off`).
    pub mitigations: bool,
}

impl Default for GuestOptions {
    fn default() -> Self {
        Self { guests: 1, memory_mib: 768, snapshots: true, mitigations: true }
    }
}

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// A thread with a guest of its own. QEMU ends with the thread that started it.
struct Keeper {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// One or more guests of one kernel.
pub struct Guest {
    name: String,
    release: String,
    keepers: Vec<Keeper>,
}

/// What keepers send while a batch is loaded.
enum Event {
    Answer(usize, Answer),
    Failed(OracleError),
}

impl Guest {
    /// Starts a guest, from its snapshot if there is one.
    ///
    /// # Errors
    /// The kernel is unknown or not to be had, QEMU is missing, or the guest does not come up.
    pub fn open(version: &str, options: GuestOptions) -> Result<Self, OracleError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(OracleError::Missing {
                what: "guests run this very program, so they need an x86-64 machine".into(),
                help: "ask the running kernel (`live`)".into(),
            });
        }
        let kernel = image::find(version)?;
        let plan = Plan::new(version, kernel.vmlinux()?, options)?;
        let plan = Arc::new(plan);
        let keepers = (0..options.guests.max(1))
            .map(|_| Keeper::start(Session::new(Arc::clone(&plan), options.snapshots)))
            .collect::<Result<Vec<_>, _>>()?;
        let parameter = if options.mitigations { "" } else { ",mitigations=off" };
        let name = format!("vm:{version}{parameter}");
        let mut guest = Self { name, release: String::new(), keepers };
        let release = guest.read_file("/proc/sys/kernel/osrelease")?;
        guest.release = String::from_utf8_lossy(&release).trim().to_owned();
        Ok(guest)
    }

    /// Writes a guest's memory to a file as an ELF core.
    ///
    /// # Errors
    /// The guest is gone, or QEMU cannot write the file.
    pub fn dump_memory(&mut self, path: &Path) -> Result<(), OracleError> {
        let path = path.to_owned();
        self.ask(move |session| session.dump_memory(&path))
    }

    /// Runs something on the first guest.
    fn ask<T: Send + 'static>(
        &mut self,
        what: impl FnOnce(&mut Session) -> Result<T, OracleError> + Send + 'static,
    ) -> Result<T, OracleError> {
        let (to_us, result) = mpsc::channel();
        let job: Job = Box::new(move |session| drop(to_us.send(what(session))));
        if let Some(keeper) = self.keepers.first() {
            keeper.send(job);
        }
        result.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    fn gone(&self) -> OracleError {
        OracleError::Guest {
            kernel: self.name.clone(),
            what: "its thread has ended (a panic, see above)".into(),
            console: String::new(),
        }
    }
}

impl Keeper {
    fn start(mut session: Session) -> Result<Self, OracleError> {
        let (jobs, work) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("guest".into())
            .spawn(move || {
                for job in work {
                    job(&mut session);
                }
            })
            .doing(|| "starting a thread for a guest".into())?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// A keeper that has ended drops the job, which its sender notices.
    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Programs in one command to a guest: enough to share maps, few enough to be split among guests.
const CHUNK_PROGRAMS: usize = 128;
const CHUNK_BYTES: usize = 12 << 20;

/// Answers that may wait for the caller.
const WAITING: usize = 64;

fn chunks(batch: &[&LoadRequest]) -> VecDeque<Chunk> {
    let mut out = VecDeque::new();
    let mut builder = Builder::default();
    let mut first = 0;
    for (index, request) in batch.iter().enumerate() {
        builder.push(request);
        let full = builder.len() >= CHUNK_PROGRAMS || builder.bytes() >= CHUNK_BYTES;
        if full || index + 1 == batch.len() {
            out.push_back(Chunk { first, batch: std::mem::take(&mut builder).finish() });
            first = index + 1;
        }
    }
    out
}

impl Oracle for Guest {
    fn name(&self) -> &str {
        &self.name
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
        let queue = Arc::new(Mutex::new(chunks(batch)));
        let (to_us, events) = mpsc::sync_channel(WAITING);
        for keeper in &self.keepers {
            let (queue, to_us, options) = (Arc::clone(&queue), to_us.clone(), *options);
            keeper.send(Box::new(move |session| {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(chunk) = next() {
                    let mut take = |index, answer| to_us.send(Event::Answer(index, answer)).is_ok();
                    if let Err(error) = session.load(chunk, &options, &mut take) {
                        let _ = to_us.send(Event::Failed(error));
                        return;
                    }
                }
            }));
        }
        drop(to_us);
        let mut answered = 0;
        for event in events {
            match event {
                Event::Answer(index, answer) => {
                    answered += 1;
                    each(index, answer);
                }
                Event::Failed(error) => {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    return Err(error);
                }
            }
        }
        if answered == batch.len() { Ok(()) } else { Err(self.gone()) }
    }

    fn read_file(&mut self, path: &str) -> Result<Vec<u8>, OracleError> {
        let path = path.to_owned();
        self.ask(move |session| session.read_file(path))
    }
}
