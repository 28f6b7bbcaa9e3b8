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

/// Schemes after which it is known where a password stands.
const SCHEMES: [&str; 4] = ["mysql", "mariadb", "postgres", "postgresql"];

impl DatabaseUrl {
    /// The URL without its password; `None` where it is not certain which part of it that would be.
    ///
    /// Everything between the user's name and the last `@` is left out: a password that should have
    /// been escaped and was not is hidden, too.
    pub fn masked(&self) -> Option<String> {
        if self.0.starts_with("sqlite:") {
            return Some(self.0.clone());
        }
        let (scheme, rest) = self.0.split_once("://")?;
        if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            return None;
        }
        let Some((user_info, place)) = rest.rsplit_once('@') else {
            let authority = rest.split(['/', '?']).next().unwrap_or(rest);
            // What looks like a port may be the password of someone who left out the host.
            return (!authority.contains(':')).then(|| format!("{scheme}://{}", without_values(rest)));
        };
        let is_name = |text: &str| text.chars().all(|it| it.is_ascii_alphanumeric() || "_-.".contains(it));
        let (user, password) = match user_info.split_once(':') {
            Some((user, _password)) => (user, ":***"),
            None => (user_info, ""),
        };
        let user = if is_name(user) { user } else { "***" };
        Some(format!("{scheme}://{user}{password}@{}", without_values(place)))
    }
}

/// The place of a database without its parameters, unless all of them are known to be no secrets.
fn without_values(place: &str) -> String {
    match place.split_once('?') {
        Some((place, parameters))
            if !parameters.split('&').all(|it| it.starts_with("ssl") || it.starts_with("socket")) =>
        {
            format!("{place}?***")
        }
        Some(_) | None => place.to_owned(),
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked().as_deref().unwrap_or("(a URL that is not shown)"))
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
            ("MySQL://app:swordfish@db/shop", "MySQL://app:***@db/shop"),
            ("postgres://app:swordfish@db/shop", "postgres://app:***@db/shop"),
            ("mysql://app%3Aswordfish@db/shop", "mysql://***@db/shop"),
            ("mysql://app@db/shop?password=swordfish", "mysql://app@db/shop?***"),
        ] {
            let url = DatabaseUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
        }
    }

    #[test]
    fn what_cannot_be_masked_for_certain_is_not_shown() {
        for url in [
            "root:swordfish@h/x",
            "mysql:root:swordfish@h/x",
            "mysql:/root:swordfish@h/x",
            "mysql//root:swordfish@h/x",
            "mysqll://root:swordfish@h/x",
            "root:swordfish@h://x",
            "mysql://root:swordfish/x",
            "mysql://root:12345/x",
            "swordfish",
        ] {
            assert_eq!(DatabaseUrl::new(url).masked(), None, "{url}");
            assert!(!DatabaseUrl::new(url).to_string().contains("swordfish"), "{url}");
        }
    }
}
