// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a program holds and must give back, and the objects that live in its stack and in map
//! values: references, locks, regions, dynptrs, iterators, saved interrupt flags, fields of BTF
//! records.

mod refs;
