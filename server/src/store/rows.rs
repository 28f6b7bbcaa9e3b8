//! Reads rows: columns by position into the rows of `sale`, and the words by which statuses are stored.
//!
//! The columns stand in `statements`, in the same order. A value that cannot be (a negative id, an
//! unknown word) is an error, never a guess: the row was changed by hand.

use std::fmt::Display;

use sale::{
    Hold, HoldId, HoldStatus, Key, Money, MovementKind, Order, OrderId, OrderStatus, PaymentEffect, PaymentEvent,
    PaymentStatus, Product, ProductId, ProductStatus, Quantity, ReleaseReason, Timestamp,
};

use super::session::Cells;
use super::{Fault, StoreError};

/// A status that is stored as a word.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// All of them, each with its word.
    const WORDS: &'static [(Self, &'static str)];

    /// The word of this one.
    fn word(self) -> &'static str {
        // Each list below names every value, which `every_word_is_read_back` tests.
        Self::WORDS.iter().find(|(value, _)| *value == self).map_or("", |(_, word)| word)
    }

    /// As a literal.
    fn literal(self) -> String {
        format!("'{}'", self.word())
    }

    /// What a word means.
    fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
    }
}

impl Word for ReleaseReason {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Expired, "expired"),
        (Self::GivenBack, "given_back"),
        (Self::PaymentFailed, "payment_failed"),
        (Self::PaymentOverdue, "payment_overdue"),
    ];
}

impl Word for OrderStatus {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::PendingPayment, "pending_payment"), (Self::Paid, "paid"), (Self::Cancelled, "cancelled")];
}

impl Word for PaymentStatus {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Success, "success"), (Self::Failure, "failure"), (Self::Pending, "pending")];
}

impl Word for PaymentEffect {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Paid, "paid"),
        (Self::Cancelled, "cancelled"),
        (Self::NoEffect, "no_effect"),
        (Self::RefundRequired, "refund_required"),
    ];
}

impl Word for MovementKind {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Stocked, "stocked"),
        (Self::Restocked, "restocked"),
        (Self::HoldPlaced, "hold_placed"),
        (Self::HoldGivenBack, "hold_given_back"),
        (Self::HoldExpired, "hold_expired"),
        (Self::HoldRedeemed, "hold_redeemed"),
        (Self::PaymentFailed, "payment_failed"),
        (Self::PaymentOverdue, "payment_overdue"),
    ];
}

/// Reads the columns of one row from left to right.
pub(super) struct Reader<'a, R> {
    row: &'a R,
    next: usize,
}

impl<'a, R: Cells> Reader<'a, R> {
    /// From the first column on.
    pub(super) fn new(row: &'a R) -> Self {
        Self { row, next: 0 }
    }

    /// Leaves columns out.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Goes to a column, the first being 0.
    pub(super) fn go_to(&mut self, column: usize) {
        self.next = column;
    }

    fn step(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// A number or NULL.
    pub(super) fn optional_integer(&mut self) -> Result<Option<i64>, StoreError> {
        let index = self.step();
        self.row.integer(index).map_err(|error| StoreError::new(Fault::Refused, error))
    }

    /// A number.
    pub(super) fn integer(&mut self) -> Result<i64, StoreError> {
        let value = self.optional_integer()?;
        value.ok_or_else(|| impossible(self.next, "NULL"))
    }

    /// A number that is not negative, or NULL.
    pub(super) fn optional_count(&mut self) -> Result<Option<u64>, StoreError> {
        let value = self.optional_integer()?;
        value.map(|value| u64::try_from(value).map_err(|_| impossible(self.next, value))).transpose()
    }

    /// A number that is not negative.
    pub(super) fn count(&mut self) -> Result<u64, StoreError> {
        let value = self.optional_count()?;
        value.ok_or_else(|| impossible(self.next, "NULL"))
    }

    /// A time.
    pub(super) fn timestamp(&mut self) -> Result<Timestamp, StoreError> {
        self.integer().map(Timestamp)
    }

    /// Text or NULL.
    pub(super) fn optional_text(&mut self) -> Result<Option<&'a str>, StoreError> {
        let index = self.step();
        self.row.text(index).map_err(|error| StoreError::new(Fault::Refused, error))
    }

    /// Text.
    pub(super) fn text(&mut self) -> Result<&'a str, StoreError> {
        let value = self.optional_text()?;
        value.ok_or_else(|| impossible(self.next, "NULL"))
    }

    /// A stored word, or NULL.
    pub(super) fn optional_word<W: Word>(&mut self) -> Result<Option<W>, StoreError> {
        let word = self.optional_text()?;
        word.map(|word| W::of(word).ok_or_else(|| impossible(self.next, word))).transpose()
    }

    /// A stored word.
    pub(super) fn word<W: Word>(&mut self) -> Result<W, StoreError> {
        let value = self.optional_word()?;
        value.ok_or_else(|| impossible(self.next, "NULL"))
    }

    /// A key or NULL.
    pub(super) fn optional_key(&mut self) -> Result<Option<Key>, StoreError> {
        let index = self.step();
        let bytes = self.row.bytes(index).map_err(|error| StoreError::new(Fault::Refused, error))?;
        bytes.map(|bytes| Key::new(bytes).map_err(|error| StoreError::new(Fault::Refused, error))).transpose()
    }

    /// A key.
    pub(super) fn key(&mut self) -> Result<Key, StoreError> {
        let value = self.optional_key()?;
        value.ok_or_else(|| impossible(self.next, "NULL"))
    }

    fn quantity(&mut self) -> Result<Quantity, StoreError> {
        let units = self.integer()?;
        let quantity = u32::try_from(units).ok().and_then(Quantity::new);
        quantity.ok_or_else(|| impossible(self.next, units))
    }

    /// `status, suspended_reason`.
    pub(super) fn product_status(&mut self) -> Result<ProductStatus, StoreError> {
        let (status, reason) = (self.text()?, self.optional_text()?);
        match (status, reason) {
            ("on_sale", None) => Ok(ProductStatus::OnSale),
            ("suspended", Some(reason)) => Ok(ProductStatus::Suspended { reason: reason.to_owned() }),
            _ => Err(impossible(self.next, format!("{status} with reason {reason:?}"))),
        }
    }

    /// [`PRODUCT`](super::statements::PRODUCT).
    pub(super) fn product(&mut self) -> Result<Product, StoreError> {
        Ok(Product {
            id: ProductId(self.count()?),
            status: self.product_status()?,
            stock_available: self.count()?,
            stock_reserved: self.count()?,
            updated_at: self.timestamp()?,
            price: Money(self.count()?),
            movement_seq: self.count()?,
        })
    }

    /// [`HOLD_AND_ORDER`](super::statements::HOLD_AND_ORDER).
    pub(super) fn hold_and_order(&mut self) -> Result<(Hold, Option<Order>), StoreError> {
        let id = HoldId(self.count()?);
        let product_id = ProductId(self.count()?);
        let quantity = self.quantity()?;
        let status = self.text()?;
        let reason: Option<ReleaseReason> = self.optional_word()?;
        let created_at = self.timestamp()?;
        let expires_at = self.timestamp()?;
        let released_at = self.optional_integer()?.map(Timestamp);
        let key = self.optional_key()?;
        let order = self.order(id)?;
        let order_id = order.as_ref().map(|order| order.id);
        let status = match (status, reason, released_at, order_id) {
            ("active", None, None, _) => HoldStatus::Active,
            ("redeemed", None, None, Some(order_id)) => HoldStatus::Redeemed { order_id },
            ("released", Some(reason), Some(at), order_id) => HoldStatus::Released { at, reason, order_id },
            _ => return Err(impossible(self.next, format!("hold {id} is {status}, {reason:?}, order {order_id:?}"))),
        };
        Ok((Hold { id, product_id, quantity, status, created_at, expires_at, key }, order))
    }

    fn order(&mut self, hold_id: HoldId) -> Result<Option<Order>, StoreError> {
        let Some(id) = self.optional_count()? else { return Ok(None) };
        Ok(Some(Order {
            id: OrderId(id),
            hold_id,
            product_id: ProductId(self.count()?),
            quantity: self.quantity()?,
            total_amount: Money(self.count()?),
            status: self.word()?,
            created_at: self.timestamp()?,
            updated_at: self.timestamp()?,
            payment_deadline: self.timestamp()?,
            key: self.optional_key()?,
        }))
    }

    /// [`PAYMENT_EVENT`](super::statements::PAYMENT_EVENT).
    pub(super) fn payment_event(&mut self) -> Result<PaymentEvent, StoreError> {
        Ok(PaymentEvent {
            key: self.key()?,
            order_id: OrderId(self.count()?),
            status: self.word()?,
            effect: self.word()?,
            received_at: self.timestamp()?,
        })
    }
}

fn impossible(column: usize, value: impl Display) -> StoreError {
    StoreError::new(Fault::Refused, format!("column {column} of a row holds {value}, which cannot be"))
}
