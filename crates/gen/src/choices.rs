// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Where decisions come from: a seed, or bytes that somebody else made up.

use crate::Random;

/// A stream of decisions. The same source gives the same decisions on every machine.
#[derive(Clone, Debug)]
pub struct Choices<'b>(Source<'b>);

#[derive(Clone, Debug)]
enum Source<'b> {
    Seeded(Random),
    /// A fuzzer's bytes; zeroes when they are used up.
    Bytes(&'b [u8]),
}

impl Choices<'static> {
    /// The decisions for program number `index` of a seed.
    #[must_use]
    pub const fn seeded(seed: u64, index: u64) -> Self {
        let mut random = Random::new(seed);
        let first = random.next();
        Self(Source::Seeded(Random::new(first ^ index.wrapping_mul(0xd134_2543_de82_ef95))))
    }
}

impl<'b> Choices<'b> {
    /// Decisions read from bytes: few bytes a decision, so that a fuzzer's changes stay local.
    #[must_use]
    pub const fn from_bytes(bytes: &'b [u8]) -> Self {
        Self(Source::Bytes(bytes))
    }

    /// Any 64-bit number.
    pub fn any(&mut self) -> u64 {
        match &mut self.0 {
            Source::Seeded(random) => random.next(),
            Source::Bytes(bytes) => take(bytes, 8),
        }
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let width = match bound {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        match &mut self.0 {
            Source::Seeded(random) => random.below(bound),
            Source::Bytes(bytes) => (take(bytes, width) as usize).checked_rem(bound).unwrap_or(0),
        }
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: i32, high: i32) -> i32 {
        let span = i64::from(high).saturating_sub(i64::from(low)).max(0) + 1;
        let chosen = self.below(usize::try_from(span).unwrap_or(usize::MAX));
        low.wrapping_add(chosen as i32)
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent as usize
    }

    /// One of some values; nothing if there are none.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        values.get(self.below(values.len())).copied()
    }

    /// One of some values.
    pub fn pick<T: Copy, const N: usize>(&mut self, values: [T; N]) -> T {
        const { assert!(N > 0) };
        values[self.below(N)]
    }

    /// One of some values by their weights; nothing if all weigh nothing.
    pub fn weighted<T: Copy>(&mut self, values: &[(u32, T)]) -> Option<T> {
        let total: u32 = values.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total as usize) as u32;
        for (weight, value) in values {
            if left < *weight {
                return Some(*value);
            }
            left -= weight;
        }
        None
    }
}

fn take(bytes: &mut &[u8], count: usize) -> u64 {
    let (head, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    head.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn the_same_source_gives_the_same_decisions() {
        let draw =
            |mut choices: Choices<'_>| [choices.any(), choices.any(), choices.below(9) as u64];
        assert_eq!(draw(Choices::seeded(1, 7)), draw(Choices::seeded(1, 7)));
        assert_ne!(draw(Choices::seeded(1, 7)), draw(Choices::seeded(1, 8)));
        assert_eq!(draw(Choices::from_bytes(&[2])), [2, 0, 0]);
    }

    #[test]
    fn numbers_stay_in_their_bounds() {
        let mut choices = Choices::seeded(1, 1);
        for _ in 0..1000 {
            assert!((-3..=4).contains(&choices.within(-3, 4)));
            assert_eq!(choices.weighted(&[(0, 'a'), (1, 'b')]), Some('b'));
        }
        assert_eq!(choices.weighted(&[(0, 'a')]), None);
        assert_eq!(choices.of::<u8>(&[]), None);
    }
}
