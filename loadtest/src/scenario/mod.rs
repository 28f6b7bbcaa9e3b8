//! The scenarios: who buys what, when, and what goes wrong on the way.
//!
//! Each has products of its own, ends by settling what it left open, and judges nothing: what it did and
//! saw is in the history. All choices come from the run's seed. What does not belong here: the server, the
//! products' making, and clean-up (those are the target's and the run's).

mod boundary;
mod chaos;
mod crowd;
mod duplicates;
mod expiry;
mod many;
mod parts;
mod plan;
mod retries;
mod rush;
mod settle;
mod soldout;
mod stage;

pub use plan::{Sizes, can_be_sold_out, expected, left_out, products};
pub use stage::{Notes, Stage, Stop};

use crate::api::{SetupError, Shop};
use crate::history::ScenarioName;
use crate::rig::RigError;

/// What kept a scenario from doing what it is for.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No request can be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It was given nothing to sell.
    #[error("there is no product to sell")]
    NothingToSell,
    /// Goose did not run.
    #[error("goose: {0}")]
    Goose(String),
    /// A server or a proxy did not start.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// It is for private servers, and this is none.
    #[error("there is no private server to break")]
    NotPrivate,
    /// Outcomes stayed unknown, so what they did cannot be judged.
    #[error("{count} requests were repeated for {seconds} s, and still nobody knows what they did")]
    Unsettled {
        /// How many.
        count: usize,
        /// How long they were repeated, in seconds.
        seconds: u64,
    },
    /// Clients asked in vain.
    #[error("the server gave no answer that says anything for {seconds} s")]
    Silent {
        /// How long, in seconds.
        seconds: u64,
    },
    /// A part of the harness panicked.
    #[error("the harness failed: {0}")]
    Failed(#[from] tokio::task::JoinError),
}

/// Runs a scenario to its end, or to an early one if it is told to stop.
///
/// # Errors
/// If it could not do what it is for.
pub async fn run(name: ScenarioName, stage: Stage) -> Result<(), Trouble> {
    if stage.products.is_empty() {
        return Err(Trouble::NothingToSell);
    }
    // A server that does not answer ends this scenario, and no other.
    let stage = Stage { stop: stage.stop.child(), ..stage };
    let shop = stage.shop(name)?;
    // Chaos is there for servers that do not answer, until it settles.
    if name != ScenarioName::Chaos {
        shop.pulse().watch();
    }
    let ran = act(name, &stage, &shop).await;
    if shop.pulse().has_stopped() {
        return Err(Trouble::Silent { seconds: stage.silence().as_secs() });
    }
    ran
}

async fn act(name: ScenarioName, stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    match name {
        ScenarioName::Boundary => boundary::run(stage, shop).await?,
        ScenarioName::Rush => rush::run(stage, shop).await?,
        ScenarioName::Duplicates => duplicates::run(stage, shop).await?,
        ScenarioName::Expiry => expiry::run(stage, shop).await?,
        ScenarioName::Retries => retries::run(stage, shop).await?,
        ScenarioName::Many => many::run(stage, shop).await?,
        ScenarioName::Soldout => soldout::run(stage, shop).await?,
        ScenarioName::Chaos => chaos::run(stage, shop).await?,
    }
    shop.pulse().watch();
    settle::settle(name, stage, shop).await
}
