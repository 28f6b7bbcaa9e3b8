//! The bugs that can be planted, one at a time.
//!
//! What belongs here: their names, and what each does, in a sentence. What does not: how. That is where
//! the right server would do the right thing, with the name of the fault beside it.

use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($fault:ident $name:literal $bug:literal)+) => {
        /// A bug to plant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $bug] $fault,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$fault,)+];

            /// Its name in `HOLDFAST_FAULT`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)+ }
            }

            /// What is wrong, for people.
            pub const fn bug(self) -> &'static str {
                match self { $(Self::$fault => $bug,)+ }
            }
        }
    };
}

faults! {
    // Units that are sold twice.
    CheckThenWrite "check_then_write" "Looks for room under one lock and takes it under another."
    LostUpdate "lost_update" "Writes the counter that it read before others wrote it."
    OffByOne "off_by_one" "Sells one unit more than there are."
    QuantityIgnored "quantity_ignored" "Counts holds where it should count their units."
    ExpiryReturnsRedeemed "expiry_returns_redeemed" "Expiry gives back the units of holds that were redeemed."
    ReleaseTwice "release_twice" "A hold that is given back again gives its units back again."
    ReleaseRedeemed "release_redeemed" "A hold that became an order can be given back."
    DuplicateAppliedTwice "duplicate_applied_twice" "A webhook that comes again takes effect again."
    ContradictionMovesUnits "contradiction_moves_units" "A failure after the success leaves the order paid, but its units come back."
    TwoOrdersFromOneHold "two_orders_from_one_hold" "Looks at a hold under one lock and redeems it under another."
    ExpiredRedeemed "expired_redeemed" "Redeems a hold past its deadline while its units are there."

    // Units that nobody can buy.
    OffByOneShort "off_by_one_short" "Never sells the last unit."
    ExpiredKeepsUnits "expired_keeps_units" "An expired hold keeps its units."
    ExpiryBySweepOnly "expiry_by_sweep_only" "An expired hold keeps its units until a sweep comes by, once in two seconds."
    CancelledStillCounted "cancelled_still_counted" "The units of a cancelled order do not come back."
    SoldOutAfterRelease "sold_out_after_release" "Once sold out, it says so for a while, whatever is given back."
    SoldOutNeighbour "sold_out_neighbour" "Remembers what is sold out in a table of sixteen places, by the id's remainder."
    EarlyExpiry "early_expiry" "A hold expires a second before its deadline."

    // Orders and payments.
    LastWebhookWins "last_webhook_wins" "The latest news of a payment decides, whatever came before."
    LateSuccessPaysCancelled "late_success_pays_cancelled" "A success after the cancellation makes the order paid."
    PendingApplied "pending_applied" "Takes `pending` for a success."
    PendingUsesKey "pending_uses_key" "`pending` uses up the key of the news that follows."
    KeyOnTwoOrders "key_on_two_orders" "A payment key is unique for an order, not for all."
    RefusedEventUsesKey "refused_event_uses_key" "An event for an unknown order uses up its key."
    WindowCancelsPaid "window_cancels_paid" "The end of the payment window cancels paid orders too."

    // Retries.
    ReplayWithOtherBody "replay_with_other_body" "The same key with another body gets the first answer."
    ReplayMakesSecondHold "replay_makes_second_hold" "The key of a hold is not looked at."
    ReplayRace "replay_race" "Looks for the key of a hold under one lock and writes it under another."
    ReplayNotFirstAnswer "replay_not_first_answer" "A replay shows the order as it is, not as it was first shown."
    KeysLostOnRestart "keys_lost_on_restart" "Keys are kept in memory only."
    DoneButRefused "done_but_refused" "Now and then places a hold and answers 503 `overloaded`, as if it had not."

    // Durability and reads.
    AckBeforeDurable "ack_before_durable" "Answers first, and writes up to a tenth of a second later."
    IdsReusedAfterRestart "ids_reused_after_restart" "After a crash the last ids are given again."
    StaleReads "stale_reads" "Shows a product as it was up to a tenth of a second ago."
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// There is no fault of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HOLDFAST_FAULT: there is no fault {0:?}")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.iter().copied().find(|fault| fault.name() == name);
        found.ok_or_else(|| UnknownFault(name.to_owned()))
    }
}
