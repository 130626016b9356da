// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Glue between a fuzzer and [`veristable_fuzz::history`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| veristable_fuzz::history(data));
