-- The rows of a sale, for MySQL 5.7+ and MariaDB 10.5+.
--
-- Every statement can be run again: there is no transaction around schema changes here, so a
-- migration that was killed half-way is run once more from its start.
--
-- Times are integer microseconds since 1970-01-01T00:00:00Z, money is integer minor units.
-- Servers before MySQL 8.0.16 parse CHECK and ignore it; what must hold there too (I1, I4, I5, I6)
-- is also kept by unsigned columns and unique keys.

-- One row a product. Its lock is the lock of everything that happens to the product.
-- accepted_breaches are the invariants, such as 'I2,I6', in spite of which an operator forced it on sale:
-- the reconciler does not suspend it for those again. The next suspension and a clean audit forget them.
-- available_stock cannot be negative: in strict mode an unsigned column refuses it (I1). The casts are
-- there because the result of an unsigned subtraction depends on sql_mode, which MariaDB does not take.
CREATE TABLE IF NOT EXISTS products (
    id               BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    name             VARCHAR(255)    NOT NULL,
    description      VARCHAR(2000)   NOT NULL,
    price_minor      BIGINT UNSIGNED NOT NULL,
    status           ENUM('on_sale', 'suspended') NOT NULL,
    suspended_reason VARCHAR(1000)   NULL,
    accepted_breaches VARCHAR(100)   NULL,
    stock_available  BIGINT UNSIGNED NOT NULL,
    stock_reserved   BIGINT UNSIGNED NOT NULL,
    available_stock  BIGINT UNSIGNED GENERATED ALWAYS AS
        (CAST(stock_available AS SIGNED) - CAST(stock_reserved AS SIGNED)) STORED,
    movement_seq     BIGINT UNSIGNED NOT NULL,
    created_at       BIGINT          NOT NULL,
    updated_at       BIGINT          NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT products_counters_in_range CHECK (stock_reserved <= stock_available),
    CONSTRAINT products_reason CHECK ((status = 'suspended') = (suspended_reason IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The order that a hold became is found by orders.hold_id; it is not stored twice.
-- holds_due serves three questions about one product's active holds: which are past their deadline,
-- how many units those keep, and which deadline comes first.
CREATE TABLE IF NOT EXISTS holds (
    id              BIGINT UNSIGNED NOT NULL,
    product_id      BIGINT UNSIGNED NOT NULL,
    quantity        INT UNSIGNED    NOT NULL,
    status          ENUM('active', 'redeemed', 'released') NOT NULL,
    release_reason  ENUM('expired', 'given_back', 'payment_failed', 'payment_overdue') NULL,
    created_at      BIGINT          NOT NULL,
    expires_at      BIGINT          NOT NULL,
    released_at     BIGINT          NULL,
    idempotency_key VARBINARY(255)  NULL,
    PRIMARY KEY (id),
    UNIQUE KEY holds_idempotency_key (idempotency_key),
    KEY holds_due (product_id, status, expires_at, quantity),
    CONSTRAINT holds_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT holds_quantity CHECK (quantity BETWEEN 1 AND 1000000),
    CONSTRAINT holds_deadline CHECK (expires_at > created_at AND expires_at % 1000000 = 0),
    CONSTRAINT holds_release CHECK ((status = 'released') = (released_at IS NOT NULL)
        AND (status = 'released') = (release_reason IS NOT NULL)),
    CONSTRAINT holds_expiry CHECK (release_reason <> 'expired' OR released_at = expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- orders_hold is I4: a hold becomes at most one order.
CREATE TABLE IF NOT EXISTS orders (
    id               BIGINT UNSIGNED NOT NULL,
    hold_id          BIGINT UNSIGNED NOT NULL,
    product_id       BIGINT UNSIGNED NOT NULL,
    quantity         INT UNSIGNED    NOT NULL,
    total_minor      BIGINT UNSIGNED NOT NULL,
    status           ENUM('pending_payment', 'paid', 'cancelled') NOT NULL,
    created_at       BIGINT          NOT NULL,
    updated_at       BIGINT          NOT NULL,
    payment_deadline BIGINT          NOT NULL,
    idempotency_key  VARBINARY(255)  NULL,
    PRIMARY KEY (id),
    UNIQUE KEY orders_hold (hold_id),
    UNIQUE KEY orders_idempotency_key (idempotency_key),
    KEY orders_due (product_id, status, payment_deadline, quantity),
    CONSTRAINT orders_of_hold FOREIGN KEY (hold_id) REFERENCES holds (id),
    CONSTRAINT orders_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT orders_quantity CHECK (quantity BETWEEN 1 AND 1000000)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Final news use up their key: pending_order is 0. A `pending` event does not: pending_order is its
-- order. payment_events_key is I5 for keys, payment_events_settles is I5 for orders: of all events
-- of one order at most one paid or cancelled it.
CREATE TABLE IF NOT EXISTS payment_events (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    payment_key   VARBINARY(255)  NOT NULL,
    pending_order BIGINT UNSIGNED NOT NULL,
    order_id      BIGINT UNSIGNED NOT NULL,
    status        ENUM('success', 'failure', 'pending') NOT NULL,
    effect        ENUM('paid', 'cancelled', 'no_effect', 'refund_required') NOT NULL,
    received_at   BIGINT          NOT NULL,
    refunded_at   BIGINT          NULL,
    settles       BIGINT UNSIGNED GENERATED ALWAYS AS
        (CASE WHEN effect IN ('paid', 'cancelled') THEN order_id END) STORED,
    PRIMARY KEY (id),
    UNIQUE KEY payment_events_key (payment_key, pending_order),
    UNIQUE KEY payment_events_settles (settles),
    KEY payment_events_order (order_id, effect),
    KEY payment_events_refunds (effect, refunded_at),
    CONSTRAINT payment_events_of_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT payment_events_pending CHECK (pending_order = CASE status WHEN 'pending' THEN order_id ELSE 0 END),
    CONSTRAINT payment_events_effect CHECK (CASE effect
        WHEN 'paid' THEN status = 'success'
        WHEN 'cancelled' THEN status = 'failure'
        WHEN 'refund_required' THEN status = 'success'
        ELSE refunded_at IS NULL END)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The append-only ledger (I6). The balances are signed so that an audit can subtract them.
CREATE TABLE IF NOT EXISTS movements (
    product_id       BIGINT UNSIGNED NOT NULL,
    seq              BIGINT UNSIGNED NOT NULL,
    kind             ENUM('stocked', 'restocked', 'hold_placed', 'hold_given_back', 'hold_expired',
                          'hold_redeemed', 'payment_failed', 'payment_overdue') NOT NULL,
    available_change BIGINT          NOT NULL,
    reserved_change  BIGINT          NOT NULL,
    stock_available  BIGINT          NOT NULL,
    stock_reserved   BIGINT          NOT NULL,
    hold_id          BIGINT UNSIGNED NULL,
    order_id         BIGINT UNSIGNED NULL,
    at               BIGINT          NOT NULL,
    PRIMARY KEY (product_id, seq),
    CONSTRAINT movements_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT movements_seq CHECK (seq >= 1),
    CONSTRAINT movements_counters CHECK (0 <= stock_reserved AND stock_reserved <= stock_available)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row a batch, so that an unknown outcome can be looked up (I7). A batch's own transaction writes
-- `committed`. Whoever looks and finds no row writes `abandoned`: of the two the primary key lets only the
-- first in, so that a batch of which it was said that it was not committed never will be. Old rows are deleted.
CREATE TABLE IF NOT EXISTS batches (
    id           BIGINT UNSIGNED NOT NULL,
    outcome      ENUM('committed', 'abandoned') NOT NULL,
    committed_at BIGINT          NOT NULL,
    PRIMARY KEY (id),
    KEY batches_committed_at (committed_at)
) ENGINE = InnoDB;

-- The next id of each sequence. Servers take blocks from it.
CREATE TABLE IF NOT EXISTS id_blocks (
    name    VARCHAR(16)     NOT NULL,
    next_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_bin;

INSERT IGNORE INTO id_blocks (name, next_id) VALUES ('holds', 1), ('orders', 1), ('batches', 1);
