// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The running kernel as libbpf sees it: BTF, symbols and configuration from their files.
#![allow(unsafe_code)]

use super::kernel::LinkKernel;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fs;
use veristable_btf::Btf;
use veristable_kernel::{Behaviours, KernelId};

// libz is linked for libbpf anyway.
unsafe extern "C" {
    fn gzopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
    fn gzread(file: *mut c_void, buffer: *mut c_void, len: c_uint) -> c_int;
    fn gzclose(file: *mut c_void) -> c_int;
}

/// Describes the running kernel.
pub(crate) fn kernel() -> Result<LinkKernel> {
    let path = "/sys/kernel/btf/vmlinux";
    let bytes = fs::read(path).with_context(|| path.to_owned())?;
    let mut btf = Btf::open(bytes).map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
    btf.build_name_index();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let numbers: Vec<u32> = release
        .split(|c: char| !c.is_ascii_digit())
        .take(3)
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    let version_code = match numbers[..] {
        [major, minor, patch] => major << 16 | minor << 8 | patch.min(255),
        _ => anyhow::bail!("release `{release}` has no version"),
    };
    let id = KernelId {
        name: "live".into(),
        release: release.clone(),
        arch: "amd64".into(),
        version_code,
    };
    Ok(LinkKernel {
        id,
        btf: Some(btf),
        modules: HashMap::new(),
        config: config(&release),
        symbols: symbols()?,
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

fn config(release: &str) -> HashMap<String, String> {
    let text = read_gz(&format!("/boot/config-{release}")).or_else(|| read_gz("/proc/config.gz"));
    let text = text.unwrap_or_default();
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

fn symbols() -> Result<HashMap<String, u64>> {
    let text = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
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
