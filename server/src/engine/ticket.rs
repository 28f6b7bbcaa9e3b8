//! One command on its way through the engine, and the caller that waits for its answer.
//!
//! The two share one atomic state, so that at any moment it is decided who may still say what: as
//! long as a command is not decided its caller can withdraw it, and surely nothing happened; from
//! then on only the outcome of the commit tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sale::{Command, Key, Outcome, ProductId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Rejection;
use super::waiting::{Class, Waiting};
use crate::telemetry::RequestName;

/// What the engine says to a command.
pub(super) type Answer = Result<Outcome, Rejection>;

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const DECIDED: u8 = 2;
const WITHDRAWN: u8 = 3;
const LEFT: u8 = 4;

/// The shared state of a command and its caller.
#[derive(Debug)]
pub(super) struct Claim(AtomicU8);

impl Claim {
    fn step(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A command that waits in a queue or goes with a batch.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) product_id: ProductId,
    pub(super) command: Command,
    pub(super) class: Class,
    /// When it came.
    pub(super) queued_at: Instant,
    /// From then on it must not be carried out any more; `None`: work that is nobody's request.
    pub(super) deadline: Option<Instant>,
    /// Whether the ids of the rows that it may make are set.
    pub(super) has_ids: bool,
    /// The request that it serves, for what is logged of it.
    pub(super) request: Option<RequestName>,
    claim: Arc<Claim>,
    reply: oneshot::Sender<Answer>,
}

/// Which of its caller's keys a command carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyName {
    Hold(Key),
    Order(Key),
    Payment(Key),
}

impl Ticket {
    /// A ticket for the queue, and the caller's side of it.
    pub(super) fn new(
        product_id: ProductId,
        command: Command,
        class: Class,
        deadline: Option<Instant>,
        waiting: &Arc<Waiting>,
    ) -> (Self, Caller) {
        let (reply, answer) = oneshot::channel();
        let claim = Arc::new(Claim(AtomicU8::new(QUEUED)));
        let caller = Caller { answer: Some(answer), claim: Arc::clone(&claim), class, waiting: Arc::clone(waiting) };
        let ticket = Self {
            product_id,
            command,
            class,
            queued_at: Instant::now(),
            deadline,
            has_ids: false,
            request: RequestName::current(),
            claim,
            reply,
        };
        (ticket, caller)
    }

    /// The key that must not be at work for two products at once.
    pub(super) fn key_name(&self) -> Option<KeyName> {
        match &self.command {
            Command::PlaceHold { key, .. } => key.clone().map(KeyName::Hold),
            Command::RedeemHold { key, .. } => key.clone().map(KeyName::Order),
            Command::SettlePayment { key, .. } => Some(KeyName::Payment(key.clone())),
            Command::GiveBackHold { .. }
            | Command::ExpireHolds { .. }
            | Command::CancelUnpaidOrders { .. }
            | Command::Restock { .. }
            | Command::Suspend { .. }
            | Command::Resume { .. } => None,
        }
    }

    /// Whether it is a wish for units of its product and names nothing else, no key either: then there is nothing to
    /// be loaded for it but the product's row. One whose transaction is recorded is not plain: it must be known when
    /// the recording begins.
    pub(super) fn is_plain_hold(&self) -> bool {
        let is_recorded = || self.request.as_ref().is_some_and(|request| request.recorded().is_some());
        matches!(self.command, Command::PlaceHold { key: None, .. }) && !self.has_ids && !is_recorded()
    }

    /// Out of the queue, into a batch that takes about `flight`. `false`: its caller withdrew it, or is about to, since
    /// its deadline has come; or it is a wish that would be fulfilled when nobody waits for it any more, and keep
    /// units from others.
    pub(super) fn take(&self, now: Instant, flight: Duration) -> bool {
        let needs = if self.class == Class::Hold { flight } else { Duration::ZERO };
        !self.is_late(now + needs) && self.claim.step(QUEUED, TAKEN)
    }

    /// Back from a batch into the queue. `false`: its caller withdrew it.
    pub(super) fn put_back(&self) -> bool {
        self.claim.step(TAKEN, QUEUED)
    }

    /// From here on its caller cannot withdraw it. `false`: it did, or its deadline has come.
    pub(super) fn claim(&self, now: Instant) -> bool {
        !self.is_late(now) && self.claim.step(TAKEN, DECIDED)
    }

    /// Its transaction was surely rolled back. `false`: its caller left without an answer.
    pub(super) fn unclaim(&self) -> bool {
        self.claim.step(DECIDED, TAKEN)
    }

    /// Whether its caller withdrew it or left, or will as soon as it looks at the clock.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        matches!(self.claim.0.load(Ordering::Acquire), WITHDRAWN | LEFT) || self.is_late(now)
    }

    /// A busy process wakes a caller later than at its deadline; its command must not be carried out meanwhile.
    /// Dropped unanswered it tells its caller at once that nothing happened.
    fn is_late(&self, at: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= at)
    }

    /// Sends the answer; a caller that is gone does not get it.
    pub(super) fn answer(self, answer: Answer) {
        // The caller may be gone; then nobody is left to tell.
        let _ = self.reply.send(answer);
    }
}

/// The side of a ticket that waits for the answer. Dropped, it withdraws the command if that is
/// still possible.
#[derive(Debug)]
pub(super) struct Caller {
    answer: Option<oneshot::Receiver<Answer>>,
    claim: Arc<Claim>,
    class: Class,
    waiting: Arc<Waiting>,
}

/// How a caller that waits no longer left its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It will not be run: surely nothing happened.
    Withdrawn,
    /// It may have been committed.
    Undecided,
}

/// What a caller got.
#[derive(Debug)]
pub(super) enum Waited {
    Answered(Answer),
    Left(Left),
}

impl Caller {
    /// Waits for the answer, at most until `deadline`.
    pub(super) async fn wait(mut self, deadline: Option<Instant>) -> Waited {
        let Some(answer) = self.answer.take() else { return Waited::Left(Left::Undecided) };
        let answered = match deadline {
            Some(deadline) => {
                let Ok(answered) = tokio::time::timeout_at(deadline, answer).await else {
                    return Waited::Left(self.leave());
                };
                answered
            }
            None => answer.await,
        };
        match answered {
            Ok(answer) => Waited::Answered(answer),
            // The ticket was dropped unanswered: the engine stopped.
            Err(_) => Waited::Left(self.leave()),
        }
    }

    /// Its ticket was refused at the queue, and was never counted there.
    pub(super) fn never_queued(self) {
        self.claim.step(QUEUED, WITHDRAWN);
    }

    fn leave(&self) -> Left {
        let mut state = self.claim.0.load(Ordering::Acquire);
        loop {
            let (next, left) = match state {
                QUEUED | TAKEN => (WITHDRAWN, Left::Withdrawn),
                DECIDED => (LEFT, Left::Undecided),
                WITHDRAWN => return Left::Withdrawn,
                _ => return Left::Undecided,
            };
            // It may go from the queue into a batch, or back, at any moment.
            match self.claim.0.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(QUEUED) => {
                    self.waiting.leave(self.class);
                    return left;
                }
                Ok(_) => return left,
                Err(now) => state = now,
            }
        }
    }
}

impl Drop for Caller {
    /// A caller that hangs up before its command is decided withdraws it.
    fn drop(&mut self) {
        self.leave();
    }
}
