//! The label values of metrics, as enums: a value that is not listed here cannot be counted, so the
//! number of time series is bounded, and each starts at 0 instead of appearing with its first event.
//!
//! What belongs here: names, and how refusals of `sale` map to them. What does not: metrics.

use sale::{Invariant, PaymentEffect, Refusal};

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// How many values there are.
    const COUNT: usize;

    /// Every value, each at its index.
    fn all() -> impl Iterator<Item = Self>;

    /// The value as Prometheus shows it.
    fn name(self) -> &'static str;

    /// The place of this value in [`Label::all`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident { $($(#[$value_doc:meta])* $value:ident = $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $label {
            $($(#[$value_doc])* $value,)*
        }

        impl Label for $label {
            const COUNT: usize = [$($name,)*].len();

            fn all() -> impl Iterator<Item = Self> {
                [$(Self::$value,)*].into_iter()
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)*
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

labels! {
    /// The method of a request, as OpenTelemetry names it: a bounded set, so that no caller can make up new ones.
    HttpMethod {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// DELETE.
        Delete = "DELETE",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// OPTIONS.
        Options = "OPTIONS",
        /// Any other.
        Other = "_OTHER",
    }

    /// Why a connection was ended that a client still had open.
    ConnectionCut {
        /// There were as many as may be open.
        OverLimit = "over_limit",
        /// No request came.
        Silent = "silent",
        /// The head of a request came too slowly.
        SlowHead = "slow_head",
    }

    /// Whose quota of requests was used up.
    QuotaKind {
        /// A client's address.
        Address = "address",
        /// A token of a storefront.
        Token = "token",
    }

    /// What the rules said to a request for a hold.
    HoldOutcome {
        /// It was placed.
        Placed = "placed",
        /// An earlier request with its key had placed it.
        Replayed = "replayed",
        /// The units were not there.
        InsufficientStock = "insufficient_stock",
        /// The product takes no new holds.
        ProductSuspended = "product_suspended",
        /// There is no such product.
        ProductUnknown = "product_unknown",
        /// More units than one hold may have.
        QuantityOverLimit = "quantity_over_limit",
        /// Its key was used with another body.
        KeyReused = "idempotency_key_reused",
    }

    /// What the rules said to a request for an order.
    OrderOutcome {
        /// It was made.
        Placed = "placed",
        /// An earlier request with its key had made it.
        Replayed = "replayed",
        /// The hold's deadline had come.
        HoldExpired = "hold_expired",
        /// The hold's units had gone back.
        HoldReleased = "hold_released",
        /// The hold was an order already.
        HoldAlreadyRedeemed = "hold_already_redeemed",
        /// There is no such hold.
        HoldUnknown = "hold_unknown",
        /// Its key was used with another body.
        KeyReused = "idempotency_key_reused",
    }

    /// What the rules, or the check of its form, said to a payment event.
    PaymentOutcome {
        /// The order is paid.
        Paid = "paid",
        /// The order is cancelled, its units are back.
        Cancelled = "cancelled",
        /// It was recorded and changed nothing.
        NoEffect = "no_effect",
        /// Money was taken for a cancelled order.
        RefundRequired = "refund_required",
        /// It had been recorded before.
        Repeated = "repeated",
        /// Its key was used with other news.
        KeyConflict = "payment_key_conflict",
        /// There is no such order.
        OrderUnknown = "order_unknown",
        /// Its signature is missing, wrong, or too old.
        Unsigned = "unsigned",
        /// Its body or its key is not one of an event.
        Invalid = "validation_failed",
    }

    /// A part of a batch's transaction.
    Phase {
        /// Waiting for the products' locks.
        LockWait = "lock_wait",
        /// Loading the rest.
        Load = "load",
        /// Deciding, in memory.
        Decide = "decide",
        /// Writing the rows.
        Write = "write",
        /// The commit.
        Commit = "commit",
    }

    /// A bounded queue of the engine.
    Queue {
        /// Of holds.
        Holds = "holds",
        /// Of orders, payment events, releases, operators. What comes due is in neither.
        Others = "others",
    }

    /// Why a batch was run again.
    RetryReason {
        /// Locks in a circle.
        Deadlock = "deadlock",
        /// A lock was not granted in time.
        LockTimeout = "lock_timeout",
        /// A row changed since it was read.
        RowChanged = "row_changed",
        /// Another transaction wrote the same key.
        DuplicateKey = "duplicate_key",
        /// The connection broke, or its server could not write.
        Disconnected = "disconnected",
    }

    /// What a commit of unknown outcome turned out to be.
    Resolution {
        /// Committed.
        Committed = "committed",
        /// Not committed, so decided anew.
        NotCommitted = "not_committed",
    }

    /// Why a request was not served: it got no answer of the rules, or did not wait for one.
    TurnedAway {
        /// The queue was full.
        QueueFull = "queue_full",
        /// The queue moved too slowly.
        QueueSlow = "queue_slow",
        /// Too many reads were waiting.
        ReadsFull = "reads_full",
        /// Its deadline came while it waited.
        Deadline = "deadline",
        /// The caller hung up before its answer. What had begun by then was carried out.
        HungUp = "hung_up",
        /// The database could not be reached.
        DatabaseUnavailable = "database_unavailable",
        /// Its commit's outcome was not known in time.
        OutcomeUnknown = "outcome_unknown",
        /// The server is stopping.
        Stopping = "stopping",
        /// Something unforeseen.
        Internal = "internal",
    }

    /// An invariant that was found broken.
    BrokenInvariant {
        /// `0 <= stock_reserved <= stock_available`.
        CountersInRange = "I1",
        /// `stock_reserved` is the units of active holds.
        ReservedIsHeld = "I2",
        /// Units are conserved.
        UnitsConserved = "I3",
        /// A hold is used once.
        HoldUsedOnce = "I4",
        /// A payment settles once.
        SettledOnce = "I5",
        /// The ledger is a gapless chain.
        LedgerChained = "I6",
    }

    /// Why a product takes no new holds.
    SuspensionReason {
        /// It breaks an invariant.
        Inconsistent = "inconsistent",
        /// An operator said so.
        Operator = "operator",
    }

    /// A read that all who wait for it share.
    ReadKind {
        /// The stock of products.
        Stock = "stock",
        /// What describes products.
        Description = "description",
        /// Holds.
        Hold = "hold",
        /// Orders.
        Order = "order",
        /// Pages of products.
        ProductList = "product_list",
    }

    /// What a connection to the database is for.
    ConnectionPurpose {
        /// The transactions of batches.
        Batches = "batches",
        /// Shared reads.
        Reads = "reads",
        /// All else that writes, and long reads.
        Desk = "desk",
        /// Changes of the schema.
        Migration = "migration",
    }

    /// What became of a span that was to be exported.
    SpanFate {
        /// The collector took it.
        Exported = "exported",
        /// The collector refused it, or did not answer.
        Failed = "failed",
        /// Too many were waiting.
        Dropped = "dropped",
    }

    /// How a round of the reconciler ended.
    Round {
        /// Nothing was found.
        Clean = "clean",
        /// A breach was confirmed.
        Breach = "breach",
        /// It could not be finished.
        Failed = "failed",
    }
}

impl From<Invariant> for BrokenInvariant {
    fn from(invariant: Invariant) -> Self {
        match invariant {
            Invariant::CountersInRange => Self::CountersInRange,
            Invariant::ReservedIsHeld => Self::ReservedIsHeld,
            Invariant::UnitsConserved => Self::UnitsConserved,
            Invariant::HoldUsedOnce => Self::HoldUsedOnce,
            Invariant::SettledOnce => Self::SettledOnce,
            Invariant::LedgerChained => Self::LedgerChained,
        }
    }
}

impl From<PaymentEffect> for PaymentOutcome {
    fn from(effect: PaymentEffect) -> Self {
        match effect {
            PaymentEffect::Paid => Self::Paid,
            PaymentEffect::Cancelled => Self::Cancelled,
            PaymentEffect::NoEffect => Self::NoEffect,
            PaymentEffect::RefundRequired => Self::RefundRequired,
        }
    }
}

/// What became of a request: what the rules said, or why it was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<R> {
    /// It was served, if only with a refusal.
    Served(R),
    /// It was not.
    TurnedAway(TurnedAway),
}

impl<R: Label> Label for Ending<R> {
    const COUNT: usize = R::COUNT + TurnedAway::COUNT;

    fn all() -> impl Iterator<Item = Self> {
        R::all().map(Self::Served).chain(TurnedAway::all().map(Self::TurnedAway))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Served(outcome) => outcome.name(),
            Self::TurnedAway(reason) => reason.name(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Served(outcome) => outcome.index(),
            Self::TurnedAway(reason) => R::COUNT + reason.index(),
        }
    }
}

impl From<Refusal> for Ending<HoldOutcome> {
    fn from(refusal: Refusal) -> Self {
        Self::Served(match refusal {
            Refusal::InsufficientStock { .. } => HoldOutcome::InsufficientStock,
            Refusal::ProductSuspended => HoldOutcome::ProductSuspended,
            Refusal::KeyReused => HoldOutcome::KeyReused,
            Refusal::ProductUnknown => HoldOutcome::ProductUnknown,
            Refusal::QuantityOverLimit { .. } => HoldOutcome::QuantityOverLimit,
            // Nothing that a wish for units is answered with.
            Refusal::HoldUnknown
            | Refusal::OrderUnknown
            | Refusal::PaymentKeyConflict
            | Refusal::StockOverLimit
            | Refusal::HoldAlreadyRedeemed { .. }
            | Refusal::HoldExpired
            | Refusal::HoldReleased => return Self::TurnedAway(TurnedAway::Internal),
        })
    }
}

impl From<Refusal> for Ending<OrderOutcome> {
    fn from(refusal: Refusal) -> Self {
        Self::Served(match refusal {
            Refusal::HoldExpired => OrderOutcome::HoldExpired,
            Refusal::HoldReleased => OrderOutcome::HoldReleased,
            Refusal::HoldAlreadyRedeemed { .. } => OrderOutcome::HoldAlreadyRedeemed,
            Refusal::KeyReused => OrderOutcome::KeyReused,
            Refusal::HoldUnknown => OrderOutcome::HoldUnknown,
            // Nothing that a wish for an order is answered with.
            Refusal::ProductUnknown
            | Refusal::OrderUnknown
            | Refusal::PaymentKeyConflict
            | Refusal::QuantityOverLimit { .. }
            | Refusal::StockOverLimit
            | Refusal::ProductSuspended
            | Refusal::InsufficientStock { .. } => return Self::TurnedAway(TurnedAway::Internal),
        })
    }
}

impl From<Refusal> for Ending<PaymentOutcome> {
    fn from(refusal: Refusal) -> Self {
        Self::Served(match refusal {
            Refusal::PaymentKeyConflict => PaymentOutcome::KeyConflict,
            Refusal::OrderUnknown => PaymentOutcome::OrderUnknown,
            // Nothing that news of a payment are answered with.
            Refusal::HoldUnknown
            | Refusal::ProductUnknown
            | Refusal::KeyReused
            | Refusal::QuantityOverLimit { .. }
            | Refusal::StockOverLimit
            | Refusal::ProductSuspended
            | Refusal::InsufficientStock { .. }
            | Refusal::HoldAlreadyRedeemed { .. }
            | Refusal::HoldExpired
            | Refusal::HoldReleased => return Self::TurnedAway(TurnedAway::Internal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_invariant_is_counted_by_its_code() {
        for invariant in Invariant::ALL {
            assert_eq!(BrokenInvariant::from(invariant).name(), invariant.code());
        }
    }

    #[test]
    fn each_value_is_at_its_index() {
        let mut names = std::collections::BTreeSet::new();
        for (index, value) in Ending::<HoldOutcome>::all().enumerate() {
            assert_eq!(value.index(), index);
            names.insert(value.name());
        }
        assert_eq!(names.len(), Ending::<HoldOutcome>::COUNT, "two values have one name");
    }
}
