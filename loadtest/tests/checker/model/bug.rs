//! The bugs that can be planted, and which checks may name each.

use holdfast_loadtest::check::Check;

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    CheckThenWrite,
    ExpiryReturnsRedeemed,
    ReleaseTwice,
    DuplicateAppliedTwice,
    LastWebhookWins,
    AcknowledgedBeforeDurable,
    StaleReads,
    OffByOne,
    OffByOneShort,
    ExpiredKeepsUnits,
    KeyOnTwoOrders,
    ExpiredRedeemed,
    CancelledStillCounted,
    AnotherBodyReplayed,
    PendingApplied,
    SoldOutAfterRelease,
    TwoOrdersFromOneHold,
    LateSuccessPaysCancelled,
    RefusedEventUsesKey,
    ReplayMakesSecondHold,
    IdsReusedAfterKill,
    EarlyExpiry,
    QuantityIgnored,
    GivenBackThenRedeemed,
}

impl Bug {
    pub(crate) const ALL: [Self; 24] = [
        Self::CheckThenWrite,
        Self::ExpiryReturnsRedeemed,
        Self::ReleaseTwice,
        Self::DuplicateAppliedTwice,
        Self::LastWebhookWins,
        Self::AcknowledgedBeforeDurable,
        Self::StaleReads,
        Self::OffByOne,
        Self::OffByOneShort,
        Self::ExpiredKeepsUnits,
        Self::KeyOnTwoOrders,
        Self::ExpiredRedeemed,
        Self::CancelledStillCounted,
        Self::AnotherBodyReplayed,
        Self::PendingApplied,
        Self::SoldOutAfterRelease,
        Self::TwoOrdersFromOneHold,
        Self::LateSuccessPaysCancelled,
        Self::RefusedEventUsesKey,
        Self::ReplayMakesSecondHold,
        Self::IdsReusedAfterKill,
        Self::EarlyExpiry,
        Self::QuantityIgnored,
        Self::GivenBackThenRedeemed,
    ];

    /// The check that is there for it.
    pub(crate) const fn caught_by(self) -> Check {
        match self {
            Self::CheckThenWrite | Self::OffByOne | Self::QuantityIgnored => Check::NoOversell,
            Self::ExpiryReturnsRedeemed
            | Self::ReleaseTwice
            | Self::DuplicateAppliedTwice
            | Self::CancelledStillCounted => Check::UnitsConserved,
            Self::LastWebhookWins | Self::PendingApplied | Self::LateSuccessPaysCancelled => Check::FinalStates,
            Self::AcknowledgedBeforeDurable | Self::IdsReusedAfterKill => Check::NothingLost,
            Self::StaleReads => Check::FreshReads,
            Self::OffByOneShort | Self::SoldOutAfterRelease | Self::ExpiredKeepsUnits => Check::NoFalseSoldOut,
            Self::KeyOnTwoOrders | Self::RefusedEventUsesKey => Check::PaymentKeys,
            Self::ExpiredRedeemed | Self::EarlyExpiry => Check::Deadlines,
            Self::AnotherBodyReplayed | Self::ReplayMakesSecondHold => Check::Replays,
            Self::TwoOrdersFromOneHold | Self::GivenBackThenRedeemed => Check::OneOrderPerHold,
        }
    }
}
