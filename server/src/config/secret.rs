//! Values that must not be seen: secrets, and database URLs with a password in them.
//!
//! What belongs here: the types that keep such a value out of logs, errors and debug output. What
//! does not: where the values come from (`source`).

use std::fmt;

/// A secret. It can be read, but neither printed nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that compares or signs with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Where the database is. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL as it was set.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its password, for opening the database.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Everything between the user's name and the last `@` is left out: a password that should have been
/// escaped and was not is hidden, too.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(&self.0) };
        let Some((user_info, place)) = rest.rsplit_once('@') else { return f.write_str(&self.0) };
        match user_info.split_once(':') {
            Some((user, _password)) => write!(f, "{scheme}://{user}:***@{place}"),
            None => write!(f, "{scheme}://{user_info}@{place}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("swordfish");
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(secret.expose(), "swordfish");
    }

    #[test]
    fn a_database_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("sqlite:holdfast.db", "sqlite:holdfast.db"),
            ("mysql://app:swordfish@db:3306/shop", "mysql://app:***@db:3306/shop"),
            ("mysql://app:sword@fi/sh?x@db/shop", "mysql://app:***@db/shop"),
            ("mysql://app:@db/shop", "mysql://app:***@db/shop"),
            ("mysql://app@db/shop?ssl-mode=REQUIRED", "mysql://app@db/shop?ssl-mode=REQUIRED"),
            ("mysql://db/shop", "mysql://db/shop"),
        ] {
            let url = DatabaseUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
        }
    }
}
