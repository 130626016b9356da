// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! How exactly a kernel computes with abstract values.

bitflags::bitflags! {
    /// Where kernels with the same kind of values compute differently. Each says what a kernel
    /// does; without it the older or plainer rule holds.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Rules: u8 {
        /// A signed range of the low half that crosses the sign learns from an unsigned one that
        /// meets only one of its parts (`__reg32_deduce_bounds`).
        const SIGN_CROSSING_LOW_HALF = 1 << 0;
        /// The whole learns from the signed range of the low half too
        /// (`__reg_deduce_mixed_bounds`).
        const SIGNED_LOW_HALF = 1 << 1;
        /// Sums and differences of unsigned numbers keep a range where both ends wrap
        /// (`scalar_min_max_add`, `scalar_min_max_sub`).
        const BOTH_ENDS_WRAP = 1 << 2;
        /// Products of signed ranges come from the four products of their ends
        /// (`scalar_min_max_mul`).
        const SIGNED_PRODUCTS = 1 << 3;
        /// The bits of a product: an unknown bit gives the union of both cases (`tnum_mul`).
        const UNION_PRODUCT = 1 << 4;
        /// A shift left by exactly 32 keeps signed ends below zero (`__scalar64_min_max_lsh`).
        const NEGATIVE_SHIFT_BY_32 = 1 << 5;
        /// What a linked number learns is synchronised (`sync_linked_regs`).
        const SYNCED_LINKS = 1 << 6;
        /// Bits and unsigned range that have one number in common are that number
        /// (`__update_reg64_bounds`).
        const SINGLE_MEMBER = 1 << 7;
    }
}

impl Rules {
    /// As of 6.18.
    pub const V6_18: Self =
        Self::BOTH_ENDS_WRAP.union(Self::SIGNED_PRODUCTS).union(Self::UNION_PRODUCT);
}
