//! Signatures of webhook events, as the Standard Webhooks specification (version 1, symmetric) says.
//!
//! What is signed is `id.timestamp.body`, by HMAC-SHA256, over the raw bytes of the body. What does not
//! belong here: what an event means. Secrets and signatures are never logged.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// The header that names an event; it is signed.
pub(super) const WEBHOOK_ID: &str = "webhook-id";
/// The header with the second at which the event was sent; it is signed.
pub(super) const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces.
pub(super) const WEBHOOK_SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const MIN_SECRET_BYTES: usize = 24;
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// The secrets that an event may be signed with; more than one while they are being changed.
#[derive(Clone)]
pub struct WebhookSecrets(Vec<Hmac<Sha256>>);

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets({} hidden)", self.0.len())
    }
}

/// Why a text is no list of webhook secrets. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error("there is no webhook secret")]
    Missing,
    /// One of them does not begin as it must.
    #[error("webhook secret {0} does not begin with `whsec_`")]
    Prefix(usize),
    /// One of them is not base64.
    #[error("webhook secret {0} is not base64 after `whsec_`")]
    Encoding(usize),
    /// One of them is too short to be safe.
    #[error("webhook secret {0} has fewer than {MIN_SECRET_BYTES} bytes")]
    TooShort(usize),
}

/// Why an event is not taken as the provider's. The text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("The headers webhook-id, webhook-timestamp and webhook-signature are required, once each.")]
    Missing,
    #[error("The webhook-timestamp is not a whole number of seconds within five minutes of now.")]
    Timestamp,
    #[error("No signature matches.")]
    Mismatch,
}

impl WebhookSecrets {
    /// Reads secrets of the form `whsec_` and base64 of 24 bytes or more, separated by spaces.
    ///
    /// # Errors
    /// If any of them has another form, or there is none; the number says which, from 1.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut keys = Vec::new();
        for (position, secret) in (1..).zip(text.split_ascii_whitespace()) {
            let encoded = secret.strip_prefix(PREFIX).ok_or(SecretError::Prefix(position))?;
            let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::Encoding(position))?;
            if bytes.len() < MIN_SECRET_BYTES {
                return Err(SecretError::TooShort(position));
            }
            keys.push(Hmac::new_from_slice(&bytes).map_err(|_| SecretError::Encoding(position))?);
        }
        if keys.is_empty() { Err(SecretError::Missing) } else { Ok(Self(keys)) }
    }

    /// Checks that `body` was signed with one of the secrets, not long before or after `now`, and
    /// returns the event's id. Signatures are compared in constant time.
    pub(super) fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<&'a [u8], SignatureError> {
        let id = only(headers, WEBHOOK_ID)?;
        let timestamp = only(headers, WEBHOOK_TIMESTAMP)?;
        let signatures = only(headers, WEBHOOK_SIGNATURE)?;
        let now_seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let sent_seconds: u64 = std::str::from_utf8(timestamp)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or(SignatureError::Timestamp)?;
        if now_seconds.abs_diff(sent_seconds) > TOLERANCE_SECONDS {
            return Err(SignatureError::Timestamp);
        }
        for key in &self.0 {
            let mut mac = key.clone();
            for part in [id, b".", timestamp, b".", body] {
                mac.update(part);
            }
            let expected = mac.finalize().into_bytes();
            // Signatures of other versions are not ours to check; they may stand beside ours.
            let matches = signatures
                .split(|byte| *byte == b' ')
                .filter_map(|signature| STANDARD.decode(signature.strip_prefix(b"v1,")?).ok())
                .fold(Choice::from(0), |matches, signature| matches | signature.ct_eq(&expected));
            if matches.into() {
                return Ok(id);
            }
        }
        Err(SignatureError::Mismatch)
    }
}

/// The one value of a header: sent twice, it would be unclear which one was signed.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], SignatureError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Ok(value.as_bytes()),
        (Some(_) | None, _) => Err(SignatureError::Missing),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    // The example that the specification publishes.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT_SECONDS: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(WEBHOOK_ID, id), (WEBHOOK_TIMESTAMP, timestamp), (WEBHOOK_SIGNATURE, signature)] {
            headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        }
        headers
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn verify(secrets: &str, signature: &str, body: &[u8], now: SystemTime) -> Result<(), SignatureError> {
        let secrets = WebhookSecrets::parse(secrets).expect("secrets");
        secrets.verify(&headers(ID, &SENT_SECONDS.to_string(), signature), body, now).map(|_| ())
    }

    #[test]
    fn the_published_example_verifies() {
        assert_eq!(verify(SECRET, SIGNATURE, BODY, at(SENT_SECONDS)), Ok(()));
        let secrets = WebhookSecrets::parse(SECRET).expect("a secret");
        let headers = headers(ID, &SENT_SECONDS.to_string(), SIGNATURE);
        assert_eq!(secrets.verify(&headers, BODY, at(SENT_SECONDS)), Ok(ID.as_bytes()));
    }

    #[test]
    fn any_secret_and_any_signature_will_do() {
        let both = format!("{OTHER_SECRET} {SECRET}");
        assert_eq!(verify(&both, SIGNATURE, BODY, at(SENT_SECONDS)), Ok(()));
        for beside in ["v1,AAAA", "v1,", "v1a,AAAA", "v2,x", "", "g0hM9SsE", "v1,not base64!"] {
            assert_eq!(verify(SECRET, &format!("{beside} {SIGNATURE}"), BODY, at(SENT_SECONDS)), Ok(()), "{beside}");
            assert_eq!(verify(SECRET, &format!("{SIGNATURE} {beside}"), BODY, at(SENT_SECONDS)), Ok(()), "{beside}");
        }
    }

    #[test]
    fn another_secret_body_or_signature_does_not() {
        let mismatch = Err(SignatureError::Mismatch);
        assert_eq!(verify(OTHER_SECRET, SIGNATURE, BODY, at(SENT_SECONDS)), mismatch);
        assert_eq!(verify(SECRET, SIGNATURE, br#"{"test":2432232314}"#, at(SENT_SECONDS)), mismatch);
        for signature in
            ["v1,", "v1", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", &SIGNATURE[3..], "v2,AAAA", " "]
        {
            assert!(verify(SECRET, signature, BODY, at(SENT_SECONDS)).is_err(), "{signature}");
        }
        // A prefix of the right signature is no signature.
        let short = STANDARD.encode(&STANDARD.decode(&SIGNATURE[3..]).expect("base64")[..16]);
        assert_eq!(verify(SECRET, &format!("v1,{short}"), BODY, at(SENT_SECONDS)), mismatch);
    }

    #[test]
    fn an_event_is_fresh_for_five_minutes_both_ways() {
        for (now, fresh) in [
            (SENT_SECONDS - 301, false),
            (SENT_SECONDS - 300, true),
            (SENT_SECONDS + 300, true),
            (SENT_SECONDS + 301, false),
            (0, false),
        ] {
            let expected = if fresh { Ok(()) } else { Err(SignatureError::Timestamp) };
            assert_eq!(verify(SECRET, SIGNATURE, BODY, at(now)), expected, "{now}");
        }
        let secrets = WebhookSecrets::parse(SECRET).expect("a secret");
        for timestamp in ["x", "-5", "+1614265330", "1614265330.0", "18446744073709551616", "1 2"] {
            let headers = headers(ID, timestamp, SIGNATURE);
            let verified = secrets.verify(&headers, BODY, at(SENT_SECONDS));
            assert_eq!(verified, Err(SignatureError::Timestamp), "{timestamp}");
        }
    }

    #[test]
    fn each_header_must_come_once() {
        let secrets = WebhookSecrets::parse(SECRET).expect("a secret");
        let whole = headers(ID, &SENT_SECONDS.to_string(), SIGNATURE);
        for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE] {
            let mut without = whole.clone();
            without.remove(name);
            assert_eq!(secrets.verify(&without, BODY, at(SENT_SECONDS)), Err(SignatureError::Missing), "{name}");
            let mut twice = whole.clone();
            let value = twice[name].clone();
            twice.append(name, value);
            assert_eq!(secrets.verify(&twice, BODY, at(SENT_SECONDS)), Err(SignatureError::Missing), "{name}");
        }
    }

    #[test]
    fn a_secret_has_one_form_and_is_never_shown() {
        for (text, error) in [
            ("", SecretError::Missing),
            (" ", SecretError::Missing),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Prefix(1)),
            ("whsec_not!base64", SecretError::Encoding(1)),
            ("whsec_", SecretError::TooShort(1)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLA==", SecretError::TooShort(1)),
        ] {
            assert_eq!(WebhookSecrets::parse(text).err(), Some(error), "{text}");
        }
        assert_eq!(WebhookSecrets::parse(&format!("{SECRET} x")).err(), Some(SecretError::Prefix(2)));
        let secrets = WebhookSecrets::parse(&format!("{SECRET} {OTHER_SECRET}")).expect("secrets");
        assert_eq!(format!("{secrets:?}"), "WebhookSecrets(2 hidden)");
    }

    proptest! {
        #[test]
        fn a_changed_body_never_verifies(place in 0..BODY.len(), change in 1..=255_u8) {
            let mut body = BODY.to_vec();
            body[place] ^= change;
            prop_assert_eq!(verify(SECRET, SIGNATURE, &body, at(SENT_SECONDS)), Err(SignatureError::Mismatch));
        }

        #[test]
        fn any_signature_is_refused_without_a_panic(signature in "[ -~]{0,80}") {
            prop_assume!(!signature.contains(SIGNATURE));
            prop_assert!(verify(SECRET, &signature, BODY, at(SENT_SECONDS)).is_err());
        }
    }
}
