//! Who may call what: bearer tokens of operators and of storefronts.
//!
//! What does not belong here: the signatures of payment events (`signature.rs`). Only digests of tokens are kept, so that none
//! can be shown by accident and all comparisons take the same time.

use std::fmt;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::errors::Problem;

/// Tokens, any of which will do.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} hidden)", self.0.len())
    }
}

/// What is said where there is no token.
pub(super) const NO_TOKEN: Problem = Problem::Unauthorized("A bearer token is required.");

/// The fewest characters of a token: fewer would soon be guessed.
const MIN_TOKEN_CHARS: usize = 8;

/// Why a text is no list of tokens. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("there is no token")]
    Missing,
    /// One of them cannot be sent in a header.
    #[error("token {0} has characters that are not visible ASCII")]
    NotVisible(usize),
    /// One of them is too short to be safe.
    #[error("token {0} has fewer than {MIN_TOKEN_CHARS} characters")]
    TooShort(usize),
}

impl Tokens {
    /// Reads tokens of 8 or more visible ASCII characters, separated by white space.
    ///
    /// # Errors
    /// If any of them has another form, or there is none; the number says which, from 1.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut digests = Vec::new();
        for (position, token) in (1..).zip(text.split_ascii_whitespace()) {
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(TokenError::NotVisible(position));
            }
            if token.len() < MIN_TOKEN_CHARS {
                return Err(TokenError::TooShort(position));
            }
            digests.push(Sha256::digest(token.as_bytes()).into());
        }
        if digests.is_empty() { Err(TokenError::Missing) } else { Ok(Self(digests)) }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Which of them a request has, by its position.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<usize, Problem> {
        let token = bearer(headers).ok_or(NO_TOKEN)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut known = Choice::from(0);
        let mut found = 0_u32;
        for (position, one) in (0..).zip(&self.0) {
            let is_it = one.ct_eq(&digest);
            known |= is_it;
            found.conditional_assign(&position, is_it);
        }
        if known.into() { Ok(found as usize) } else { Err(Problem::Unauthorized("This bearer token is not known.")) }
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
    /// What a setting says: [`MetricsAccess`].
    Metrics,
}

/// Who may see the metrics, on whichever listener they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Whoever reaches them.
    #[default]
    Anyone,
    /// Whoever has a token of a storefront.
    Storefront,
    /// Whoever has the token of operators.
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
        assert!(admit("a-secret", "Bearer a-secret"));
        assert!(admit("a-secret", "bearer  a-secret "));
        assert!(admit("token-one token-two", "Bearer token-one"));
        assert!(admit(" token-one\n\ttoken-two\n", "Bearer token-two"));
        // Any visible character may be part of one.
        assert!(admit("x,Zk9/+=~!", "Bearer x,Zk9/+=~!"));
        for authorization in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a-secre",
            "Bearer a-secrets",
            "Bearer A-SECRET",
            "Basic a-secret",
            "a-secret",
        ] {
            assert!(!admit("a-secret", authorization), "{authorization}");
        }
        assert!(!admit("x,Zk9/+=~!", "Bearer x"));
    }

    #[test]
    fn a_token_is_known_by_its_position() {
        let tokens = Tokens::parse("token-one token-two token-one").expect("tokens");
        let position = |token: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
            headers.insert(header::AUTHORIZATION, value);
            tokens.admit(&headers)
        };
        assert_eq!((position("token-two"), tokens.count()), (Ok(1), 3));
        // The same twice is the same client each time.
        assert_eq!(position("token-one"), position("token-one"));
        assert!(position("token-three").is_err());
    }

    #[test]
    fn the_header_must_come_once() {
        let tokens = Tokens::parse("a-secret").expect("a token");
        let mut headers = HeaderMap::new();
        assert!(tokens.admit(&headers).is_err());
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer a-secret"));
        assert!(tokens.admit(&headers).is_ok());
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer a-secret"));
        assert!(tokens.admit(&headers).is_err());
    }

    #[test]
    fn tokens_have_a_form_and_are_never_shown() {
        for (text, error) in [
            ("", TokenError::Missing),
            (" \n", TokenError::Missing),
            ("7-chars", TokenError::TooShort(1)),
            ("8--chars x", TokenError::TooShort(2)),
            ("of-Z\u{fc}rich", TokenError::NotVisible(1)),
            ("8--chars with\u{7f}delete", TokenError::NotVisible(2)),
        ] {
            assert_eq!(Tokens::parse(text).err(), Some(error), "{text}");
        }
        assert_eq!(format!("{:?}", Tokens::parse("token-one token-two").expect("tokens")), "Tokens(2 hidden)");
    }
}
