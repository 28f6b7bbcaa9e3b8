//! Who may call what: bearer tokens of operators and of storefronts.
//!
//! What does not belong here: the signatures of payment events (`signature.rs`). Only digests of tokens are kept, so that none
//! can be shown by accident and all comparisons take the same time.

use std::fmt;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::errors::Problem;

/// Tokens, any of which will do.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} hidden)", self.0.len())
    }
}

impl Tokens {
    /// Reads tokens separated by spaces or commas; `None` if there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let separators = |character: char| character == ',' || character.is_ascii_whitespace();
        let digests: Vec<_> = text
            .split(separators)
            .filter(|token| !token.is_empty())
            .map(|token| Sha256::digest(token.as_bytes()).into())
            .collect();
        if digests.is_empty() { None } else { Some(Self(digests)) }
    }

    /// Whether a request has one of them.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let token = bearer(headers).ok_or(Problem::Unauthorized("A bearer token is required."))?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.0.iter().fold(Choice::from(0), |known, one| known | one.ct_eq(&digest));
        if known.into() { Ok(()) } else { Err(Problem::Unauthorized("This bearer token is not known.")) }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Anyone,
    /// A token of a storefront, where any are set.
    Storefront,
    /// The token of operators; the route does not exist where none is set.
    Operators,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn admit(tokens: &str, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).expect("a header"));
        Tokens::parse(tokens).expect("tokens").admit(&headers).is_ok()
    }

    #[test]
    fn only_a_whole_token_is_admitted() {
        assert!(admit("secret", "Bearer secret"));
        assert!(admit("secret", "bearer  secret "));
        assert!(admit("one two", "Bearer one"));
        assert!(admit("one, two", "Bearer two"));
        for authorization in
            ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer SECRET", "Basic secret", "secret"]
        {
            assert!(!admit("secret", authorization), "{authorization}");
        }
    }

    #[test]
    fn the_header_must_come_once() {
        let tokens = Tokens::parse("secret").expect("a token");
        let mut headers = HeaderMap::new();
        assert!(tokens.admit(&headers).is_err());
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        assert!(tokens.admit(&headers).is_ok());
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        assert!(tokens.admit(&headers).is_err());
    }

    #[test]
    fn no_token_is_none_and_none_is_shown() {
        assert!(Tokens::parse("").is_none());
        assert!(Tokens::parse(" , ").is_none());
        assert_eq!(format!("{:?}", Tokens::parse("a b").expect("tokens")), "Tokens(2 hidden)");
    }
}
