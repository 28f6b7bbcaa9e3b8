//! When the units of a hold were out: surely, and perhaps.
//!
//! Three numbers of a product depend on it: `stock_reserved` counts what is held, `stock_available` lacks what is
//! sold, and `available_stock` lacks both, which is called out here. For each there is a span in which the units
//! surely counted and one outside which they surely did not.
//!
//! Why a right server agrees. An operation takes effect between its first request that may have been carried out and its
//! first answer. Units come back by a release that was asked for, by the deadline, which is the lifetime after
//! some moment between the hold's request and its answer, by a failed payment that was sent, or by the payment window,
//! which began no earlier than the order's request. An order makes the deadline void; but until the order is answered, a
//! read may see the hold as it was before the order was written, and its deadline as over: so between the
//! earliest deadline and the order's answer nothing is sure. What a read showed to be active, pending or
//! paid had not come back before that read was sent, since what came back never goes out again.

use super::{Hold, HoldBody, Keyed, Ledger, NEVER, Order, Placed};
use crate::history::Moment;

/// From a moment on, until another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::check) struct Span {
    pub(in crate::check) from: Moment,
    /// Not included.
    pub(in crate::check) to: Moment,
}

impl Span {
    const NONE: Self = Self { from: NEVER, to: NEVER };

    /// Whether there is no moment in it.
    pub(in crate::check) fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

/// When some units counted.
#[derive(Clone, Copy, Debug)]
pub(in crate::check) struct Spans {
    pub(in crate::check) quantity: u32,
    pub(in crate::check) surely_out: [Span; 2],
    pub(in crate::check) perhaps_out: Span,
    pub(in crate::check) surely_held: Span,
    pub(in crate::check) perhaps_held: Span,
    pub(in crate::check) surely_sold: Span,
    pub(in crate::check) perhaps_sold: Span,
}

impl Ledger<'_> {
    /// The spans of a hold that a 201 named.
    pub(in crate::check) fn spans(&self, hold: &Hold, placed: &Placed) -> Spans {
        let window = self.clock.window_at_least();
        let acknowledged = placed.acknowledged.ended;
        let ordered_from = hold.perhaps_ordered.map_or(NEVER, |seen| seen.invoked.max(placed.from));
        let redeemed = hold.redeemed().map_or(NEVER, |seen| seen.ended);
        let given_back_from = hold.perhaps_given_back.map_or(NEVER, |seen| seen.invoked);
        // A faulty server may name several orders: whatever one of them allows is allowed.
        let orders = || hold.orders.iter().filter_map(|(id, _)| self.orders.get(id));
        let unknown_cancelled_after = match ordered_from {
            NEVER => NEVER,
            _ => self.orphan_failed.min(ordered_from.later(window)),
        };
        let cancelled_after = orders()
            .map(|order| order.cancelled_after(window))
            .min()
            .unwrap_or(unknown_cancelled_after)
            .max(hold.redeemed_at());
        let cancelled = orders().filter_map(Order::cancelled_by).map(|seen| seen.ended).min();
        let released = hold.released().map_or(NEVER, |seen| seen.ended).min(cancelled.unwrap_or(NEVER));

        // Until then it surely was active, unless it was redeemed.
        let active_until = if redeemed < NEVER {
            placed.expires_after().max(hold.active_at()).min(redeemed).min(cancelled_after)
        } else {
            placed.expires_after().min(given_back_from).min(cancelled_after).max(hold.active_at())
        };
        let surely_sold = Span { from: redeemed, to: cancelled_after };
        let surely_held = Span {
            from: acknowledged,
            to: placed.expires_after().min(given_back_from).min(ordered_from).max(hold.active_at()),
        };

        // The deadline counts unless the hold was redeemed, or may have been by a request that was sent before it.
        let expired = placed.expires_before().min(hold.expired().map_or(NEVER, |seen| seen.ended));
        let void = redeemed < NEVER || ordered_from < expired;
        let perhaps_out = Span { from: placed.from, to: if void { released } else { released.min(expired) } };
        let perhaps_held = Span { from: placed.from, to: released.min(redeemed).min(expired) };
        let sold_from = if ordered_from == NEVER { placed.from } else { ordered_from };
        let perhaps_sold = if void { Span { from: sold_from, to: released } } else { Span::NONE };
        Spans {
            quantity: placed.quantity,
            surely_out: [Span { from: acknowledged, to: active_until }, surely_sold],
            perhaps_out,
            surely_held,
            perhaps_held,
            surely_sold,
            perhaps_sold,
        }
    }

    /// The spans of a hold that may have been placed, though no answer ever said so: for ever, since it may be on its way
    /// still.
    pub(in crate::check) fn spans_of_unknown(&self, keyed: &Keyed<HoldBody>) -> Option<Spans> {
        let from = keyed.perhaps?.invoked;
        let for_ever = Span { from, to: NEVER };
        Some(Spans {
            quantity: keyed.body.1,
            surely_out: [Span::NONE; 2],
            perhaps_out: for_ever,
            surely_held: Span::NONE,
            perhaps_held: for_ever,
            surely_sold: Span::NONE,
            perhaps_sold: Span { from: from.max(self.orphan_ordered), to: NEVER },
        })
    }
}
