// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the kernel's selftests say of themselves: declaration tags on their functions.
//!
//! The macros are in `tools/testing/selftests/bpf/progs/bpf_misc.h`, what they mean in
//! `test_loader.c:parse_test_spec`. Two spellings exist: up to 6.18 only messages carry a counter
//! (`comment:test_expect_msg=12=text`), later every tag does (`comment:12:test_expect_msg=text`).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};
use veristable_btf::{Btf, Kind, TypeId};
use veristable_program::{Capabilities, ProgFlags};

use crate::message::Message;

/// Return value that stands for any pointer (`POINTER_VALUE`).
pub const POINTER_VALUE: i64 = 0x0bad_cafe;

/// What one function's tags say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Annotation {
    /// The function's name, which is also the program's.
    pub program: String,
    /// Text for people.
    pub description: Option<String>,
    /// Expectation for a loader with its capabilities; absent: not tested so.
    pub privileged: Option<Expectation>,
    /// Expectation for a loader with only [`Annotation::unprivileged_caps`].
    pub unprivileged: Option<Expectation>,
    /// Capabilities that the unprivileged loader keeps (`__caps_unpriv`).
    pub unprivileged_caps: Capabilities,
    /// `log_level` to load with.
    pub log_level: u32,
    /// Flags to add to those that every test gets ([`test_flags`]).
    pub set_flags: ProgFlags,
    /// Flags to take away from those (`__flag(!…)`).
    pub clear_flags: ProgFlags,
    /// No test of its own: loaded because others need it.
    pub auxiliary: bool,
    /// Architectures the test is for, in the macros' spelling (`X86_64`); empty: all.
    pub architectures: Vec<String>,
    /// Only with (`true`) or only without (`false`) the JIT.
    pub jit: Option<bool>,
    /// Object whose BTF stands in for the kernel's (`__btf_path`).
    pub btf_path: Option<String>,
    /// Object whose BTF replaces that of functions without names (`__btf_func_path`).
    pub btf_func_path: Option<String>,
    /// Linear part of the test packet in bytes (`__linear_size`).
    pub linear_size: Option<i64>,
    /// Test tags that this parser does not know or cannot read; never silently dropped.
    pub unknown: Vec<String>,
}

/// What is expected of one way to load a program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expectation {
    /// The load fails.
    pub failure: bool,
    /// Lines of the verifier's log.
    pub messages: Vec<Message>,
    /// Lines of the rewritten program.
    pub xlated: Vec<Message>,
    /// Lines of the machine code on x86-64.
    pub jited: Vec<Message>,
    /// Lines of the program's error stream when it runs.
    pub stderr: Vec<Message>,
    /// Lines of the program's output stream when it runs.
    pub stdout: Vec<Message>,
    /// What a run returns.
    pub retval: Option<i64>,
}

/// Flags that the test loader adds to every load (`testing_prog_flags`), as far as the kernel
/// knows them: `REG_INVARIANTS` came with 6.8.
#[must_use]
pub fn test_flags(reg_invariants: bool) -> ProgFlags {
    if reg_invariants {
        ProgFlags::TEST_RND_HI32 | ProgFlags::TEST_REG_INVARIANTS
    } else {
        ProgFlags::TEST_RND_HI32
    }
}

impl Annotation {
    /// Whether the test is meant for x86-64.
    #[must_use]
    pub fn for_x86_64(&self) -> bool {
        self.architectures.is_empty() || self.architectures.iter().any(|name| name == "X86_64")
    }

    /// Flags to load with: the object's own, those of every test, and the tags'.
    #[must_use]
    pub fn flags(&self, object: ProgFlags, reg_invariants: bool) -> ProgFlags {
        // The tags change the test loader's flags; the result is added to the program's own.
        object | ((test_flags(reg_invariants) | self.set_flags) - self.clear_flags)
    }
}

/// The annotations in an ELF object, in the order of its functions.
///
/// # Errors
///
/// The bytes are no 64-bit ELF file, or its BTF cannot be read. An object without BTF has none.
pub fn of_object(elf: &[u8]) -> Result<Vec<Annotation>> {
    let file = ElfFile64::<Endianness>::parse(elf).context("not an ELF object")?;
    let Some(section) = file.section_by_name(".BTF") else { return Ok(Vec::new()) };
    let data = section.data().context("section .BTF")?;
    let btf = Btf::open(data).map_err(|error| anyhow!("section .BTF: {error}"))?;
    Ok(of_btf(&btf))
}

/// The annotations in an object's BTF, in the order of its functions.
#[must_use]
pub fn of_btf(btf: &Btf<'_>) -> Vec<Annotation> {
    let mut tags: BTreeMap<TypeId, Vec<Tag>> = BTreeMap::new();
    for ty in btf.types().filter(|ty| ty.kind() == Kind::DeclTag) {
        let Some(decl) = ty.as_decl_tag().filter(|decl| decl.component.is_none()) else { continue };
        if let Some(tag) = Tag::parse(&String::from_utf8_lossy(ty.name_bytes())) {
            tags.entry(decl.target).or_default().push(tag);
        }
    }
    let mut found = Vec::new();
    for (id, mut list) in tags {
        let Ok(function) = btf.type_by_id(id) else { continue };
        if function.kind() == Kind::Func {
            list.sort();
            found.push(Reader::read(function.name(), &list));
        }
    }
    found
}

/// One tag, in an order that gives back the source's: compilers write tags in any order, the
/// counters are the order (`compare_decl_tags`; the old loader compares by kind first).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Tag {
    kind: String,
    counter: u64,
    key: String,
    value: Option<String>,
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("comment:")?;
        let numbered = rest
            .split_once(':')
            .and_then(|(number, rest)| Some((number.parse::<u64>().ok()?, rest)));
        let (kind, counter, body) = match numbered {
            Some((counter, body)) => (String::new(), counter, body),
            None => (rest.split('=').next().unwrap_or(rest).to_owned(), 0, rest),
        };
        let (key, value) = match body.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (body, None),
        };
        if numbered.is_some() || !LINES.contains(&key) {
            let value = value.map(str::to_owned);
            return Some(Self { kind, counter, key: key.to_owned(), value });
        }
        // Old spelling of a message: `kind=counter=text`.
        let (number, message) = value?.split_once('=')?;
        let counter = number.parse().ok()?;
        Some(Self { kind, counter, key: key.to_owned(), value: Some(message.to_owned()) })
    }
}

/// Tags that the old spelling numbers.
const LINES: [&str; 12] = [
    "test_expect_msg",
    "test_expect_not_msg",
    "test_expect_xlated",
    "test_jited",
    "test_expect_stderr",
    "test_expect_stdout",
    "test_expect_msg_unpriv",
    "test_expect_not_msg_unpriv",
    "test_expect_xlated_unpriv",
    "test_jited_unpriv",
    "test_expect_stderr_unpriv",
    "test_expect_stdout_unpriv",
];

/// Expectation of one mode while tags are read.
#[derive(Default)]
struct Side {
    used: bool,
    result: Option<bool>,
    expectation: Expectation,
    /// For each list of [`Side::list`]: an ellipsis came before, so the next line may be anywhere.
    ellipsis: [bool; 4],
}

impl Side {
    /// Adds a line that follows the one before it, unless `...` stands between.
    fn push_line(&mut self, which: usize, text: &str) {
        if text == "..." {
            self.ellipsis[which] = true;
            return;
        }
        let on_next_line = !std::mem::take(&mut self.ellipsis[which]);
        let message = Message { text: text.to_owned(), negative: false, on_next_line };
        self.list(which).push(message);
    }

    fn list(&mut self, which: usize) -> &mut Vec<Message> {
        match which {
            0 => &mut self.expectation.xlated,
            1 => &mut self.expectation.jited,
            2 => &mut self.expectation.stderr,
            _ => &mut self.expectation.stdout,
        }
    }
}

/// Reads the tags of one function.
#[derive(Default)]
struct Reader {
    out: Annotation,
    privileged: Side,
    unprivileged: Side,
    /// Machine code lines belong to the architecture named last.
    x86_64: bool,
}

impl Reader {
    fn read(program: &str, tags: &[Tag]) -> Annotation {
        let mut reader = Self::default();
        reader.out.program = program.to_owned();
        reader.out.unprivileged_caps = Capabilities::empty();
        for tag in tags {
            if !reader.tag(&tag.key, tag.value.as_deref()) {
                let value = tag.value.as_deref().map(|value| format!("={value}"));
                reader.out.unknown.push(format!("{}{}", tag.key, value.unwrap_or_default()));
            }
        }
        reader.finish()
    }

    /// False if the tag is not understood.
    fn tag(&mut self, key: &str, value: Option<&str>) -> bool {
        let (base, unprivileged) = match key.strip_suffix("_unpriv") {
            Some(base) => (base, true),
            None => (key, false),
        };
        let Some(value) = value else { return self.plain(base, unprivileged) };
        if let Some(known) = self.program_wide(key, value) {
            return known;
        }
        let x86_64 = self.x86_64;
        let side = if unprivileged { &mut self.unprivileged } else { &mut self.privileged };
        match base {
            "test_expect_msg" | "test_expect_not_msg" => {
                let negative = base == "test_expect_not_msg";
                let message = Message { text: value.to_owned(), negative, on_next_line: false };
                side.expectation.messages.push(message);
                side.used = true;
            }
            "test_expect_xlated" => {
                side.push_line(0, value);
                side.used = true;
            }
            "test_jited" => {
                if x86_64 {
                    side.push_line(1, value);
                    side.used = true;
                }
            }
            // Streams do not choose the mode.
            "test_expect_stderr" => side.push_line(2, value),
            "test_expect_stdout" => side.push_line(3, value),
            "test_retval" => {
                side.expectation.retval = parse_retval(value);
                side.used = true;
                return side.expectation.retval.is_some();
            }
            _ => return false,
        }
        true
    }

    fn plain(&mut self, base: &str, unprivileged: bool) -> bool {
        let side = if unprivileged { &mut self.unprivileged } else { &mut self.privileged };
        match base {
            "test_expect_failure" => side.result = Some(true),
            "test_expect_success" => side.result = Some(false),
            "test_auxiliary" => self.out.auxiliary = true,
            _ => return false,
        }
        side.used = true;
        true
    }

    /// Tags that do not belong to a mode: `None` if this is not one of them.
    fn program_wide(&mut self, key: &str, value: &str) -> Option<bool> {
        let out = &mut self.out;
        match key {
            "test_description" => out.description = Some(value.to_owned()),
            "test_log_level" => match parse_int(value).and_then(|level| level.try_into().ok()) {
                Some(level) => out.log_level = level,
                None => return Some(false),
            },
            "test_prog_flags" => return Some(self.flag(value)),
            "test_arch" => {
                out.architectures.push(value.to_owned());
                self.x86_64 = value == "X86_64";
                self.privileged.ellipsis[1] = false;
                self.unprivileged.ellipsis[1] = false;
            }
            "test_caps_unpriv" => {
                self.unprivileged.used = true;
                return Some(self.caps(value));
            }
            "load_mode" => match value {
                "jited" => out.jit = Some(true),
                "no_jited" => out.jit = Some(false),
                _ => return Some(false),
            },
            "test_btf_path" => out.btf_path = Some(value.to_owned()),
            "test_btf_func_path" => out.btf_func_path = Some(value.to_owned()),
            "test_linear_size" => match parse_int(value) {
                Some(size) => out.linear_size = Some(size),
                None => return Some(false),
            },
            _ => return None,
        }
        Some(true)
    }

    fn flag(&mut self, value: &str) -> bool {
        let (clear, name) = match value.strip_prefix('!') {
            Some(name) => (true, name),
            None => (false, value),
        };
        let flag = match name {
            "BPF_F_STRICT_ALIGNMENT" => ProgFlags::STRICT_ALIGNMENT,
            "BPF_F_ANY_ALIGNMENT" => ProgFlags::ANY_ALIGNMENT,
            "BPF_F_TEST_RND_HI32" => ProgFlags::TEST_RND_HI32,
            "BPF_F_TEST_STATE_FREQ" => ProgFlags::TEST_STATE_FREQ,
            "BPF_F_SLEEPABLE" => ProgFlags::SLEEPABLE,
            "BPF_F_XDP_HAS_FRAGS" => ProgFlags::XDP_HAS_FRAGS,
            "BPF_F_TEST_REG_INVARIANTS" => ProgFlags::TEST_REG_INVARIANTS,
            _ => match parse_int(name).and_then(|bits| bits.try_into().ok()) {
                Some(bits) => ProgFlags::from_bits_retain(bits),
                None => return false,
            },
        };
        // The last word on a flag counts.
        if clear {
            self.out.clear_flags |= flag;
            self.out.set_flags -= flag;
        } else {
            self.out.set_flags |= flag;
            self.out.clear_flags -= flag;
        }
        true
    }

    /// Capability numbers (`include/uapi/linux/capability.h`) separated by bars.
    fn caps(&mut self, value: &str) -> bool {
        for number in value.split('|') {
            self.out.unprivileged_caps |= match number.trim() {
                "12" => Capabilities::NET_ADMIN,
                "21" => Capabilities::SYS_ADMIN,
                "38" => Capabilities::PERFMON,
                "39" => Capabilities::BPF,
                _ => return false,
            };
        }
        true
    }

    /// What a mode does not say, it takes from the other (`parse_test_spec`, end).
    fn finish(self) -> Annotation {
        let Self { mut out, mut privileged, mut unprivileged, .. } = self;
        if !privileged.used && !unprivileged.used {
            privileged.used = true;
        }
        privileged.expectation.failure = privileged.result.unwrap_or(false);
        unprivileged.expectation.failure =
            unprivileged.result.unwrap_or(privileged.expectation.failure);
        let (from, to) = (&privileged.expectation, &mut unprivileged.expectation);
        to.retval = to.retval.or(from.retval);
        for (to, from) in [
            (&mut to.messages, &from.messages),
            (&mut to.xlated, &from.xlated),
            (&mut to.jited, &from.jited),
            (&mut to.stderr, &from.stderr),
            (&mut to.stdout, &from.stdout),
        ] {
            if to.is_empty() {
                to.clone_from(from);
            }
        }
        out.privileged = privileged.used.then_some(privileged.expectation);
        out.unprivileged = unprivileged.used.then_some(unprivileged.expectation);
        out
    }
}

/// `strtol` with base 10, or 16 after `0x`; a value in parentheses counts as itself.
fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse_retval(text: &str) -> Option<i64> {
    match text {
        "_INT_MIN" | "INT_MIN" => Some(i32::MIN.into()),
        // 6.12 keeps the macros' names.
        "POINTER_VALUE" => Some(POINTER_VALUE),
        "TEST_DATA_LEN" => Some(64),
        _ => parse_int(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tags: &[&str]) -> Annotation {
        let mut tags: Vec<Tag> = tags.iter().filter_map(|text| Tag::parse(text)).collect();
        tags.sort();
        Reader::read("p", &tags)
    }

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.text.as_str()).collect()
    }

    #[test]
    fn both_spellings_say_the_same() {
        let old = read(&[
            "comment:test_expect_msg=10=second",
            "comment:test_expect_msg=9=fir=st",
            "comment:test_expect_failure",
            "comment:test_log_level=2",
            "comment:test_prog_flags=BPF_F_TEST_STATE_FREQ",
        ]);
        let new = read(&[
            "comment:10:test_expect_msg=second",
            "comment:9:test_expect_msg=fir=st",
            "comment:7:test_expect_failure",
            "comment:8:test_log_level=2",
            "comment:11:test_prog_flags=BPF_F_TEST_STATE_FREQ",
        ]);
        assert_eq!(old, new);
        let privileged = old.privileged.as_ref().unwrap();
        assert!(privileged.failure);
        assert_eq!(texts(&privileged.messages), ["fir=st", "second"]);
        assert_eq!((old.log_level, old.unprivileged.is_none()), (2, true));
        assert_eq!(
            old.flags(ProgFlags::SLEEPABLE, false),
            ProgFlags::SLEEPABLE | ProgFlags::TEST_STATE_FREQ | ProgFlags::TEST_RND_HI32
        );
    }

    #[test]
    fn modes() {
        let check = |tags: &[&str], privileged: Option<bool>, unprivileged: Option<bool>| {
            let got = read(tags);
            let failure = |side: &Option<Expectation>| side.as_ref().map(|side| side.failure);
            assert_eq!(failure(&got.privileged), privileged, "{tags:?}");
            assert_eq!(failure(&got.unprivileged), unprivileged, "{tags:?}");
        };
        check(&["comment:test_description=d"], Some(false), None);
        check(&["comment:test_expect_failure"], Some(true), None);
        check(&["comment:test_expect_failure_unpriv"], None, Some(true));
        check(
            &["comment:1:test_expect_success", "comment:2:test_expect_msg_unpriv=m"],
            Some(false),
            Some(false),
        );
        check(
            &["comment:1:test_caps_unpriv=39|12", "comment:2:test_expect_failure"],
            Some(true),
            Some(true),
        );
    }

    #[test]
    fn lines_follow_each_other_unless_dots_stand_between() {
        let got = read(&[
            "comment:1:test_arch=X86_64",
            "comment:2:test_jited=a",
            "comment:3:test_jited=...",
            "comment:4:test_jited=b",
            "comment:5:test_arch=ARM64",
            "comment:6:test_jited=c",
            "comment:7:test_expect_xlated=x",
        ]);
        let privileged = got.privileged.unwrap();
        assert_eq!(texts(&privileged.jited), ["a", "b"]);
        assert!(!privileged.jited[1].on_next_line && privileged.xlated[0].on_next_line);
        assert_eq!(got.architectures, ["X86_64", "ARM64"]);
    }

    #[test]
    fn unknown_tags_are_kept() {
        let got = read(&[
            "comment:1:test_new_thing=3",
            "comment:2:test_retval=soon",
            "comment:3:test_prog_flags=BPF_F_NEW",
            "comment:4:test_expect_success",
        ]);
        assert_eq!(
            got.unknown,
            ["test_new_thing=3", "test_retval=soon", "test_prog_flags=BPF_F_NEW"]
        );
        assert_eq!(read(&["not a comment"]).program, "p");
    }

    #[test]
    fn bytes_that_are_no_object() {
        assert!(of_object(b"").is_err());
        assert!(of_object(b"\x7fELF\x02\x01\x01").is_err());
    }
}
