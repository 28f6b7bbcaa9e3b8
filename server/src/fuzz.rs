//! What the tests of parsers are fed: a corpus of inputs that are kept in the repository, and what becomes of them by changes that
//! forgers and broken clients make. A failure is shrunk, and shows the input that repeats it; `PROPTEST_CASES` tries
//! more of them.
//!
//! What does not belong here: what a parser must hold to (`http/fuzz.rs`, `config/fuzz.rs`,
//! `telemetry/traces/fuzz.rs`).

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Inputs of a parser: the corpus, one entry a line, with escapes as in a byte string of Rust.
pub(crate) fn corpus(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| unescape(line).unwrap_or_else(|| panic!("the corpus has a broken escape: {line}"))).collect()
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index, Index),
    Repeat(Index, Index, usize),
    /// What another entry has, from some place on.
    Splice(Index, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        let range = |one: &Index, other: &Index, bytes: &[u8]| {
            let (one, other) = (place(one, bytes), place(other, bytes));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Replace(at, byte) => {
                let place = place(at, bytes);
                if let Some(changed) = bytes.get_mut(place) {
                    *changed = *byte;
                }
            }
            Self::Insert(at, byte) => bytes.insert(place(at, bytes), *byte),
            Self::Remove(from, to) => drop(bytes.drain(range(from, to, bytes))),
            Self::Repeat(from, to, times) => {
                let part = bytes[range(from, to, bytes)].repeat(*times);
                bytes.extend(part);
            }
            Self::Splice(at, other) => {
                bytes.truncate(place(at, bytes));
                let from = other.len() / 2;
                bytes.extend(&other[from..]);
            }
        }
    }
}

/// An entry of the corpus with some changes, or none.
pub(crate) fn inputs(text: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let corpus = corpus(text);
    let byte = || prop_oneof![any::<u8>(), b' '..=b'~', select(b"0123456789\"\\{}[],:.-+eE/@?&=;%\0\x7f\xff".to_vec())];
    let change = prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Remove(from, to)),
        (any::<Index>(), any::<Index>(), 1..40_usize).prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        (any::<Index>(), select(corpus.clone())).prop_map(|(at, other)| Change::Splice(at, other)),
    ];
    (select(corpus), prop::collection::vec(change, 0..6)).prop_map(|(mut bytes, changes)| {
        for change in changes {
            change.apply(&mut bytes);
        }
        bytes
    })
}

/// As [`inputs`], as text: what is none is read as one that it resembles.
pub(crate) fn texts(text: &str) -> impl Strategy<Value = String> + use<> {
    inputs(text).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn a_corpus_is_lines_with_escapes() {
    assert_eq!(corpus("# what it is\na\\x00\\\\\n\n"), [b"a\0\\".to_vec(), Vec::new()]);
    assert_eq!((unescape("\\q"), unescape("\\x1"), unescape("\\")), (None, None, None));
}
