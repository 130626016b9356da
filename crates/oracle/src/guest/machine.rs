// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One QEMU process.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::GuestOptions;
use super::mailbox::{self, Command as Order, Patience, Ring, word};
use super::qmp::Qmp;
use super::{agent, initrd};
use crate::error::{Doing as _, OracleError};
use crate::sys::{self, SharedMem};

const QEMU: &str = "qemu-system-x86_64";

/// Kernel parameters: a quiet and quick start, addresses as in the image, no self-tests, no audit
/// record of every load, and traps that emulation makes slow switched off. None of them concerns the
/// verifier; mitigations stay on unless a guest is to be without, since it asks for them.
const PARAMETERS: &str = "console=ttyS0 panic=-1 reboot=t quiet nokaslr tsc=reliable no5lvl \
     random.trust_cpu=on rcupdate.rcu_expedited=1 cryptomgr.notests nosmap nosmep audit=0";

/// Emulated hardware. Without `erms` and `fsrm` the kernel copies and clears by words, which emulation
/// does faster than by bytes.
const HARDWARE: [&str; 10] = [
    "-M",
    "pc",
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max,-erms,-fsrm",
    "-smp",
    "1",
    "-nodefaults",
    "-no-user-config",
];

/// How long a start may take, on a busy machine.
const START: Duration = Duration::from_secs(180);

/// How long a restored guest may take to answer.
const RESTORE: Duration = Duration::from_secs(60);

/// What machines of one kernel have in common.
pub(super) struct Plan {
    pub(super) version: String,
    vmlinux: PathBuf,
    initrd: File,
    parameters: String,
    memory_mib: u32,
    /// Where the snapshot is, or is to be.
    pub(super) snapshot: PathBuf,
}

impl Plan {
    /// Collects everything; nothing runs yet.
    pub(super) fn new(
        version: &str,
        vmlinux: PathBuf,
        options: GuestOptions,
    ) -> Result<Self, OracleError> {
        let memory_mib = options.memory_mib;
        let qemu = qemu_identity()?;
        let packed = initrd::of_this_program().doing(|| "packing this program".into())?;
        let mitigations = if options.mitigations { "" } else { " mitigations=off" };
        let parameters = format!(
            "{PARAMETERS}{mitigations} {}=1 LD_LIBRARY_PATH={}",
            agent::VARIABLE,
            packed.library_path
        );
        let mut hash = Sha256::new();
        for part in [qemu.as_bytes(), parameters.as_bytes(), HARDWARE.join(" ").as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(memory_mib.to_le_bytes());
        hash.update(fs::metadata(&vmlinux).map_or(0, |meta| meta.len()).to_le_bytes());
        hash.update(&packed.archive);
        let key: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let mut file = sys::memory_file(c"initrd").doing(|| "making a file in memory".into())?;
        file.write_all(&packed.archive).doing(|| "writing the initial file system".into())?;
        let snapshot = vmlinux.with_file_name(format!("{key}.snapshot"));
        Ok(Self {
            version: version.to_owned(),
            vmlinux,
            initrd: file,
            parameters,
            memory_mib,
            snapshot,
        })
    }
}

/// Which QEMU this is: path, size and time of the program, which is quicker than to ask it.
fn qemu_identity() -> Result<String, OracleError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(QEMU)).find(|path| path.is_file());
    let path = found.ok_or_else(|| OracleError::Missing {
        what: format!("guests need {QEMU}, which is not on this machine"),
        help: "install Debian's package qemu-system-x86 (neither root nor KVM is needed)".into(),
    })?;
    let meta = fs::metadata(&path).doing(|| path.display().to_string())?;
    Ok(format!("{} {} {:?}", path.display(), meta.len(), meta.modified().ok()))
}

/// Why a machine no longer serves.
#[derive(Debug)]
pub(super) enum Lost {
    /// QEMU ended: the guest panicked.
    Ended,
    /// Nothing was heard for too long.
    Silent,
}

/// A running guest.
pub(super) struct Machine {
    version: String,
    process: Child,
    memory: SharedMem,
    console: File,
    errors: File,
    qmp: Qmp,
    sequence: u32,
}

impl Machine {
    /// Starts the kernel from the beginning.
    pub(super) fn boot(plan: &Plan) -> Result<Self, OracleError> {
        let mut machine = Self::launch(plan, None)?;
        let deadline = Instant::now() + START;
        while machine.memory.load(word::READY) != mailbox::READY {
            machine.alive("did not start")?;
            if Instant::now() > deadline {
                return Err(machine.error("did not start in time"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(machine)
    }

    /// Goes on from a snapshot.
    pub(super) fn restore(plan: &Plan, snapshot: &Path) -> Result<Self, OracleError> {
        let mut machine = Self::launch(plan, Some(snapshot))?;
        let deadline = Instant::now() + RESTORE;
        loop {
            machine.alive("cannot be restored")?;
            let status = machine.qmp.execute("query-status", Value::Null);
            let status = status.map_err(|error| machine.error(&error.to_string()))?;
            match status.get("status").and_then(Value::as_str) {
                Some("paused" | "postmigrate" | "prelaunch") => break,
                Some("running") => break,
                _ if Instant::now() > deadline => {
                    return Err(machine.error("was not restored in time"));
                }
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        machine.control("cont", Value::Null)?;
        if machine.memory.load(word::READY) != mailbox::READY {
            return Err(machine.error("its snapshot is of another protocol"));
        }
        machine.sequence = machine.memory.load(word::SEQUENCE);
        Ok(machine)
    }

    fn launch(plan: &Plan, snapshot: Option<&Path>) -> Result<Self, OracleError> {
        let doing = |what: &'static str| move || format!("starting a guest: {what}");
        let mailbox = sys::memory_file(c"mailbox").doing(doing("mailbox"))?;
        mailbox.set_len(mailbox::SIZE as u64).doing(doing("mailbox"))?;
        let memory = SharedMem::of_file(mailbox.as_fd(), mailbox::SIZE).doing(doing("mailbox"))?;
        let console = sys::memory_file(c"console").doing(doing("console"))?;
        let errors = sys::memory_file(c"errors").doing(doing("console"))?;
        let (ours, theirs) = UnixStream::pair().doing(doing("control channel"))?;
        let path = |fd: i32| format!("/proc/self/fd/{fd}");

        let mut command = Command::new(QEMU);
        command.args(HARDWARE).args(["-display", "none", "-no-reboot"]);
        command.args(["-m", &plan.memory_mib.to_string()]);
        command.arg("-kernel").arg(&plan.vmlinux);
        command.args(["-initrd", &path(plan.initrd.as_raw_fd())]);
        command.args(["-append", &plan.parameters]);
        command.args(["-serial", &format!("file:{}", path(console.as_raw_fd()))]);
        command.args([
            "-object",
            &format!(
                "memory-backend-file,id=mailbox,share=on,mem-path={},size={}",
                path(mailbox.as_raw_fd()),
                mailbox::SIZE
            ),
            "-device",
            "ivshmem-plain,memdev=mailbox,master=on",
        ]);
        command.args(["-chardev", &format!("socket,id=control,fd={}", theirs.as_raw_fd())]);
        command.args(["-mon", "chardev=control,mode=control"]);
        if let Some(snapshot) = snapshot {
            command.args(["-incoming", &format!("exec:cat {}", quoted(snapshot))]);
        }
        let stderr = errors.try_clone().doing(doing("console"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let fds =
            [plan.initrd.as_raw_fd(), console.as_raw_fd(), mailbox.as_raw_fd(), theirs.as_raw_fd()];
        sys::inherit(&mut command, fds.into());
        sys::die_with_parent(&mut command);
        let mut process = command.spawn().doing(doing(QEMU))?;
        drop(theirs);
        match Qmp::new(ours) {
            Ok(qmp) => Ok(Self {
                version: plan.version.clone(),
                process,
                memory,
                console,
                errors,
                qmp,
                sequence: 0,
            }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                let said = contents(&errors);
                Err(OracleError::Guest {
                    kernel: plan.version.clone(),
                    what: format!("QEMU does not start ({error}): {}", said.trim()),
                    console: String::new(),
                })
            }
        }
    }

    /// Stops, writes everything to a file and goes on.
    pub(super) fn save(&mut self, snapshot: &Path) -> Result<(), OracleError> {
        let temporary = crate::cache::temporary(snapshot);
        self.control("migrate-set-parameters", json!({ "max-bandwidth": 16_u64 << 30 }))?;
        // A guest that runs while it is saved would go on changing what is saved.
        self.control("stop", Value::Null)?;
        let uri = format!("exec:cat > {}", quoted(&temporary));
        self.control("migrate", json!({ "uri": uri }))?;
        loop {
            let state = self.control("query-migrate", Value::Null)?;
            match state.get("status").and_then(Value::as_str) {
                Some("completed") => break,
                Some("failed" | "cancelled") => {
                    let _ = fs::remove_file(&temporary);
                    return Err(self.error("its snapshot cannot be written"));
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        self.control("cont", Value::Null)?;
        fs::rename(&temporary, snapshot).doing(|| format!("keeping {}", snapshot.display()))
    }

    /// Sends a command; its answers are then received.
    pub(super) fn order(&mut self, order: &[u8]) {
        self.memory.write(mailbox::INPUT, order);
        self.memory.store(word::INPUT_LEN, order.len() as u32);
        self.sequence = self.sequence.wrapping_add(1);
        self.memory.store(word::SEQUENCE, self.sequence);
    }

    /// Serialises a command.
    pub(super) fn encode(order: &Order) -> Result<Vec<u8>, String> {
        let bytes = postcard::to_stdvec(order).map_err(|error| error.to_string())?;
        if bytes.len() > mailbox::INPUT_MAX {
            return Err(format!(
                "{} bytes do not fit into the guest's mailbox of {}",
                bytes.len(),
                mailbox::INPUT_MAX
            ));
        }
        Ok(bytes)
    }

    /// Takes one answer, waiting at most `limit` between its parts.
    pub(super) fn receive(
        &mut self,
        limit: Duration,
    ) -> Result<Option<(mailbox::Reply, Vec<u8>)>, Lost> {
        let mut watch = Watch {
            process: &mut self.process,
            limit,
            last: Instant::now(),
            pause: Duration::from_micros(50),
        };
        Ring(&self.memory).receive(&mut watch)
    }

    /// Writes the guest's memory to a file as an ELF core, for decoding the kernel's tables.
    pub(super) fn dump_memory(&mut self, path: &Path) -> Result<(), OracleError> {
        let protocol = format!("file:{}", path.display());
        self.control("dump-guest-memory", json!({ "paging": false, "protocol": protocol }))
            .map(drop)
    }

    fn control(&mut self, command: &str, arguments: Value) -> Result<Value, OracleError> {
        let result = self.qmp.execute(command, arguments);
        result.map_err(|error| self.error(&error.to_string()))
    }

    fn alive(&mut self, what: &str) -> Result<(), OracleError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.error(&format!("{what}: QEMU ended: {}", contents(&self.errors).trim()))),
        }
    }

    pub(super) fn error(&self, what: &str) -> OracleError {
        OracleError::Guest {
            kernel: self.version.clone(),
            what: what.to_owned(),
            console: self.console_tail(),
        }
    }

    /// The last lines that the kernel printed.
    pub(super) fn console_tail(&self) -> String {
        const LINES: usize = 80;
        let text = contents(&self.console);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Watch<'a> {
    process: &'a mut Child,
    limit: Duration,
    last: Instant,
    pause: Duration,
}

impl Patience for Watch<'_> {
    type Error = Lost;

    fn wait(&mut self) -> Result<(), Lost> {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Duration::from_millis(2));
        if self.last.elapsed() > self.limit {
            return Err(Lost::Silent);
        }
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(Lost::Ended),
        }
    }

    fn progress(&mut self) {
        self.last = Instant::now();
        self.pause = Duration::from_micros(50);
    }
}

/// The text of a file that another process writes.
fn contents(file: &File) -> String {
    const MAX: u64 = 1 << 20;
    let len = file.metadata().map_or(0, |meta| meta.len());
    let start = len.saturating_sub(MAX);
    let mut bytes = vec![0; (len - start) as usize];
    let read: io::Result<()> = file.read_exact_at(&mut bytes, start);
    read.map_or_else(|_| String::new(), |()| String::from_utf8_lossy(&bytes).into_owned())
}

/// A path as one word of the shell that QEMU runs `exec:` through.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
