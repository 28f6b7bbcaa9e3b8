//! Reads a JSON body strictly, and checks its fields one by one.
//!
//! Strict: the same key twice in any object is refused, numbers keep the digits that were sent (so
//! that `1e400` is a number out of range, and not broken JSON), and every string must be Unicode. What was read points into
//! the body: texts are copied only where they were sent with escapes. What does not belong here: what the fields mean.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::errors::FieldErrors;

/// How deep arrays and objects may be nested; ours need two levels.
const MAX_DEPTH: usize = 32;

/// A JSON value. Elements of arrays are checked, but not kept: no request of ours has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it was sent.
    Number(&'a str),
    String(Cow<'a, str>),
    Array,
    Object(Object<'a>),
}

/// A JSON object: each name once, in the order sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// Why bytes are no JSON that we read, in words that complete "the body …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    #[error("is empty")]
    Empty,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is not JSON: {0}")]
    Syntax(String),
    #[error("holds a string that is not Unicode")]
    NotUnicode,
    #[error("has the field {0:?} twice in one object")]
    DuplicateField(String),
    #[error("is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

/// Reads one value and nothing after it.
pub(super) fn parse(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Err(JsonError::Empty);
    }
    // Nearly every body is an object in good order, for which one walk is enough.
    if text.starts_with('{')
        && let Ok(object) = members(text, 0)
    {
        return object.map(Json::Object);
    }
    // This walks over all of it, so whatever is wrong with the syntax is found here, with its place.
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
    value(raw.get(), 0)
}

fn value(text: &str, depth: usize) -> Result<Json<'_>, JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    let syntax = |error: serde_json::Error| JsonError::Syntax(error.to_string());
    match text.as_bytes().first() {
        Some(b'{') => members(text, depth).map_err(|_| JsonError::NotUnicode)?.map(Json::Object),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(syntax)?;
            for element in elements {
                value(element.get(), depth + 1)?;
            }
            Ok(Json::Array)
        }
        Some(b'"') => {
            serde_json::from_str(text).map(|Text(text)| Json::String(text)).map_err(|_| JsonError::NotUnicode)
        }
        Some(b't') => Ok(Json::Bool(true)),
        Some(b'f') => Ok(Json::Bool(false)),
        Some(b'n') => Ok(Json::Null),
        Some(_) => Ok(Json::Number(text)),
        None => Err(JsonError::Empty),
    }
}

/// The object that is all of this text. What breaks no syntax is told of only if all of the syntax is right.
fn members(text: &str, depth: usize) -> Result<Result<Object<'_>, JsonError>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let object = Members { depth }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(object)
}

/// Reads the members of an object at this depth.
struct Members {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Result<Object<'de>, JsonError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Result<Object<'de>, JsonError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object::default();
        let mut wrong = None;
        while let Some((Text(name), raw)) = map.next_entry::<Text<'de>, &RawValue>()? {
            if wrong.is_some() {
                continue;
            }
            if object.get(&name).is_some() {
                wrong = Some(JsonError::DuplicateField(name.into_owned()));
                continue;
            }
            match value(raw.get(), self.depth + 1) {
                Ok(value) => object.0.push((name, value)),
                Err(error) => wrong = Some(error),
            }
        }
        Ok(wrong.map_or(Ok(object), Err))
    }
}

/// A string, copied only if it was sent with escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'a> Object<'a> {
    /// The value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value of this name, unless it is missing or null.
    pub(super) fn given(&self, name: &str) -> Option<&Json<'a>> {
        self.get(name).filter(|value| **value != Json::Null)
    }
}

impl<'a> Json<'a> {
    /// The object that every body of ours is.
    pub(super) fn into_object(self) -> Result<Object<'a>, FieldErrors> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array => {
                Err(FieldErrors::of("body", "must be a JSON object"))
            }
        }
    }
}

/// An integer within `range`, however it is written: `5`, `5.0` and `50e-1` are one number, as JSON
/// Schema has it.
pub(super) fn integer(value: Option<&Json<'_>>, range: &RangeInclusive<i64>) -> Result<i64, String> {
    let value = value.ok_or("is required")?;
    let number = if let Json::Number(text) = value { whole_number(text) } else { None };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("must be an integer from {} to {}", range.start(), range.end()))
}

/// The value of a JSON number, if it is whole and fits. Done with digits: a float would round.
fn whole_number(text: &str) -> Option<i64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() && exponent == "0" {
        return whole.parse().ok();
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() || significant == "-" {
        return Some(0);
    }
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let shift = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = 10_i64.checked_pow(u32::try_from(shift).ok()?)?;
    significant.parse::<i64>().ok()?.checked_mul(power)
}

/// An id that a row could have.
pub(super) fn id(value: Option<&Json<'_>>) -> Result<u64, String> {
    integer(value, &(1..=sale::MAX_ID.cast_signed())).map(i64::cast_unsigned)
}

/// A text whose number of characters is within `range`.
pub(super) fn text(value: Option<&Json<'_>>, range: &RangeInclusive<usize>) -> Result<String, String> {
    match value.ok_or("is required")? {
        Json::String(text) if range.contains(&text.chars().count()) => Ok(text.clone().into_owned()),
        Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array | Json::Object(_) => {
            Err(format!("must be a string of {} to {} characters", range.start(), range.end()))
        }
    }
}

/// `true`, `false`, or the default if it is missing or null.
pub(super) fn optional_flag(value: Option<&Json<'_>>, default: bool) -> Result<bool, String> {
    match value {
        None | Some(Json::Null) => Ok(default),
        Some(Json::Bool(flag)) => Ok(*flag),
        Some(Json::Number(_) | Json::String(_) | Json::Array | Json::Object(_)) => {
            Err("must be true or false".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(text: &str) -> Object<'_> {
        parse(text.as_bytes()).expect("JSON").into_object().expect("an object")
    }

    #[test]
    fn values_are_read_as_they_were_sent() {
        let read =
            object(r#" {"a": 1e400, "b": "\u00e9", "c": [1, {"d": null}], "e": {"f": true}, "g": -0, "h": null} "#);
        assert_eq!(read.get("a"), Some(&Json::Number("1e400")));
        assert_eq!(read.get("b"), Some(&Json::String("é".into())));
        assert_eq!(read.get("c"), Some(&Json::Array));
        assert_eq!(read.get("e"), Some(&Json::Object(Object(vec![("f".into(), Json::Bool(true))]))));
        assert_eq!(read.get("h"), Some(&Json::Null));
        assert_eq!(read.given("h"), None);
        assert_eq!(read.get("i"), None);
    }

    #[test]
    fn the_same_key_twice_is_refused_wherever_it_is() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"unknown":{"a":1,"a":2}}"#,
            r#"{"unknown":[[{"a":1,"a":2}]]}"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), Err(JsonError::DuplicateField("a".to_owned())), "{text}");
        }
        assert!(parse(br#"{"a":{"a":1},"b":{"a":2}}"#).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert_eq!(parse(b""), Err(JsonError::Empty));
        assert_eq!(parse(b" \r\n\t"), Err(JsonError::Empty));
        assert_eq!(parse(b"{\"a\":\"\xff\"}"), Err(JsonError::NotUtf8));
        assert_eq!(parse(br#"{"a":"\ud800"}"#), Err(JsonError::NotUnicode));
        assert_eq!(parse(br#"{"\ud800":1}"#), Err(JsonError::NotUnicode));
        for text in [
            "{",
            "}",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":5.}",
            "{\"a\":NaN}",
            "{\"a\":tru}",
            "{} {}",
            "{}x",
            "[1,]",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
            "// c\n{}",
        ] {
            assert!(matches!(parse(text.as_bytes()), Err(JsonError::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(nested(8_000).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn an_integer_is_a_whole_number_within_its_range() {
        let check = |text: &str| integer(object(&format!("{{\"qty\":{text}}}")).get("qty"), &(1..=1000));
        assert_eq!(check("1"), Ok(1));
        assert_eq!(check("1000"), Ok(1000));
        for text in ["5.0", "5e0", "5E+0", "50e-1", "0.5e1", "0.005e3", "5.000e-0"] {
            assert_eq!(check(text), Ok(5), "{text}");
        }
        for text in ["1e3", "1000.00", "10.0E2", "0.00001e8"] {
            assert_eq!(check(text), Ok(1000), "{text}");
        }
        let no_integers = "0 -1 1001 1.5 5.0001 5e-1 1e4 -5.0 \"5\" null true [] [5] {} 9223372036854775808 1e400 1e-400 -0 0.0 \
                           1e99999999999999999999 18446744073709551617 0e5";
        for text in no_integers.split(' ').filter(|text| !text.is_empty()) {
            assert_eq!(check(text), Err("must be an integer from 1 to 1000".to_owned()), "{text}");
        }
        assert_eq!(integer(None, &(1..=1000)), Err("is required".to_owned()));
        assert_eq!(id(Some(&Json::Number("9007199254740991"))), Ok(9_007_199_254_740_991));
        assert!(id(Some(&Json::Number("9007199254740992"))).is_err());
    }

    #[test]
    fn texts_are_counted_in_characters() {
        let check = |text: &str| super::text(Some(&Json::String(text.into())), &(1..=3));
        assert_eq!(check("äöü"), Ok("äöü".to_owned()));
        assert!(check("").is_err());
        assert!(check("abcd").is_err());
        assert!(super::text(Some(&Json::Null), &(1..=3)).is_err());
    }

    proptest! {
        #[test]
        fn a_number_is_the_same_however_it_is_written(number in -999_999_999_i64..1_000_000_000, places in 0..9_u32) {
            let power = 10_i64.pow(places);
            let (sign, size) = (if number < 0 { "-" } else { "" }, number.abs());
            let width = places as usize;
            let pointed = format!("{sign}{}.{:0width$}e{places}", size / power, size % power);
            prop_assert_eq!(whole_number(&pointed), Some(number), "{}", pointed);
            let long = format!("{number}{}e-{places}", "0".repeat(width));
            prop_assert_eq!(whole_number(&long), Some(number), "{}", long);
            let half = format!("{number}.5");
            prop_assert_eq!(whole_number(&half), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn reads_what_another_parser_reads(text in "[\\[\\]{}\",:0-9a-c.e+ -]{0,24}") {
            // The other parser takes duplicates and refuses huge numbers; else the two agree.
            let ours = parse(text.as_bytes());
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
            match (&ours, &theirs) {
                (Ok(_), Err(error)) => prop_assert!(error.to_string().starts_with("number out of range"), "{error}"),
                (Ok(_) | Err(JsonError::DuplicateField(_)), Ok(_)) | (Err(_), Err(_)) => {}
                (Err(error), Ok(_)) => prop_assert!(false, "{error}"),
            }
        }
    }
}
