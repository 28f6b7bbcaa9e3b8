//! What the harness proves itself with.
//!
//! It never gets into a history, a report or a log: its `Debug` shows nothing.

/// Secrets, each only if the server asks for it.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The operators' bearer token (`ADMIN_TOKEN`).
    pub admin_token: Option<String>,
    /// The storefronts' bearer token (`API_TOKEN`).
    pub api_token: Option<String>,
    /// What webhooks are signed with (`WEBHOOK_SECRET`): of several, separated by spaces, the first.
    pub webhook_secret: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[test]
    fn nothing_is_shown() {
        let secret = || Some("tell-nobody".to_owned());
        let secrets = Secrets { admin_token: secret(), api_token: secret(), webhook_secret: secret() };
        assert!(!format!("{secrets:?}").contains("tell"));
    }
}
