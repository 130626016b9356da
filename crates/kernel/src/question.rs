// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The questions that the linker and the verifier ask of a kernel.

use crate::{AttachType, ProgType};
use alloc::string::String;
use core::fmt;
use veristable_btf::Btf;

/// Which kernel: package version and architecture, as stable kernels differ below `major.minor`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct KernelId {
    /// Short name as given on the command line, e.g. `6.18.15`.
    pub name: String,
    /// Kernel release as `uname -r` prints it, e.g. `6.18.15+deb13-cloud-amd64`.
    pub release: String,
    /// Architecture in the distribution's spelling, e.g. `amd64`.
    pub arch: String,
    /// `LINUX_VERSION_CODE`: major << 16 | minor << 8 | patch (patch at most 255).
    pub version_code: u32,
}

/// A fact that a verdict needs and that this description of a kernel does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact(pub String);

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `Ok(Some)`: the kernel has it. `Ok(None)`: the kernel certainly lacks it. `Err`: not known.
pub type Answer<T> = Result<Option<T>, Fact>;

/// The part of a load request that a kernel's answers depend on.
#[derive(Clone, Copy, Debug)]
pub struct ProgContext<'a> {
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type.
    pub expected_attach_type: AttachType,
    /// Loaded with `BPF_F_SLEEPABLE`.
    pub sleepable: bool,
    /// Name of the kernel function, tracepoint or hook that the program attaches to.
    pub attach_name: Option<&'a str>,
    /// For struct_ops programs: the structure's name and the member's.
    pub struct_ops: Option<(&'a str, &'a str)>,
}

/// What may be asked of a kernel. Asked while facts are resolved, never in the hot loop.
pub trait Kernel {
    /// Which kernel this is.
    fn id(&self) -> &KernelId;

    /// BTF of the kernel (`None`) or of a module. `Ok(None)`: there is none.
    fn btf(&self, module: Option<&str>) -> Answer<&Btf<'_>>;

    /// The value of a configuration option as `.config` writes it (`y`, `m`, `"text"`, `250`);
    /// `name` includes `CONFIG_`. `Ok(None)`: not set.
    fn config(&self, name: &str) -> Answer<&str>;

    /// Address of a kernel symbol. `Ok(None)`: no such symbol. The address is 0 where the symbol
    /// is known to exist but its address is not.
    fn symbol(&self, name: &str) -> Answer<u64>;
}
