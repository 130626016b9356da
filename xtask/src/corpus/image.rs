// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From a distribution's compressed kernel image to its BTF.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};
use veristable_corpus::cache;

use super::tools;

/// Most bytes of an unpacked kernel.
const MAX_VMLINUX: u64 = 1 << 30;

/// The `.BTF` section of a `vmlinuz` (x86 boot protocol).
///
/// # Errors
///
/// No boot header, an unknown compression, or a kernel without BTF.
pub(crate) fn btf_of_vmlinuz(vmlinuz: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let image = fs::read(vmlinuz).with_context(|| vmlinuz.display().to_string())?;
    let elf = unpack(&image, scratch).with_context(|| vmlinuz.display().to_string())?;
    let file = ElfFile64::<Endianness>::parse(&*elf)
        .with_context(|| format!("{}: the unpacked kernel is no ELF file", vmlinuz.display()))?;
    let section = file
        .section_by_name(".BTF")
        .ok_or_else(|| anyhow!("{}: this kernel has no BTF", vmlinuz.display()))?;
    Ok(section.data()?.to_vec())
}

/// The ELF `vmlinux` inside a bzImage: `payload_offset` and `payload_length` of the boot header
/// (`Documentation/arch/x86/boot.rst`), decompressed by the tool that its first bytes ask for.
fn unpack(image: &[u8], scratch: &Path) -> Result<Vec<u8>> {
    let payload = payload(image).ok_or_else(|| anyhow!("not a bzImage"))?;
    let tool = match payload.get(..6) {
        Some([0x28, 0xb5, 0x2f, 0xfd, ..]) => "zstd",
        Some([0x02, 0x21, 0x4c, 0x18, ..]) => "lz4",
        Some([0x1f, 0x8b, ..]) => "gzip",
        Some([0xfd, b'7', b'z', b'X', b'Z', 0]) => "xz",
        Some([0x7f, b'E', b'L', b'F', ..]) => return Ok(payload.to_vec()),
        _ => bail!("the kernel inside is compressed in an unknown way"),
    };
    // The last four bytes are the unpacked size, which the tools would take for garbage.
    let stream = payload.get(..payload.len().saturating_sub(4)).unwrap_or_default();
    let packed = scratch.join("payload");
    cache::write_whole(&packed, stream)?;
    let elf = tools::filter(Command::new(tool).arg("-dc"), File::open(&packed)?, MAX_VMLINUX);
    fs::remove_file(&packed)?;
    elf
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let word = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

/// The first file below `dir` whose name begins with `vmlinuz`.
///
/// # Errors
///
/// There is none, or the tree cannot be read.
pub(crate) fn find_vmlinuz(dir: &Path) -> Result<PathBuf> {
    super::walk(dir)?
        .into_iter()
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })
        .ok_or_else(|| anyhow!("{}: no vmlinuz inside", dir.display()))
}
