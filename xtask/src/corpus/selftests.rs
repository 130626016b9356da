// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus selftests`: the kernel's BPF selftests, compiled.
//!
//! Flags and headers are those of `tools/testing/selftests/bpf/Makefile`, without `-Werror`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use veristable_corpus::manifest::Failure;
use veristable_corpus::{Manifest, Object, Origin, cache};

use super::apt::Apt;
use super::bpftool::Bpftool;
use super::source::{Line, Sources};
use super::{image, tools};

/// Where the programs lie in a kernel tree.
const PROGS: &str = "tools/testing/selftests/bpf/progs";

/// Types that the tests use and that a kernel has in a module only, so that its BTF lacks them:
/// name of the structure, its definition (layout: `include/net/vxlan.h:vxlanhdr`).
const MODULE_TYPES: [(&str, &str); 1] =
    [("vxlanhdr", "struct vxlanhdr {\n\t__be32 vx_flags;\n\t__be32 vx_vni;\n};\n")];

/// Arguments of `corpus selftests`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel lines to compile; all of them when left out
    #[arg(value_enum)]
    lines: Vec<Line>,
    /// Compilers at a time
    #[arg(long, default_value_t = default_jobs())]
    jobs: usize,
    /// Fetch the package lists again even if they are recent
    #[arg(long)]
    refresh: bool,
}

fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Compiles the chosen lines.
pub(crate) fn run(args: &Args) -> Result<()> {
    let clang = Clang::find()?;
    let apt = Apt::open(args.refresh)?;
    let lines = if args.lines.is_empty() { Line::COMPILED.to_vec() } else { args.lines.clone() };
    for line in lines {
        compile_line(&apt, &clang, line, args.jobs.max(1))
            .with_context(|| format!("selftests of {}", line.name()))?;
    }
    Ok(())
}

fn compile_line(apt: &Apt, clang: &Clang, line: Line, jobs: usize) -> Result<()> {
    let sources = Sources::open(apt, line)?;
    let set = format!("selftests-{}", line.name());
    let dir = cache::set_dir(&set)?;
    let build = Build::prepare(apt, clang, &sources, &dir)?;
    let files = build.programs()?;
    eprintln!("{set}: {} files", files.len());
    let failures = build.compile_all(&files, jobs);
    let mut manifest = Manifest::new(&set);
    manifest.compiler = Some(clang.version.clone());
    manifest.failures = failures;
    manifest.objects = build.objects(&files, &sources)?;
    manifest.write(&dir)?;
    println!("{}: {} of {} files compiled", dir.display(), manifest.objects.len(), files.len());
    Ok(())
}

/// The compiler.
struct Clang {
    program: String,
    version: String,
    system_includes: Vec<String>,
}

impl Clang {
    fn find() -> Result<Self> {
        let named = std::env::var("VERISTABLE_CLANG").ok();
        let candidates = named.iter().map(String::as_str).chain(["clang-22", "clang"]);
        let Some(program) = candidates.into_iter().find(|program| tools::present(program)) else {
            bail!(
                "clang is not installed: install the package clang-22, or name one in VERISTABLE_CLANG"
            );
        };
        let text = tools::output(Command::new(program).arg("--version"))?;
        let version = String::from_utf8_lossy(&text).lines().next().unwrap_or("").to_owned();
        // The BPF target has no headers of its own; the Makefile gives it the host's, last.
        let verbose = Command::new(program).args(["-v", "-E", "-x", "c", "/dev/null"]).output()?;
        let verbose = String::from_utf8_lossy(&verbose.stderr).into_owned();
        let system_includes = verbose
            .lines()
            .skip_while(|line| !line.contains("<...> search starts here:"))
            .take_while(|line| !line.starts_with("End of search list"))
            .filter_map(|line| line.strip_prefix(' '))
            .flat_map(|path| ["-idirafter".to_owned(), path.trim().to_owned()])
            .collect();
        Ok(Self { program: program.to_owned(), version, system_includes })
    }
}

/// One tree ready to compile.
struct Build<'a> {
    clang: &'a Clang,
    tree: &'a Path,
    include: PathBuf,
    objects: PathBuf,
}

impl<'a> Build<'a> {
    /// Headers, and an object directory that holds only what these very inputs made.
    fn prepare(apt: &Apt, clang: &'a Clang, sources: &'a Sources, dir: &Path) -> Result<Self> {
        let tree = sources.tree.as_path();
        let build =
            Self { clang, tree, include: dir.join("include"), objects: dir.join("objects") };
        let kernel = sources.image(apt)?;
        let id = format!(
            "{}={}\n{}\n{}\n{}\n",
            sources.package,
            sources.version,
            kernel.display(),
            clang.version,
            build.flags("").join(" ")
        );
        let stamp = dir.join("inputs.txt");
        if fs::read(&stamp).is_ok_and(|old| old == id.as_bytes()) {
            return Ok(build);
        }
        super::remove_dir(&build.include)?;
        super::remove_dir(&build.objects)?;
        build.vmlinux_header(apt, &kernel, dir)?;
        build.libbpf_headers()?;
        fs::create_dir_all(&build.objects).with_context(|| build.objects.display().to_string())?;
        cache::write_whole(&stamp, id.as_bytes())?;
        Ok(build)
    }

    fn vmlinux_header(&self, apt: &Apt, kernel: &Path, dir: &Path) -> Result<()> {
        let unpacked = dir.join(".kernel");
        super::remove_dir(&unpacked)?;
        fs::create_dir_all(&unpacked)?;
        tools::output(Command::new("dpkg-deb").arg("-x").arg(kernel).arg(&unpacked))?;
        let btf = image::btf_of_vmlinuz(&image::find_vmlinuz(&unpacked)?, &unpacked)?;
        let btf_file = self.include.join("vmlinux.btf");
        cache::write_whole(&btf_file, &btf)?;
        let mut header = String::from_utf8(Bpftool::open(apt)?.header(&btf_file)?)?;
        for (name, definition) in MODULE_TYPES {
            if !header.contains(&format!("struct {name} {{")) {
                add_definition(&mut header, definition);
            }
        }
        cache::write_whole(&self.include.join("vmlinux.h"), header.as_bytes())?;
        // The tests declare these functions with an address space, which BTF of kernels built with
        // an older pahole does not know.
        let arena =
            |line: &&str| line.contains(" *bpf_arena_alloc_pages(") || line.contains(" bpf_arena_");
        let plain: String = header
            .split_inclusive('\n')
            .filter(|line| !(line.starts_with("extern ") && arena(line)))
            .collect();
        cache::write_whole(&self.include.join("without-arena/vmlinux.h"), plain.as_bytes())?;
        super::remove_dir(&unpacked)
    }

    /// `<bpf/….h>`: the tree's own libbpf, with the helper definitions that its script generates.
    fn libbpf_headers(&self) -> Result<()> {
        let to = self.include.join("bpf");
        let from = self.tree.join("tools/lib/bpf");
        for entry in fs::read_dir(&from).with_context(|| from.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "h") {
                let name = path.file_name().unwrap_or_default();
                cache::write_whole(&to.join(name), &fs::read(&path)?)?;
            }
        }
        let helpers = tools::output(
            Command::new("python3")
                .arg(self.tree.join("scripts/bpf_doc.py"))
                .args(["--header", "--file"])
                .arg(self.tree.join("tools/include/uapi/linux/bpf.h")),
        )?;
        cache::write_whole(&to.join("bpf_helper_defs.h"), &helpers)
    }

    /// The C files, by name.
    fn programs(&self) -> Result<Vec<PathBuf>> {
        let dir = self.tree.join(PROGS);
        let mut files: Vec<PathBuf> = fs::read_dir(&dir)
            .with_context(|| dir.display().to_string())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
            .collect();
        files.sort();
        Ok(files)
    }

    fn flags(&self, stem: &str) -> Vec<String> {
        let selftests = self.tree.join("tools/testing/selftests/bpf");
        let include = |path: &Path| format!("-I{}", path.display());
        let mut flags: Vec<String> =
            ["-g", "-O2", "-w", "--target=bpfel", "-mcpu=v3", "-mlittle-endian", "-std=gnu11"]
                .map(str::to_owned)
                .to_vec();
        flags.extend(
            [
                "-D__TARGET_ARCH_x86",
                "-DENABLE_ATOMICS_TESTS",
                "-fno-strict-aliasing",
                "-fms-extensions",
            ]
            .map(str::to_owned),
        );
        flags.extend([
            include(&self.include),
            include(&selftests),
            include(&self.tree.join("tools/include/uapi")),
            include(&self.tree.join("tools/include")),
            include(&selftests.join("libarena/include")),
        ]);
        flags.extend(self.clang.system_includes.iter().cloned());
        if matches!(stem, "test_l4lb_noinline" | "test_xdp_noinline") {
            flags.push("-fno-inline".to_owned());
        }
        flags
    }

    fn compile_all(&self, files: &[PathBuf], jobs: usize) -> Vec<Failure> {
        let next = AtomicUsize::new(0);
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.compile(file) {
                            let path = format!("{PROGS}/{}", name_of(file));
                            let reason = format!("{error:#}");
                            failures
                                .lock()
                                .unwrap_or_else(|poisoned| poisoned.into_inner())
                                .push(Failure { path, reason });
                        }
                        let done = next.load(Ordering::Relaxed).min(files.len());
                        if done.is_multiple_of(100) {
                            eprintln!("  {done}/{}", files.len());
                        }
                    }
                });
            }
        });
        failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Compiles one file unless its object is there: an interrupted run goes on where it was.
    fn compile(&self, file: &Path) -> Result<()> {
        let object = self.object_of(file);
        if object.exists() {
            return Ok(());
        }
        let first = match self.run_compiler(file, &object, &[])? {
            Ok(()) => return Ok(()),
            Err(complaint) => complaint,
        };
        // The prototypes in vmlinux.h that contradict the tests' own ones are left out here.
        let plain = format!("-I{}", self.include.join("without-arena").display());
        match self.run_compiler(file, &object, &[&plain])? {
            Ok(()) => Ok(()),
            Err(_) => Err(anyhow!("{first}")),
        }
    }

    /// One run of the compiler: done, or its first complaint.
    fn run_compiler(
        &self,
        file: &Path,
        object: &Path,
        more: &[&str],
    ) -> Result<std::result::Result<(), String>> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let temporary = cache::temporary_beside(object);
        let output = Command::new(&self.clang.program)
            .args(more)
            .args(self.flags(&stem))
            .arg("-c")
            .arg(name_of(file))
            .arg("-o")
            .arg(&temporary)
            .current_dir(file.parent().unwrap_or(Path::new(".")))
            .output()?;
        if output.status.success() {
            fs::rename(&temporary, object).with_context(|| object.display().to_string())?;
            return Ok(Ok(()));
        }
        // Nothing is written when compilation fails early.
        let _ = fs::remove_file(&temporary);
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text.lines().find(|line| line.contains("error:")).or(text.lines().next());
        Ok(Err(first.unwrap_or("no message").to_owned()))
    }

    fn object_of(&self, file: &Path) -> PathBuf {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        self.objects.join(format!("{stem}.bpf.o"))
    }

    fn objects(&self, files: &[PathBuf], sources: &Sources) -> Result<Vec<Object>> {
        let dropped = dropped_sys_admin(self.tree);
        let mut objects = Vec::new();
        for file in files {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let path = self.object_of(file);
            let Ok(bytes) = fs::read(&path) else { continue };
            objects.push(Object {
                file: format!("objects/{}", name_of(&path)),
                sha256: cache::sha256(&bytes),
                size: bytes.len() as u64,
                without_sys_admin: dropped.iter().any(|name| *name == stem),
                origins: vec![Origin {
                    package: sources.package.clone(),
                    version: sources.version.clone(),
                    path: format!("{PROGS}/{}", name_of(file)),
                    offset: 0,
                }],
            });
        }
        Ok(objects)
    }
}

/// Puts a definition before the guard's end, inside the attributes that `bpftool` opens.
fn add_definition(header: &mut String, definition: &str) {
    let marker = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop";
    let at = header.rfind(marker).unwrap_or(header.len());
    header.insert_str(at, definition);
}

/// Names of the files whose tests are loaded without `CAP_SYS_ADMIN`: those that
/// `prog_tests/verifier.c` runs through `run_tests_aux`. Trees without that file have none.
fn dropped_sys_admin(tree: &Path) -> Vec<String> {
    let path = tree.join("tools/testing/selftests/bpf/prog_tests/verifier.c");
    let text = fs::read_to_string(path).unwrap_or_default();
    parse_dropped(&text)
}

fn parse_dropped(text: &str) -> Vec<String> {
    let after = |start: &'static str, end: char| {
        text.split(start).skip(1).filter_map(move |rest| Some(rest.split_once(end)?.0.to_owned()))
    };
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    after(" RUN(", ')').chain(after("run_tests_aux(\"", '"')).filter(is_name).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_without_sys_admin() {
        let text = "#define RUN(skel) run_tests_aux(#skel, skel##__elf_bytes, NULL)\n\
                    void test_verifier_and(void) { RUN(verifier_and); }\n\
                    void test_verifier_ctx(void) { RUN_TESTS(verifier_ctx); }\n\
                    run_tests_aux(\"verifier_array_access\", x, y);";
        assert_eq!(parse_dropped(text), ["skel", "verifier_and", "verifier_array_access"]);
    }

    #[test]
    fn definitions_go_inside_the_attributes() {
        let end = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n";
        let mut header = format!("struct a {{}};\n{end}");
        add_definition(&mut header, "struct b {};\n");
        assert_eq!(header, format!("struct a {{}};\nstruct b {{}};\n{end}"));
    }
}
