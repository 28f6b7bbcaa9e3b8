//! How things are called in sentences for people.
//!
//! What does not belong here: what the sentences say.

use crate::history::Key;

/// A key, without the run's name before it.
pub(super) fn key_name(key: Key) -> String {
    format!("key {}", key.0)
}
