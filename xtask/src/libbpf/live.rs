// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel that is linked for, as libbpf sees it: BTF, symbols and configuration from files,
//! the running one's unless others are given.
#![allow(unsafe_code)]

use super::kernel::LinkKernel;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::ffi::{CString, OsString, c_char, c_int, c_uint, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use veristable_btf::Btf;
use veristable_kernel::{Behaviours, KernelId};

// libz is linked for libbpf anyway.
unsafe extern "C" {
    fn gzopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
    fn gzread(file: *mut c_void, buffer: *mut c_void, len: c_uint) -> c_int;
    fn gzclose(file: *mut c_void) -> c_int;
}

/// Files that say what linking asks of a kernel. Those that are missing are the running kernel's.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Files {
    /// Raw BTF of the kernel to link for
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its symbols, as in System.map
    #[arg(long, value_name = "FILE")]
    kallsyms: Option<PathBuf>,
    /// Its release
    #[arg(long)]
    pub(crate) release: Option<String>,
    /// Raw BTF of a module that counts as loaded
    #[arg(long = "module", value_name = "NAME=FILE", value_parser = parse_module)]
    pub(crate) modules: Vec<(String, PathBuf)>,
}

fn parse_module(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=FILE")?;
    Ok((name.to_owned(), PathBuf::from(path)))
}

impl Files {
    /// The file that stands in for one of the running kernel's.
    pub(crate) fn stand_in(&self, path: &Path) -> Option<&Path> {
        let path = path.to_str()?;
        if path == "/sys/bus/event_source/devices/kprobe/type" && self.config.is_some() {
            // libbpf looks here whether there are kprobes, and the other kernel has them; any
            // number will do.
            return Some(Path::new("/sys/bus/event_source/devices/software/type"));
        }
        let other = match path {
            "/sys/kernel/btf/vmlinux" => &self.btf,
            "/proc/kallsyms" => &self.kallsyms,
            "/proc/config.gz" => &self.config,
            _ if path.starts_with("/boot/config-") => &self.config,
            _ => return None,
        };
        other.as_deref()
    }

    /// The arguments that say the same.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut list = Vec::new();
        let paths =
            [("--btf", &self.btf), ("--config", &self.config), ("--kallsyms", &self.kallsyms)];
        for (name, path) in paths {
            if let Some(path) = path {
                list.extend([name.into(), path.clone().into_os_string()]);
            }
        }
        if let Some(release) = &self.release {
            list.extend(["--release".into(), release.into()]);
        }
        for (name, path) in &self.modules {
            let mut both = OsString::from(format!("{name}="));
            both.push(path);
            list.extend(["--module".into(), both]);
        }
        list
    }
}

/// Describes the kernel.
pub(crate) fn kernel(files: &Files) -> Result<LinkKernel> {
    let path = files.btf.clone().unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into());
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let open_error = |error| anyhow::anyhow!("{}: {error}", path.display());
    let mut btf = Btf::open(bytes).map_err(open_error)?;
    btf.build_name_index();
    let mut modules = HashMap::new();
    if !files.modules.is_empty() {
        let base = Arc::new(btf.clone());
        for (name, path) in &files.modules {
            let bytes = fs::read(path).with_context(|| path.display().to_string())?;
            let mut module = Btf::open_split(bytes, Arc::clone(&base))
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            module.build_name_index();
            modules.insert(name.clone(), module);
        }
    }
    let release = match &files.release {
        Some(release) => release.clone(),
        None => fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
    };
    let numbers: Vec<u32> = release
        .split(|c: char| !c.is_ascii_digit())
        .take(3)
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    let version_code = match numbers[..] {
        [major, minor, patch] => major << 16 | minor << 8 | patch.min(255),
        _ => anyhow::bail!("release `{release}` has no version"),
    };
    let config = match &files.config {
        Some(path) => path.display().to_string(),
        None => format!("/boot/config-{release}"),
    };
    let symbols_file = files.kallsyms.clone().unwrap_or_else(|| "/proc/kallsyms".into());
    let id = KernelId { name: "linked".into(), release, arch: "amd64".into(), version_code };
    Ok(LinkKernel {
        id,
        btf: Some(btf),
        modules,
        config: read_config(&config),
        symbols: symbols(&symbols_file)?,
        behaviours: Behaviours::default(),
    })
}

/// Number of possible CPUs.
pub(crate) fn possible_cpus() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()? - first.parse::<u32>().ok()? + 1)
    });
    ranges.sum()
}

fn read_config(path: &str) -> HashMap<String, String> {
    let text = read_gz(path).or_else(|| read_gz("/proc/config.gz")).unwrap_or_default();
    let options = text.lines().filter(|line| line.starts_with("CONFIG_"));
    options
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn read_gz(path: &str) -> Option<String> {
    let path = CString::new(path).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0u8; 1 << 16];
    // SAFETY: the strings end with a zero byte, and the buffer is as long as is said.
    unsafe {
        let file = gzopen(path.as_ptr(), c"rb".as_ptr());
        if file.is_null() {
            return None;
        }
        while let Ok(len @ 1..) = usize::try_from(gzread(file, buffer.as_mut_ptr().cast(), 1 << 16))
        {
            bytes.extend_from_slice(&buffer[..len]);
        }
        gzclose(file);
    }
    String::from_utf8(bytes).ok()
}

fn symbols(path: &Path) -> Result<HashMap<String, u64>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut symbols = HashMap::new();
    for line in text.lines() {
        let mut parts = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        let name = match name.find(".llvm.") {
            Some(at) if kind == "d" => &name[..at],
            _ => name,
        };
        symbols.entry(name.to_owned()).or_insert(address);
    }
    Ok(symbols)
}
