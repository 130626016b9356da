// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The guest's side: this very program as the guest's first process.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use super::mailbox::{self, Command, Endless, Reply, Ring, word};
use crate::answer::{Answer, LoadOptions};
use crate::batch::Batch;
use crate::supervise::{Blame, End, Supervisor};
use crate::sys::{self, SharedMem};

/// Set on the guest kernel's command line, which hands it to the first process.
pub(super) const VARIABLE: &str = "VERISTABLE_AGENT";

/// Vendor and device of `ivshmem` (QEMU, `docs/specs/ivshmem-spec`).
const IVSHMEM: (&str, &str) = ("0x1af4", "0x1110");

/// Serves the host if this process is the first one of a guest that [`crate::Guest`] started, and
/// then never returns. Otherwise does nothing.
///
/// Every program that uses guests must call it first in `main`, before threads and arguments.
pub fn agent_if_init() {
    if std::process::id() == 1 && std::env::var_os(VARIABLE).is_some_and(|value| value == "1") {
        let Err(error) = serve();
        eprintln!("agent: {error}");
        sys::power_off();
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

fn serve() -> std::io::Result<Infallible> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("bpf", "/sys/fs/bpf"),
        ("tracefs", "/sys/kernel/tracing"),
        ("debugfs", "/sys/kernel/debug"),
    ] {
        if let Err(error) = sys::mount(kind, target) {
            eprintln!("agent: {target}: {error}");
        }
    }
    // Requests without capabilities are to reach the verifier, and rewritten programs to be what
    // the verifier made of them.
    for (name, value) in [
        ("kernel/unprivileged_bpf_disabled", "0"),
        ("net/core/bpf_jit_harden", "0"),
        ("kernel/bpf_stats_enabled", "0"),
        ("kernel/kptr_restrict", "0"),
    ] {
        if let Err(error) = fs::write(Path::new("/proc/sys").join(name), value) {
            eprintln!("agent: {name}: {error}");
        }
    }
    let memory = find_mailbox()?;
    let mut agent = Agent { supervisor: Supervisor::new(Blame::Everything)?, memory };
    agent.memory.store(word::READY, mailbox::READY);
    let mut sequence = agent.memory.load(word::SEQUENCE);
    let mut idle = 0_u32;
    loop {
        let now = agent.memory.load(word::SEQUENCE);
        if now == sequence {
            idle = idle.saturating_add(1);
            std::thread::sleep(Duration::from_micros(if idle < 400 { 250 } else { 3000 }));
            continue;
        }
        (sequence, idle) = (now, 0);
        let len = (agent.memory.load(word::INPUT_LEN) as usize).min(mailbox::INPUT_MAX);
        let input = agent.memory.copy(mailbox::INPUT, len);
        match postcard::from_bytes(&input) {
            Ok(command) => {
                drop(input);
                agent.obey(command);
            }
            Err(error) => agent.send(&Reply::Failed(format!("malformed command: {error}")), &[]),
        }
    }
}

struct Agent {
    supervisor: Supervisor,
    memory: SharedMem,
}

impl Agent {
    fn send(&self, reply: &Reply, raw: &[u8]) {
        let Ok(()) = Ring(&self.memory).send(reply, raw, &mut Endless);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Load { options, from, batch } => self.load(&batch, from, &options),
            Command::ReadFile(path) => match fs::read(&path) {
                Ok(bytes) => self.send(&Reply::File, &bytes),
                Err(error) => self.send(&Reply::Failed(format!("{path}: {error}")), &[]),
            },
        }
    }

    fn load(&mut self, batch: &Batch, from: u32, options: &LoadOptions) {
        if options.want_memory
            && let Err(error) = crate::cgroup::mount()
        {
            eprintln!("agent: control groups: {error}");
        }
        let memory = &self.memory;
        let mut each = |number: usize, mut answer: Answer| {
            if answer.splat.is_some() {
                // So that the next program to cause it is told of it as well.
                let _ = fs::write("/sys/kernel/debug/clear_warn_once", "1");
            }
            let log = std::mem::take(&mut answer.log);
            let taken = std::mem::take(&mut answer.memory);
            let reply = Reply::Answer(number as u32, Box::new(answer), taken);
            let Ok(()) = Ring(memory).send(&reply, &log, &mut Endless);
        };
        let reply = match self.supervisor.run(batch, from as usize, options, &mut each) {
            Ok(End::Complete) if self.supervisor.is_stuck() => Reply::End(End::Stuck),
            Ok(end) => Reply::End(end),
            Err(error) => Reply::Failed(format!("the guest cannot run its loader: {error}")),
        };
        self.send(&reply, &[]);
    }
}

/// Finds the device and maps its memory through sysfs, which needs no driver.
fn find_mailbox() -> std::io::Result<SharedMem> {
    for entry in fs::read_dir("/sys/bus/pci/devices")? {
        let device = entry?.path();
        let is = |file: &str, want: &str| {
            fs::read_to_string(device.join(file)).is_ok_and(|text| text.trim() == want)
        };
        if !is("vendor", IVSHMEM.0) || !is("device", IVSHMEM.1) {
            continue;
        }
        fs::write(device.join("enable"), "1")?;
        // The first is cached where it exists (the BAR is prefetchable memory).
        for resource in ["resource2_wc", "resource2"] {
            let opened = OpenOptions::new().read(true).write(true).open(device.join(resource));
            if let Ok(file) = opened {
                return SharedMem::of_file(file.as_fd(), mailbox::SIZE);
            }
        }
    }
    Err(std::io::Error::other("no ivshmem device"))
}
