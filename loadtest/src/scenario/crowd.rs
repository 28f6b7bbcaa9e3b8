//! Crowds that goose drives: users who come one after the other, think, and go on until the time is up.
//!
//! What does not belong here: what they want.

use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use goose::GooseAttack;
use goose::config::GooseConfiguration;
use goose::goose::{GooseUser, Scenario, Transaction, TransactionFunction};

use super::{Stage, Trouble};
use crate::api::{Shop, Shopper, Shopping, shopper_client};
use crate::history::ScenarioName;

/// What the users of a crowd do.
pub(super) trait Crowd: Send + Sync + 'static {
    /// What a user may want, and how often out of the sum of all.
    fn wishes(&self) -> &'static [(&'static str, usize)];

    /// How long a user thinks between one wish and the next, at least and at most.
    fn think(&self) -> (Duration, Duration);

    /// Goes after the wish of this name.
    fn visit(
        &self,
        wish: &'static str,
        client: &mut Shopping<'_>,
        choices: &mut Rng,
    ) -> impl Future<Output = ()> + Send;
}

/// What a goose user keeps from one wish to the next.
struct Visitor {
    shopper: Shopper,
    choices: Rng,
}

/// Where goose keeps it, which wants to clone what it keeps.
#[derive(Clone)]
struct Pocket(Arc<Mutex<Option<Visitor>>>);

impl Pocket {
    fn take(&self) -> Option<Visitor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put_back(&self, visitor: Visitor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(visitor);
    }
}

/// Goose has one switch that stops it, for the whole process: one crowd at a time.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Lets a crowd in, for the stage's time.
pub(super) async fn run(name: ScenarioName, stage: &Stage, shop: &Shop, crowd: impl Crowd) -> Result<(), Trouble> {
    let _alone = ONE_AT_A_TIME.lock().await;
    if stage.stop.is_set() {
        return Ok(());
    }
    hush();
    let failed = |error: goose::GooseError| Trouble::Goose(error.to_string());
    let arguments = arguments(name, stage);
    let configuration = GooseConfiguration::parse_args_default(&arguments).map_err(failed)?;
    let scenario = script(name, stage, shop, crowd).map_err(failed)?;
    let attack = GooseAttack::initialize_with_config(configuration).map_err(failed)?.register_scenario(scenario);
    let stopped = async {
        stage.stop.wait().await;
        loop {
            // Goose forgets a stop that comes before it has begun.
            goose::trigger_killswitch("stopped by hand");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = Box::pin(attack.execute()) => done.map(drop).map_err(failed),
        () = stopped => Ok(()),
    }
}

fn arguments(name: ScenarioName, stage: &Stage) -> Vec<String> {
    let users = stage.users.max(1);
    let seconds = |duration: Duration| duration.as_secs_f64().round().max(1.0);
    let mut arguments = vec![
        "--no-telnet".to_owned(),
        "--no-websocket".to_owned(),
        "--quiet".to_owned(),
        "--no-print-metrics".to_owned(),
        "--host".to_owned(),
        stage.base_url.clone(),
        "--users".to_owned(),
        users.to_string(),
        "--run-time".to_owned(),
        format!("{}s", seconds(stage.duration)),
        "--increase-rate".to_owned(),
        increase_rate(users, stage.ramp),
    ];
    if let Some(folder) = &stage.goose_reports {
        for kind in ["html", "json"] {
            arguments.push("--report-file".to_owned());
            arguments.push(folder.join(format!("goose-{name}.{kind}")).display().to_string());
        }
    }
    arguments
}

/// How many users come a second, as goose reads it.
fn increase_rate(users: u32, ramp: Duration) -> String {
    /// Goose does not go slower than one user a day.
    const SLOWEST: f64 = 0.000_012;
    // All at once is as fast as goose goes.
    let rate = f64::from(users) / ramp.as_secs_f64().max(0.1);
    format!("{:.6}", rate.max(SLOWEST))
}

fn script<C: Crowd>(name: ScenarioName, stage: &Stage, shop: &Shop, crowd: C) -> Result<Scenario, goose::GooseError> {
    let crowd = Arc::new(crowd);
    let (least, most) = crowd.think();
    let mut scenario = Scenario::new(name.name()).set_wait_time(least, most)?;
    let (at_the_door, shop) = (stage.clone(), shop.clone());
    let arrive: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let (stage, shop) = (at_the_door.clone(), shop.clone());
        Box::pin(async move {
            user.set_client_builder(shopper_client(shop.timeout())).await?;
            let choices = stage.choices(name as u64, user.weighted_users_index as u64);
            let visitor = Visitor { shopper: shop.shopper(), choices };
            user.set_session_data(Pocket(Arc::new(Mutex::new(Some(visitor)))));
            Ok(())
        })
    });
    scenario = scenario.register_transaction(Transaction::new(arrive).set_name("arrive").set_on_start());
    let stop = stage.stop.clone();
    let visit: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let (crowd, stop) = (Arc::clone(&crowd), stop.clone());
        Box::pin(async move {
            let Some(pocket) = user.get_session_data::<Pocket>().cloned() else { return Ok(()) };
            let Some(mut visitor) = pocket.take() else { return Ok(()) };
            if !stop.is_set() {
                // Drawn here, since goose draws from no seed.
                let wish = draw(crowd.wishes(), &mut visitor.choices);
                crowd.visit(wish, &mut visitor.shopper.with(user), &mut visitor.choices).await;
            }
            pocket.put_back(visitor);
            Ok(())
        })
    });
    Ok(scenario.register_transaction(Transaction::new(visit).set_name("visit")))
}

/// One of the wishes, each as often as its weight says.
fn draw(wishes: &[(&'static str, usize)], choices: &mut Rng) -> &'static str {
    let all: usize = wishes.iter().map(|(_, weight)| weight).sum();
    let mut number = choices.usize(..all.max(1));
    for (wish, weight) in wishes {
        match number.checked_sub(*weight) {
            None => return wish,
            Some(rest) => number = rest,
        }
    }
    ""
}

/// Hears everything and says nothing.
struct Silence;

impl log::Log for Silence {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        false
    }

    fn log(&self, _: &log::Record<'_>) {}

    fn flush(&self) {}
}

/// Goose writes each request that fails to the terminal, where the progress is; the history has them all.
fn hush() {
    static ONCE: Once = Once::new();
    // Where somebody else listens already, goose does not write to the terminal either.
    ONCE.call_once(|| drop(log::set_logger(&Silence)));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{draw, increase_rate};

    #[test]
    fn users_come_however_slowly() {
        for (users, ramp, rate) in
            [(1, 3_600, "0.000278"), (1, 10_000_000, "0.000012"), (100, 0, "1000.000000"), (3, 2, "1.500000")]
        {
            assert_eq!(increase_rate(users, Duration::from_secs(ramp)), rate);
        }
    }

    #[test]
    fn wishes_come_by_their_weight() {
        let mut choices = fastrand::Rng::with_seed(1);
        let drawn: Vec<_> =
            (0..1_000).map(|_| draw(&[("often", 9), ("never", 0), ("seldom", 1)], &mut choices)).collect();
        let count = |name| drawn.iter().filter(|wish| **wish == name).count();
        assert_eq!(count("often") + count("seldom"), 1_000);
        assert!((20..300).contains(&count("seldom")), "{}", count("seldom"));
    }
}
