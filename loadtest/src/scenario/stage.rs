//! What a scenario is given to play on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::api::{Pulse, Requests, Secrets, SetupError, Shop};
use crate::history::{Limits, ProductUnderTest, Recorder, ScenarioName};
use crate::target::Private;

/// What a scenario is given to play on.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Takes down what happens.
    pub recorder: Recorder,
    /// The server, without a slash at the end.
    pub base_url: String,
    /// What the server knows the harness by.
    pub secrets: Arc<Secrets>,
    /// The run's name, with which keys begin: visible ASCII.
    pub run: String,
    /// The server's limits.
    pub limits: Limits,
    /// What it sells, as [`super::products`] asked for, or fewer that were there.
    pub products: Vec<ProductUnderTest>,
    /// Users of a sustained scenario, and clients of a burst.
    pub users: u32,
    /// How long a sustained scenario goes on.
    pub duration: Duration,
    /// In what time its users arrive.
    pub ramp: Duration,
    /// What all choices are drawn from.
    pub seed: u64,
    /// Whether everything is made small enough to be over within seconds.
    pub quick: bool,
    /// How long an outcome or a deadline may be waited for.
    pub max_wait: Duration,
    /// How long a client waits for an answer.
    pub request_timeout: Duration,
    /// Whether it is to end soon.
    pub stop: Stop,
    /// The server, if it may be broken.
    pub private: Option<Arc<Private>>,
    /// The folder for goose's own reports.
    pub goose_reports: Option<PathBuf>,
    /// Who is told what it does.
    pub notes: Notes,
}

impl Stage {
    /// What its clients share.
    pub(super) fn shop(&self, name: ScenarioName) -> Result<Shop, SetupError> {
        let shop = Shop::new(self.recorder.clone(), name, self.requests(&self.base_url)?, self.request_timeout)?;
        Ok(shop.with_pulse(Pulse::new(self.silence(), self.stop.0.clone())))
    }

    /// How long clients ask in vain before the server is given up.
    pub(super) fn silence(&self) -> Duration {
        self.sized(Duration::from_secs(10), Duration::from_secs(30))
    }

    /// The same shop, reached by way of another address, such as a proxy's.
    pub(super) fn detour(&self, shop: &Shop, base_url: &str) -> Result<Shop, SetupError> {
        shop.by_way_of(self.requests(base_url)?)
    }

    fn requests(&self, base_url: &str) -> Result<Arc<Requests>, SetupError> {
        Requests::new(base_url, &self.run, &self.secrets).map(Arc::new)
    }

    /// The product of this number, or one that stands in for it.
    pub(super) fn product(&self, number: usize) -> ProductUnderTest {
        // `run` refuses a stage without products.
        self.products[number % self.products.len()]
    }

    /// Choices of their own for client `number` of a part of the scenario.
    pub(super) fn choices(&self, part: u64, number: u64) -> fastrand::Rng {
        // Seeds that differ in one bit only would begin alike.
        let mut mixed = fastrand::Rng::with_seed(self.seed ^ (part << 32) ^ number);
        mixed.fork()
    }

    /// `quick` in a quick run, `whole` in any other.
    pub(super) fn sized<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// Tells scenarios to end soon. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// One that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that is set with this one, and can be set without it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Sets it, for good.
    pub fn set(&self) {
        self.0.cancel();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is set.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Waits for `pause`; false if it was cut short because the stop is set.
    pub async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.wait() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Tells people what a scenario does. Cheap to clone.
#[derive(Clone)]
pub struct Notes(Arc<dyn Fn(&str) + Send + Sync>);

impl Notes {
    /// `say` is called with each note.
    pub fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        (self.0)(text);
    }
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Notes")
    }
}
