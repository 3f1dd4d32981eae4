//! Numbers that look random and are the same in every run.

/// A generator of numbers that are the same each time for the same seed: xorshift64* (Vigna, "An experimental
/// exploration of Marsaglia's xorshift generators, scrambled").
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number of 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to `n` − 1, of the type of `n`; the upper bits, which are the better ones, decide.
    pub fn below<N: Whole>(&mut self, n: N) -> N {
        N::of((u128::from(self.next()) * n.wide()) >> 64)
    }

    /// A number above 0 and at most 1.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The types of whole numbers that [`Random::below`] takes, from 1 up.
pub trait Whole {
    /// The number, in a type that has room for all of them.
    fn wide(self) -> u128;
    /// A number below one that was given, so it fits.
    fn of(wide: u128) -> Self;
}

macro_rules! whole {
    ($($type:ty)*) => {
        $(impl Whole for $type {
            fn wide(self) -> u128 { self.try_into().expect("not negative") }
            fn of(wide: u128) -> $type { wide as $type }
        })*
    };
}
whole!(i32 i64 u64 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_in_their_ranges() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        let mut met = [0; 5];
        for _ in 0..1000 {
            let n = a.below(5);
            met[n] += 1;
            assert_eq!(b.below(5_usize), n);
            let unit = a.unit();
            assert!(unit > 0.0 && unit <= 1.0, "{unit}");
            assert_eq!(b.unit(), unit);
        }
        assert!(met.iter().all(|&times| times > 150), "{met:?}");
        assert_ne!(Random::new(8).next(), Random::new(7).next());
    }
}
