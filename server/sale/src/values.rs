//! The small values that rows and commands are made of: ids, quantities, money, times, keys.
//!
//! Each has one unit and one range, checked where it is made, so that no rule has to check again.

use std::fmt;

/// The largest id and the largest number that a client written in any language reads exactly: 2^53 - 1.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// The largest quantity that one hold can ask for, whatever the setting: one million units.
pub const MAX_QUANTITY: u32 = 1_000_000;

/// The largest stock of one product, in units. Sums over a product's life stay far below 2^63.
pub const MAX_STOCK: u64 = 1_000_000_000_000;

/// The highest price of one unit, in minor units. Times [`MAX_QUANTITY`] it fits 63 bits.
pub const MAX_PRICE_MINOR: u64 = 1_000_000_000_000;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Names a product; from 1 up to [`MAX_ID`].
    ProductId
);
id!(
    /// Names a hold; from 1 up to [`MAX_ID`].
    HoldId
);
id!(
    /// Names an order; from 1 up to [`MAX_ID`].
    OrderId
);

/// How many units a hold keeps: 1 to [`MAX_QUANTITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u32);

impl Quantity {
    /// `None` if `units` is 0 or above [`MAX_QUANTITY`].
    pub const fn new(units: u32) -> Option<Self> {
        if units == 0 || units > MAX_QUANTITY { None } else { Some(Self(units)) }
    }

    /// The units, as the counters count them.
    pub fn units(self) -> u64 {
        u64::from(self.0)
    }

    /// The units, as small as they are.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The units as a change of a counter.
    pub(crate) fn signed(self) -> i64 {
        i64::from(self.0)
    }
}

/// An amount of money in minor units (cents) of the one currency that the shop sells in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub u64);

impl Money {
    /// The price of `quantity` units at this price each; `None` if it does not fit 63 bits.
    pub fn times(self, quantity: Quantity) -> Option<Self> {
        self.0.checked_mul(quantity.units()).filter(|minor| i64::try_from(*minor).is_ok()).map(Self)
    }
}

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    const SECOND: i64 = 1_000_000;

    /// This moment plus whole seconds.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0 + seconds as i64 * Self::SECOND)
    }

    /// The first whole second that is not before this moment.
    #[must_use]
    pub const fn round_up_to_second(self) -> Self {
        let past = self.0.rem_euclid(Self::SECOND);
        if past == 0 { self } else { Self(self.0 - past + Self::SECOND) }
    }

    /// Microseconds from this moment to `later`; negative if `later` is earlier.
    pub const fn micros_until(self, later: Self) -> i64 {
        later.0 - self.0
    }
}

/// An idempotency key: 1 to 255 bytes, compared byte by byte.
///
/// It is shared, not copied, between the queue, the batch and the rows that it goes through.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(std::sync::Arc<[u8]>);

/// Why bytes are no idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are no bytes.
    #[error("must not be empty")]
    Empty,
    /// There are more than 255 bytes.
    #[error("must not be longer than {} bytes", Key::MAX_BYTES)]
    TooLong,
}

impl Key {
    /// The longest key, in bytes: what a unique column holds in every supported database.
    pub const MAX_BYTES: usize = 255;

    /// A key of these bytes.
    ///
    /// # Errors
    /// If there are none, or more than [`Key::MAX_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            0 => Err(KeyError::Empty),
            1..=Self::MAX_BYTES => Ok(Self(bytes.into())),
            _ => Err(KeyError::TooLong),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As text for people: what is not UTF-8 is shown as a replacement character.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_whole_second_and_never_early() {
        for (micros, expected) in [(0, 0), (1, 1_000_000), (999_999, 1_000_000), (1_000_000, 1_000_000), (-1, 0)] {
            assert_eq!(Timestamp(micros).round_up_to_second(), Timestamp(expected), "{micros}");
        }
    }

    #[test]
    fn the_largest_id_is_the_largest_exact_integer_of_a_double() {
        assert_eq!(MAX_ID, 9_007_199_254_740_991);
    }

    #[test]
    fn keys_have_one_to_255_bytes() {
        assert_eq!(Key::new(b""), Err(KeyError::Empty));
        assert_eq!(Key::new(&[b'k'; 256]), Err(KeyError::TooLong));
        assert!(Key::new(&[b'k'; 255]).is_ok());
        assert_ne!(Key::new(b"A"), Key::new(b"a"));
    }

    #[test]
    fn a_key_gives_back_its_bytes_and_shows_as_text() {
        let key = Key::new(b"evt_1\xff").expect("in range");
        assert_eq!(key.as_bytes(), b"evt_1\xff");
        assert_eq!(key.to_string(), "evt_1\u{fffd}");
    }

    #[test]
    fn the_way_to_an_earlier_moment_is_negative() {
        assert_eq!(Timestamp(2_000_000).micros_until(Timestamp(5_000_000)), 3_000_000);
        assert_eq!(Timestamp(5_000_000).micros_until(Timestamp(2_000_000)), -3_000_000);
    }

    #[test]
    fn the_dearest_hold_has_a_price() {
        let most = Quantity::new(MAX_QUANTITY).expect("in range");
        assert_eq!(Money(MAX_PRICE_MINOR).times(most), Some(Money(1_000_000_000_000_000_000)));
        assert_eq!(Money(u64::MAX).times(most), None);
        assert_eq!(Quantity::new(0), None);
        assert_eq!(Quantity::new(MAX_QUANTITY + 1), None);
    }
}
