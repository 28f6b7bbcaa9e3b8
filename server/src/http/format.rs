//! How money and times look in answers, and how a price is read.
//!
//! What belongs here: text forms of values, both ways. What does not: which field shows what (that is
//! in the files of the resources). Inside, money is integer minor units and time integer
//! microseconds; no floating point is ever involved.

use sale::{Money, Timestamp};

/// The digits that a price may have before its point: more would not fit [`sale::MAX_PRICE_MINOR`].
pub(crate) const PRICE_INTEGER_DIGITS: usize = 10;

/// The form of a price, for people.
pub(crate) const PRICE_FORM: &str = "must be a string of digits with up to two decimals, like \"99.99\"";

const MINOR_PER_MAJOR: u64 = 100;

/// `9999` as `99.99`.
pub(crate) fn price(money: Money) -> String {
    format!("{}.{:02}", money.0 / MINOR_PER_MAJOR, money.0 % MINOR_PER_MAJOR)
}

/// `399960` as `3,999.60`.
pub(crate) fn amount(money: Money) -> String {
    let major = (money.0 / MINOR_PER_MAJOR).to_string();
    let mut text = String::with_capacity(major.len() + major.len() / 3 + 3);
    for (position, digit) in major.chars().enumerate() {
        if position > 0 && (major.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text}.{:02}", money.0 % MINOR_PER_MAJOR)
}

/// Reads a price: digits, and after a point one or two more. `None` if it has any other form, or more
/// than [`PRICE_INTEGER_DIGITS`] digits before the point.
pub(crate) fn parse_price(text: &str) -> Option<Money> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(major) || !digits(minor) || major.len() > PRICE_INTEGER_DIGITS || minor.len() > 2 {
        return None;
    }
    let tenths = if minor.len() == 1 { 10 } else { 1 };
    let minor: u64 = minor.parse().ok()?;
    let major: u64 = major.parse().ok()?;
    Some(Money(major * MINOR_PER_MAJOR + minor * tenths))
}

/// With six fractional digits: `2025-12-02T19:00:26.000000Z`.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{:.6}", moment(at))
}

/// Without a fraction: `2025-12-02T01:00:00Z`. For times that are whole seconds.
pub(crate) fn whole_second(at: Timestamp) -> String {
    format!("{:.0}", moment(at))
}

fn moment(at: Timestamp) -> jiff::Timestamp {
    // No clock reads a year beyond 9999; a row that says so is shown at the edge of what can be written.
    let edge = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(at.0).unwrap_or(edge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn money_has_two_decimals_and_amounts_have_commas() {
        let table = [
            (0, "0.00", "0.00"),
            (5, "0.05", "0.05"),
            (9_999, "99.99", "99.99"),
            (99_999, "999.99", "999.99"),
            (100_000, "1000.00", "1,000.00"),
            (399_960, "3999.60", "3,999.60"),
            (12_345_678, "123456.78", "123,456.78"),
            (123_456_789, "1234567.89", "1,234,567.89"),
            (u64::MAX, "184467440737095516.15", "184,467,440,737,095,516.15"),
        ];
        for (minor, as_price, as_amount) in table {
            assert_eq!(price(Money(minor)), as_price);
            assert_eq!(amount(Money(minor)), as_amount);
        }
    }

    #[test]
    fn a_price_has_one_form() {
        for (text, minor) in
            [("99.99", 9_999), ("0", 0), ("0.01", 1), ("0.00", 0), ("7", 700), ("7.5", 750), ("007.05", 705)]
        {
            assert_eq!(parse_price(text), Some(Money(minor)), "{text}");
        }
        for text in
            ["", ".", "1.", ".5", "1.234", "-1", "+1", "1,000", "1e3", " 1", "1 ", "٣", "1.0.0", "12345678901", "0x1"]
        {
            assert_eq!(parse_price(text), None, "{text}");
        }
    }

    #[test]
    fn the_highest_price_is_within_the_rules() {
        let highest = parse_price(&format!("{}.99", "9".repeat(PRICE_INTEGER_DIGITS)));
        assert!(highest.is_some_and(|price| price.0 < sale::MAX_PRICE_MINOR));
    }

    #[test]
    fn times_are_utc_with_a_fixed_number_of_digits() {
        for (micros, fraction, second) in [
            (0, "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00Z"),
            (1_764_702_026_000_000, "2025-12-02T19:00:26.000000Z", "2025-12-02T19:00:26Z"),
            (951_782_400_500_000, "2000-02-29T00:00:00.500000Z", "2000-02-29T00:00:00Z"),
            (253_402_207_199_000_000, "9999-12-30T21:59:59.000000Z", "9999-12-30T21:59:59Z"),
        ] {
            assert_eq!(time(Timestamp(micros)), fraction);
            assert_eq!(whole_second(Timestamp(micros)), second);
        }
        // Beyond what can be written: no panic.
        assert!(time(Timestamp(i64::MAX)).ends_with('Z'));
        assert!(time(Timestamp(i64::MIN)).ends_with('Z'));
    }

    proptest! {
        #[test]
        fn a_price_that_is_shown_can_be_read(minor in 0..sale::MAX_PRICE_MINOR) {
            prop_assert_eq!(parse_price(&price(Money(minor))), Some(Money(minor)));
        }

        #[test]
        fn an_amount_is_its_price_with_commas(minor in any::<u64>()) {
            let shown = amount(Money(minor));
            prop_assert_eq!(shown.replace(',', ""), price(Money(minor)));
            let groups: Vec<&str> = shown.split_once('.').map_or("", |(major, _)| major).split(',').collect();
            prop_assert!((1..=3).contains(&groups[0].len()));
            prop_assert!(groups[1..].iter().all(|group| group.len() == 3));
        }

        #[test]
        fn times_sort_as_text(a in 0..253_402_000_000_000_000_i64, b in 0..253_402_000_000_000_000_i64) {
            prop_assert_eq!(a.cmp(&b), time(Timestamp(a)).cmp(&time(Timestamp(b))));
            prop_assert_eq!(time(Timestamp(a)).len(), "1970-01-01T00:00:00.000000Z".len());
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,40}") {
            let _ = parse_price(&text);
        }
    }
}
