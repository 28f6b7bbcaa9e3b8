//! How often one client may call: a quota for each address and one for each token of a storefront.
//!
//! What does not belong here: which address a client has (`client_address.rs`), and which routes are counted
//! (`routes.rs`). Memory is bounded whatever anybody sends: there is one state for each token, and a fixed number of
//! states for addresses, which each address finds by a hash with a key of this process, so that nobody can choose with whom it shares one.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};
use http::HeaderMap;

use super::client_address::{ClientNetwork, TrustedProxies};
use super::errors::Problem;
use crate::telemetry::HttpMetrics;
use crate::telemetry::labels::QuotaKind;

/// States for addresses: 8 MiB. Of two clients picked at random one in a million pairs shares a state, so a crowd of
/// ten thousand that uses up its quotas takes one bystander in a hundred with it.
const ADDRESS_STATES: usize = 1 << 20;

/// How often clients may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaSettings {
    /// Requests a second of one address; as many may come at once. `None`: any number.
    pub address_requests_per_second: Option<NonZeroU32>,
    /// Requests a second with one token of a storefront; as many may come at once. `None`: any number.
    pub token_requests_per_second: Option<NonZeroU32>,
    /// Whose word is taken for a client's address.
    pub trusted_proxies: TrustedProxies,
}

impl QuotaSettings {
    /// Whether anything is counted at all.
    pub(super) const fn are_set(&self) -> bool {
        self.address_requests_per_second.is_some() || self.token_requests_per_second.is_some()
    }
}

type Limiter<S> = RateLimiter<<S as StateStore>::Key, S, DefaultClock, NoOpMiddleware>;

/// What is left of each client's quota.
#[derive(Debug)]
pub(super) struct Quotas {
    addresses: Option<Limiter<States>>,
    /// By the position of the token.
    tokens: Vec<Limiter<InMemoryState>>,
    trusted_proxies: TrustedProxies,
    metrics: HttpMetrics,
}

impl Quotas {
    /// `None` if there is no quota at all.
    pub(super) fn new(settings: &QuotaSettings, tokens: usize, metrics: &HttpMetrics) -> Option<Self> {
        let addresses = settings.address_requests_per_second.map(|most| {
            RateLimiter::new(Quota::per_second(most), States::new(ADDRESS_STATES), DefaultClock::default())
        });
        let tokens: Vec<_> = settings.token_requests_per_second.map_or_else(Vec::new, |most| {
            std::iter::repeat_with(|| RateLimiter::direct(Quota::per_second(most))).take(tokens).collect()
        });
        if addresses.is_none() && tokens.is_empty() {
            return None;
        }
        Some(Self { addresses, tokens, trusted_proxies: settings.trusted_proxies.clone(), metrics: metrics.clone() })
    }

    /// Counts a request of whoever is at the other end.
    pub(super) fn admit_address(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(addresses) = &self.addresses else { return Ok(()) };
        let client = ClientNetwork::from(self.trusted_proxies.client_of(peer, headers));
        addresses.check_key(&client).map_err(|until| {
            tracing::debug!(%client, "an address has used up its quota");
            self.used_up(QuotaKind::Address, &until, addresses.clock())
        })
    }

    /// Counts a request with the token at this position.
    pub(super) fn admit_token(&self, token: usize) -> Result<(), Problem> {
        let Some(limiter) = self.tokens.get(token) else { return Ok(()) };
        limiter.check().map_err(|until| self.used_up(QuotaKind::Token, &until, limiter.clock()))
    }

    fn used_up<I: Reference>(&self, kind: QuotaKind, until: &NotUntil<I>, clock: &impl Clock<Instant = I>) -> Problem {
        self.metrics.rate_limited.of(kind).inc();
        Problem::RateLimited { retry_after_seconds: whole_seconds(until.wait_time_from(clock.now())) }
    }
}

/// Rounded up, and 1 at least: a client that comes back earlier is refused again.
fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}

/// A fixed number of states, found by a hash.
#[derive(Debug)]
struct States {
    states: Box<[InMemoryState]>,
    hasher: RandomState,
}

impl States {
    fn new(count: usize) -> Self {
        Self {
            states: std::iter::repeat_with(InMemoryState::default).take(count).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl StateStore for States {
    type Key = ClientNetwork;

    fn measure_and_replace<T, F, E>(&self, key: &Self::Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let count = self.states.len() as u64;
        // Less than the length of a slice, so it is an index.
        let index = usize::try_from(self.hasher.hash_one(key) % count).unwrap_or_default();
        self.states[index].measure_and_replace(&NotKeyed::NonKey, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn quotas(addresses: u32, tokens: u32, trusted: &str) -> Option<Quotas> {
        let settings = QuotaSettings {
            address_requests_per_second: NonZeroU32::new(addresses),
            token_requests_per_second: NonZeroU32::new(tokens),
            trusted_proxies: TrustedProxies::parse(trusted).expect("networks"),
        };
        Quotas::new(&settings, 2, &Metrics::new().http)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn without_a_setting_there_is_nothing_to_ask() {
        assert!(quotas(0, 0, "10.0.0.0/8").is_none());
        assert!(quotas(1, 0, "").is_some() && quotas(0, 1, "").is_some());
    }

    #[test]
    fn each_address_has_a_quota_of_its_own() {
        let quotas = quotas(3, 0, "").expect("a quota");
        let headers = HeaderMap::new();
        for _ in 0..3 {
            assert_eq!(quotas.admit_address(address("192.0.2.1"), &headers), Ok(()));
        }
        let refused = quotas.admit_address(address("192.0.2.1"), &headers);
        assert_eq!(refused, Err(Problem::RateLimited { retry_after_seconds: 1 }));
        assert_eq!(quotas.admit_address(address("192.0.2.2"), &headers), Ok(()));
        assert_eq!(quotas.metrics.rate_limited.of(QuotaKind::Address).get(), 1);
        // Tokens have none.
        assert_eq!(quotas.admit_token(0), Ok(()));
    }

    #[test]
    fn each_token_has_a_quota_of_its_own() {
        let quotas = quotas(0, 2, "").expect("a quota");
        assert_eq!((quotas.admit_token(1), quotas.admit_token(1)), (Ok(()), Ok(())));
        assert!(quotas.admit_token(1).is_err());
        assert_eq!(quotas.admit_token(0), Ok(()));
        assert_eq!(quotas.metrics.rate_limited.of(QuotaKind::Token).get(), 1);
    }

    #[test]
    fn any_number_of_addresses_shares_a_fixed_number_of_states() {
        let limiter: Limiter<States> =
            RateLimiter::new(Quota::per_second(NonZeroU32::MIN), States::new(4), DefaultClock::default());
        let admitted = (0..=255).filter(|last| {
            let client = ClientNetwork::from(IpAddr::from([192, 0, 2, *last]));
            limiter.check_key(&client).is_ok()
        });
        // A second that passes meanwhile admits four more.
        let admitted = admitted.count();
        assert!((1..128).contains(&admitted), "{admitted}");
        assert_eq!(limiter.into_state_store().states.len(), 4);
    }

    #[test]
    fn a_wait_is_whole_seconds() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
