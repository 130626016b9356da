// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! No input makes a parser fail in another way than with an error.

use proptest::prelude::*;
use std::path::PathBuf;
use veristable_history::boundary::Boundary;
use veristable_history::glob::Glob;
use veristable_history::ids::{IdPrefix, MessageId, ObjectId};
use veristable_history::message::{Message, normal_title, reverted_title};
use veristable_history::model::Date;
use veristable_history::tree::Tree;
use veristable_history::version::{Branch, Release};
use veristable_history::{cve, data, patch, references};

/// Text of the words that parsers look for, and of anything between them.
fn text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "Fixes:",
        "fixes",
        ":",
        " ",
        "\n",
        "\"",
        "(",
        ")",
        "commit",
        "upstream",
        ".",
        "[",
        "]",
        "Upstream",
        "This reverts",
        "cherry picked from commit",
        "Cc: stable@vger.kernel.org",
        "#",
        "5.15",
        "CVE-",
        "2024-",
        "12345",
        "41f6f64e6999",
        "Link: https://x/",
        "a-1-b@c",
        "Revert \"",
        "é",
        "\u{202e}",
        "diff --git a/",
        " b/",
        "--- ",
        "+++ ",
        "@@ -1,2 +3,4 @@",
        "@@ -0,0 +4294967295 @@",
        "+",
        "-",
        "\\",
        "/dev/null",
        "GIT binary patch",
        "rename from ",
        "\"\\3",
        "linux (6.1.2-1) x",
        " -- a  Mon, ",
        "    - ",
        "  * ",
        "*",
        "**",
        "?",
        "/",
        "{",
        "}",
        ";",
        "=",
        "static",
        "DEFINE_",
        "/*",
        "*/",
        "'",
        "0",
        "6.1",
        ":0:0",
        "v",
        "^",
        "~",
    ]);
    let part = prop_oneof![4 => words.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

/// A file with these bytes, one per test.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages(text in text()) {
        let message = Message::parse(&text);
        prop_assert!(message.fixes.iter().all(|tag| tag.text.len() <= text.len()));
        let normal = normal_title(&text);
        prop_assert_eq!(normal_title(&normal).len() <= normal.len(), true);
        let _ = reverted_title(&text);
        let _ = MessageId::from_url(&text).map(|id| id.series());
        let _ = (Date::parse(&text), Release::parse(&text), Branch::in_name(&text));
        let _ = (ObjectId::from_hex(&text), IdPrefix::new(&text));
    }

    #[test]
    fn patches(text in text()) {
        let files = patch::parse(text.as_bytes());
        let _ = (patch::patch_id(&files), patch::lines_id(&files));
        for file in &files {
            let mut names = Default::default();
            let _ = veristable_history::symbols::changed(file, &mut names);
            veristable_history::symbols::used(file, &mut names);
        }
    }

    #[test]
    fn globs(pattern in text(), path in text()) {
        if let Ok(glob) = pattern.parse::<Glob>() {
            let _ = glob.matches(&path);
            prop_assert!(!glob.pathspec().contains('\0'));
        }
    }

    /// The short cuts of the matcher and the matcher agree: `[` is nothing special, and a `?` for a
    /// character keeps a pattern from being short.
    #[test]
    fn short_cuts_agree(path in "[ab/]{1,8}", pattern in "[ab/]{1,4}") {
        let Ok(plain) = pattern.parse::<Glob>() else { return Ok(()) };
        let Ok(long) = format!("{pattern}**").parse::<Glob>() else { return Ok(()) };
        if pattern.ends_with('/') {
            prop_assert_eq!(plain.matches(&path), path.starts_with(&pattern));
        } else {
            prop_assert_eq!(plain.matches(&path), path == pattern);
        }
        prop_assert_eq!(long.matches(&path), path.starts_with(&pattern));
    }

    #[test]
    fn data_files(text in text(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = data::read(text.as_bytes(), None);
        let _ = data::read(&bytes, Some(text.as_bytes()));
        let _ = cve::read_dyad("CVE-2024-1", &text);
        let _ = cve::read_json(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files(text in text(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let changelog = file("changelog", text.as_bytes());
        let _ = Tree::of_changelog(None, &changelog);
        let packed = file("packed", &[&[0x1f, 0x8b, 8][..], &bytes].concat());
        let _ = Tree::of_changelog(None, &packed);
        let elf = file("elf.o", &[&b"\x7fELF\x02\x01\x01"[..], &bytes].concat());
        let _ = references::read_references(&elf);
        let _ = references::read_references(&changelog);
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("queue");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("series"), &text).unwrap();
        std::fs::write(directory.join("a.patch"), &text).unwrap();
        let boundary = Boundary::new(["a.c"]).unwrap();
        let _ = Tree::of_patches("q", &directory, &boundary);
        std::fs::write(directory.join("series"), "a.patch\n../changelog\n/etc/hostname\n").unwrap();
        let tree = Tree::of_patches("q", &directory, &boundary).unwrap();
        prop_assert_eq!((tree.entries.len(), tree.warnings.len()), (1, 2));
    }
}

/// Numbers of lines that no file has.
#[test]
fn hunks_with_absurd_numbers() {
    use veristable_history::trial::{Files, apply};
    let text = "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -4294967295,2 +4294967295,2 @@\n one line of text\n-two\n+three\n@@ -0,1 +0,1 @@\n-x\n+y\n";
    let files = patch::parse(text.as_bytes());
    let contents = [("a.c".to_owned(), b"one line of text\ntwo\nx\n".to_vec())].into();
    assert_eq!(apply(&files, &Files::new(&contents), |_| true).hunks, 2);
}
