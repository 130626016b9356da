// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Abstract values are computed exactly as the kernel computes them, imprecision included:
//! `data/domain-6.18.15.txt` says what and how it was measured.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

use veristable_isa::{AluOp, CmpOp, Width};
use veristable_verifier::domain::{AluResult, Branches, Interval, Narrow, Quad, Rules, Tnum};

fn quad(words: &[u64]) -> Quad {
    let &[value, mask, umin, umax, smin, smax, umin32, umax32, smin32, smax32] = words else {
        panic!("a value has ten numbers");
    };
    Quad {
        bits: Tnum { value, mask },
        u64: Interval::new(umin, umax),
        s64: Interval::new(smin as i64, smax as i64),
        u32: Interval::new(umin32 as u32, umax32 as u32),
        s32: Interval::new(smin32 as i32, smax32 as i32),
    }
}

fn alu_op(name: &str) -> AluOp {
    match name {
        "add" => AluOp::Add,
        "sub" => AluOp::Sub,
        "mul" => AluOp::Mul,
        "div" => AluOp::Div,
        "mod" => AluOp::Mod,
        "and" => AluOp::And,
        "or" => AluOp::Or,
        "xor" => AluOp::Xor,
        "lsh" => AluOp::Lsh,
        "rsh" => AluOp::Rsh,
        "arsh" => AluOp::Arsh,
        other => panic!("no operation {other}"),
    }
}

fn condition(name: &str) -> CmpOp {
    match name {
        "eq" => CmpOp::Eq,
        "ne" => CmpOp::Ne,
        "set" => CmpOp::Set,
        "gt" => CmpOp::Gt,
        "ge" => CmpOp::Ge,
        "lt" => CmpOp::Lt,
        "le" => CmpOp::Le,
        "sgt" => CmpOp::Sgt,
        "sge" => CmpOp::Sge,
        "slt" => CmpOp::Slt,
        "sle" => CmpOp::Sle,
        other => panic!("no condition {other}"),
    }
}

fn resized(mut value: Quad, how: &str) -> Quad {
    match how {
        "zext8" => value.truncate(Narrow::B1, Rules::V6_18),
        "zext16" => value.truncate(Narrow::B2, Rules::V6_18),
        "zext32" => value.truncate(Narrow::B4, Rules::V6_18),
        "sext8" => value.sign_extend(Narrow::B1),
        "sext16" => value.sign_extend(Narrow::B2),
        "sext32" => value.sign_extend(Narrow::B4),
        _ => {
            match how {
                "sext32_8" => value.sign_extend_low(Narrow::B1),
                "sext32_16" => value.sign_extend_low(Narrow::B2),
                _ => {}
            }
            value.zero_extend_low();
            value.sync(Rules::V6_18);
        }
    }
    value
}

fn check(line: &str) {
    let fields: Vec<&str> = line.split(' ').collect();
    let (head, words) = fields.split_at(4);
    let words: Vec<u64> = words.iter().map(|w| u64::from_str_radix(w, 16).expect(line)).collect();
    let value = |index: usize| quad(&words[index * 10..index * 10 + 10]);
    let width = if head[2] == "64" { Width::W64 } else { Width::W32 };
    match head[0] {
        "alu" => {
            let (got, reset) = if head[1] == "neg" {
                (value(0).neg(width, Rules::V6_18), true)
            } else {
                match value(0).alu(alu_op(head[1]), &value(1), width, Rules::V6_18) {
                    AluResult::Unknown => (Quad::UNKNOWN, true),
                    AluResult::Value(got) => (got, false),
                    AluResult::Reset(got) => (got, true),
                }
            };
            assert_eq!((got, reset), (value(2), head[3] == "reset"), "{line}");
        }
        "decide" => {
            let want = match head[3] {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            };
            assert_eq!(value(0).decide(condition(head[1]), &value(1), width), want, "{line}");
        }
        "refine" => {
            let same = head[3] == "same";
            let got = value(0).refine(condition(head[1]), &value(1), width, same, Rules::V6_18);
            let want = Branches { taken: [value(2), value(3)], not_taken: [value(4), value(5)] };
            assert_eq!(got, want, "{line}");
        }
        _ => assert_eq!(resized(value(0), head[1]), value(1), "{line}"),
    }
}

#[test]
fn values_are_computed_as_the_kernel_does() {
    let vectors = include_str!("data/domain-6.18.15.txt");
    let lines: Vec<&str> = vectors.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 400);
    lines.into_iter().for_each(check);
}
