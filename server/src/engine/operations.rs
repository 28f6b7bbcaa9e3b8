//! What operators ask of the engine: new products, stock, suspension.
//!
//! Changes of a product that exists go through its lane like all others; a new product is a
//! transaction of the store's own.

use std::sync::Arc;
use std::time::Duration;

use sale::{Command, Outcome, ProductId, Refusal};
use tokio::time::Instant;

use super::requests::unexpected;
use super::tally::watch;
use super::waiting::Class;
use super::{Engine, NewProduct, ProductReading, Rejection, ResumeError};

/// How long the audit of one product may take: it reads all that was ever sold of it, so it has longer
/// than the request that wants it.
const AUDIT_TIMEOUT: Duration = Duration::from_mins(1);

/// What is left for the resumption itself, at least.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

impl Engine {
    /// Makes a product.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn add_product(&self, product: NewProduct, deadline: Instant) -> Result<ProductReading, Rejection> {
        let open = watch(&self.shared.metrics);
        open.ended(self.try_add_product(product, deadline).await)
    }

    async fn try_add_product(&self, product: NewProduct, deadline: Instant) -> Result<ProductReading, Rejection> {
        let store = Arc::clone(&self.shared.store);
        // In a task of its own, so that a caller who hangs up cannot cancel it half-way.
        let made = tokio::spawn(async move { store.create_product(&product).await });
        let id = match tokio::time::timeout_at(deadline, made).await {
            Ok(Ok(Ok(id))) => id,
            Ok(Ok(Err(error))) => return Err(Rejection::from(&error)),
            Ok(Err(_)) | Err(_) => return Err(Rejection::OutcomeUnknown),
        };
        self.changed_product(id, deadline).await
    }

    /// Changes the physical stock by `change` units.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn restock(&self, id: ProductId, change: i64, deadline: Instant) -> Result<ProductReading, Rejection> {
        let open = watch(&self.shared.metrics);
        open.ended(self.operate(id, Command::Restock { product_id: id, change }, deadline).await)
    }

    /// Takes no new holds of a product.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn suspend(&self, id: ProductId, reason: String, deadline: Instant) -> Result<ProductReading, Rejection> {
        let open = watch(&self.shared.metrics);
        open.ended(self.operate(id, Command::Suspend { product_id: id, reason }, deadline).await)
    }

    /// Takes new holds again, if an audit of the product finds no breach, or `force` says so anyway. What it
    /// breaks then is accepted: it is not suspended for that again, until the next suspension or clean resume.
    ///
    /// # Errors
    /// As [`Rejection`] says, in [`ResumeError`] with what the audit found.
    pub async fn resume(&self, id: ProductId, force: bool, deadline: Instant) -> Result<ProductReading, ResumeError> {
        let open = watch(&self.shared.metrics);
        open.ended(match self.try_resume(id, force, deadline).await {
            Err(ResumeError::Rejected(rejection)) => Err(rejection),
            // A breach is an answer.
            answer => Ok(answer),
        })?
    }

    async fn try_resume(&self, id: ProductId, force: bool, deadline: Instant) -> Result<ProductReading, ResumeError> {
        self.known_product(id, deadline).await?;
        if !force {
            let audit = tokio::time::timeout(AUDIT_TIMEOUT, self.shared.store.audit(Some(id))).await;
            let report = match audit {
                Ok(Ok(report)) => report,
                Ok(Err(error)) => return Err(Rejection::from(&error).into()),
                Err(_) => return Err(Rejection::TimedOut.into()),
            };
            if !report.breaches.is_empty() {
                return Err(ResumeError::Inconsistent(report.breaches));
            }
        }
        // The audit may have taken all the time that the request had.
        let deadline = deadline.max(Instant::now() + RESUME_TIMEOUT);
        let accepting = tokio::time::timeout_at(deadline, self.shared.store.accept_breaches(id, force)).await;
        let accepted = match accepting {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => return Err(Rejection::from(&error).into()),
            Err(_) => return Err(Rejection::DatabaseUnavailable.into()),
        };
        for breach in accepted {
            tracing::warn!(
                product_id = id.0,
                invariant = breach.invariant.code(),
                detail = breach.detail,
                "a product is resumed in spite of an invariant that it breaks"
            );
        }
        Ok(self.operate(id, Command::Resume { product_id: id }, deadline).await?)
    }

    async fn operate(&self, id: ProductId, command: Command, deadline: Instant) -> Result<ProductReading, Rejection> {
        self.known_product(id, deadline).await?;
        match self.run(id, command, Class::Money, deadline).await? {
            Outcome::ProductChanged(_) => self.changed_product(id, deadline).await,
            outcome => Err(unexpected(&outcome)),
        }
    }

    /// The product after a change that is committed: not to read it back leaves the change as it is.
    async fn changed_product(&self, id: ProductId, deadline: Instant) -> Result<ProductReading, Rejection> {
        match self.read_product(id, deadline).await {
            Ok(Some(product)) => Ok(product),
            Ok(None) | Err(_) => Err(Rejection::OutcomeUnknown),
        }
    }

    async fn known_product(&self, id: ProductId, deadline: Instant) -> Result<(), Rejection> {
        match self.read_product(id, deadline).await? {
            Some(_) => Ok(()),
            None => Err(Rejection::Refused(Refusal::ProductUnknown)),
        }
    }
}
