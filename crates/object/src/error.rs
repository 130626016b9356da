// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What can be wrong with a file, and with one program of it.

use thiserror::Error;
use veristable_kernel::Fact;

/// Why a file cannot be used at all. Offsets are in bytes from the start of the file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no ELF file.
    #[error("not an ELF file: no ELF magic at offset 0")]
    NotElf,
    /// An ELF file, but not an object of the 64-bit little-endian BPF machine.
    #[error("not a BPF object: {problem} (ELF header, offset {offset:#x})")]
    Machine {
        /// Where the header says so.
        offset: u64,
        /// What it says and what is expected.
        problem: String,
    },
    /// The file header or the table of sections is damaged.
    #[error("damaged ELF file: {problem} (offset {offset:#x})")]
    Header {
        /// Where the damage was noticed.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A section cannot be used.
    #[error("section `{section}` at offset {offset:#x}: {problem}")]
    Section {
        /// The section's name, or its index where the name cannot be read.
        section: String,
        /// Where the section's data begins.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A symbol cannot be used.
    #[error("symbol `{symbol}` in section `{section}` at offset {offset:#x}: {problem}")]
    Symbol {
        /// The symbol's name.
        symbol: String,
        /// The section that it belongs to.
        section: String,
        /// Where it points to in the file.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// `.BTF` or `.BTF.ext` cannot be read, and the object needs it.
    #[error("section `{section}` at offset {offset:#x}: {error}")]
    Btf {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// Where the section's data begins. Offsets in `error` count from there.
        offset: u64,
        /// What is wrong.
        error: veristable_btf::Error,
    },
    /// The BTF says something about the object that cannot be.
    #[error("section `.BTF` at offset {offset:#x}: type {id} ({name}): {problem}")]
    BtfType {
        /// Where the section's data begins.
        offset: u64,
        /// The type's id.
        id: u32,
        /// The type's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The definition of a map is not usable.
    #[error("map `{map}` (section `{section}` at offset {offset:#x}): {problem}")]
    Map {
        /// The map's name.
        map: String,
        /// The section that defines it.
        section: String,
        /// Where the definition's data is in the file.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// An extern is not usable.
    #[error("extern `{name}` (section `{section}`): {problem}")]
    Extern {
        /// The extern's name.
        name: String,
        /// `.ksyms`, `.kconfig` or what stands there instead.
        section: String,
        /// What is wrong.
        problem: String,
    },
}

/// Why one program cannot be loaded, although the file is sound.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The section's name stands for no program type.
    #[error("section name `{0}` does not say what type of program this is")]
    UnknownSection(String),
    /// The type needs a target, and neither section name nor options give one.
    #[error("section `{section}` names no attach target, and none is given")]
    NoAttachTarget {
        /// The section's name.
        section: String,
    },
    /// The kernel has no such function, tracepoint or hook in its BTF.
    #[error("attach target `{name}` is not in the kernel's BTF{}", in_modules(.modules))]
    AttachTarget {
        /// The target as the section names it.
        name: String,
        /// Whether modules were searched too.
        modules: bool,
    },
    /// A program that replaces or traces a function of another program, which is not given.
    #[error("section `{section}` needs a target program, and none is given")]
    NoTargetProgram {
        /// The section's name.
        section: String,
    },
    /// The given target program has no such function.
    #[error("the target program has no function `{func}` in its BTF")]
    TargetFunction {
        /// The function's name.
        func: String,
    },
    /// A relocation cannot be applied.
    #[error("function `{function}`, instruction {insn}: relocation against `{symbol}`: {problem}")]
    Relocation {
        /// The program or subprogram as the object names it.
        function: String,
        /// Instruction, counted from the start of that function.
        insn: u32,
        /// The symbol.
        symbol: String,
        /// What is wrong.
        problem: String,
    },
    /// A CO-RE relocation cannot be applied (an unresolved one only poisons its instruction).
    #[error("function `{function}`, instruction {insn}: CO-RE relocation {index}: {problem}")]
    Core {
        /// The program or subprogram.
        function: String,
        /// Instruction, counted from the start of that function.
        insn: u32,
        /// Number of the relocation within its section.
        index: u32,
        /// What is wrong.
        problem: String,
    },
    /// An extern that the program uses cannot be resolved.
    #[error("extern `{name}`: {problem}")]
    Extern {
        /// The extern's name.
        name: String,
        /// Why.
        problem: String,
    },
    /// Part of `.BTF.ext` is missing for a subprogram while it is there for the program.
    #[error("function `{function}`: no {what} in .BTF.ext, but the program that calls it has some")]
    MissingInfo {
        /// The subprogram.
        function: String,
        /// `function info` or `line info`.
        what: &'static str,
    },
    /// The exception callback is not usable.
    #[error("exception callback `{callback}`: {problem}")]
    ExceptionCallback {
        /// The callback as the declaration tag names it.
        callback: String,
        /// Why.
        problem: &'static str,
    },
    /// No struct_ops map refers to the struct_ops program.
    #[error("struct_ops program is not referred to by any struct_ops map that is created")]
    StructOpsUnused,
    /// The struct_ops map that refers to the program does not fit the kernel.
    #[error("struct_ops map `{map}`: {problem}")]
    StructOps {
        /// The map's name.
        map: String,
        /// What does not fit.
        problem: String,
    },
    /// A jump table is damaged.
    #[error("jump table at offset {offset:#x} of section `.jumptables`: {problem}")]
    JumpTable {
        /// Offset in the section.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A global variable cannot be set as demanded.
    #[error("setting `{expression}`: {problem}")]
    Preset {
        /// What was demanded.
        expression: String,
        /// Why it cannot be done.
        problem: String,
    },
    /// Programs and the subprograms that they use would take many times the size of the file.
    #[error("the linked programs of this object would take too much memory")]
    TooLarge,
    /// The kernel refuses the object's BTF, and its struct_ops maps cannot do without it.
    #[error("the kernel refuses the object's BTF, which struct_ops maps need")]
    BtfRefused,
    /// The object needs the kernel's BTF, and the kernel has none.
    #[error("the kernel has no BTF, which {what} needs")]
    NoKernelBtf {
        /// What needs it.
        what: &'static str,
    },
    /// The description of the kernel lacks a fact that linking needs.
    #[error("not known of this kernel: {0}")]
    UnknownFact(String),
    /// Only with [`crate::LinkOptions::libbpf_strict`]: something else of the object fails, and
    /// libbpf would load nothing.
    #[error("libbpf loads nothing of this object: {0}")]
    Object(Box<LinkError>),
}

fn in_modules(modules: &bool) -> &'static str {
    if *modules { " nor in that of its modules" } else { "" }
}

impl From<Fact> for LinkError {
    fn from(fact: Fact) -> Self {
        Self::UnknownFact(fact.0)
    }
}
