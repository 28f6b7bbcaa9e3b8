-- The rows of a sale, for SQLite 3.37+.
--
-- The same tables as for MySQL; see there for what each is for. All migrations run in one write
-- transaction, so that a killed one leaves nothing behind.
--
-- Times are integer microseconds since 1970-01-01T00:00:00Z, money is integer minor units.

-- One row a product. I1 is the check of the counters.
CREATE TABLE IF NOT EXISTS products (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    name             TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    price_minor      INTEGER NOT NULL CHECK (price_minor >= 0),
    status           TEXT    NOT NULL CHECK (status IN ('on_sale', 'suspended')),
    suspended_reason TEXT    NULL,
    accepted_breaches TEXT   NULL,
    stock_available  INTEGER NOT NULL CHECK (stock_available >= 0),
    stock_reserved   INTEGER NOT NULL CHECK (stock_reserved >= 0),
    available_stock  INTEGER GENERATED ALWAYS AS (stock_available - stock_reserved) STORED,
    movement_seq     INTEGER NOT NULL CHECK (movement_seq >= 0),
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    CHECK (stock_reserved <= stock_available),
    CHECK ((status = 'suspended') = (suspended_reason IS NOT NULL))
) STRICT;

CREATE TABLE IF NOT EXISTS holds (
    id              INTEGER PRIMARY KEY CHECK (id >= 1),
    product_id      INTEGER NOT NULL REFERENCES products (id),
    quantity        INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    status          TEXT    NOT NULL CHECK (status IN ('active', 'redeemed', 'released')),
    release_reason  TEXT    NULL
        CHECK (release_reason IN ('expired', 'given_back', 'payment_failed', 'payment_overdue')),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL CHECK (expires_at > created_at AND expires_at % 1000000 = 0),
    released_at     INTEGER NULL,
    idempotency_key BLOB    NULL UNIQUE,
    CHECK ((status = 'released') = (released_at IS NOT NULL) AND (status = 'released') = (release_reason IS NOT NULL)),
    CHECK (release_reason <> 'expired' OR released_at = expires_at)
) STRICT;

CREATE INDEX IF NOT EXISTS holds_due ON holds (product_id, status, expires_at, quantity);

-- The unique hold_id is I4: a hold becomes at most one order.
CREATE TABLE IF NOT EXISTS orders (
    id               INTEGER PRIMARY KEY CHECK (id >= 1),
    hold_id          INTEGER NOT NULL UNIQUE REFERENCES holds (id),
    product_id       INTEGER NOT NULL REFERENCES products (id),
    quantity         INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    total_minor      INTEGER NOT NULL CHECK (total_minor >= 0),
    status           TEXT    NOT NULL CHECK (status IN ('pending_payment', 'paid', 'cancelled')),
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    payment_deadline INTEGER NOT NULL,
    idempotency_key  BLOB    NULL UNIQUE
) STRICT;

CREATE INDEX IF NOT EXISTS orders_due ON orders (product_id, status, payment_deadline, quantity);

CREATE TABLE IF NOT EXISTS payment_events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_key   BLOB    NOT NULL,
    pending_order INTEGER NOT NULL,
    order_id      INTEGER NOT NULL REFERENCES orders (id),
    status        TEXT    NOT NULL CHECK (status IN ('success', 'failure', 'pending')),
    effect        TEXT    NOT NULL CHECK (CASE effect
        WHEN 'paid' THEN status = 'success'
        WHEN 'cancelled' THEN status = 'failure'
        WHEN 'refund_required' THEN status = 'success'
        WHEN 'no_effect' THEN refunded_at IS NULL
        ELSE FALSE END),
    received_at   INTEGER NOT NULL,
    refunded_at   INTEGER NULL,
    UNIQUE (payment_key, pending_order),
    CHECK (pending_order = CASE status WHEN 'pending' THEN order_id ELSE 0 END)
) STRICT;

-- I5 for orders: of all events of one order at most one paid or cancelled it.
CREATE UNIQUE INDEX IF NOT EXISTS payment_events_settles
    ON payment_events (order_id) WHERE effect IN ('paid', 'cancelled');
CREATE INDEX IF NOT EXISTS payment_events_order ON payment_events (order_id, effect);
CREATE INDEX IF NOT EXISTS payment_events_refunds
    ON payment_events (id) WHERE effect = 'refund_required' AND refunded_at IS NULL;

-- The append-only ledger (I6).
CREATE TABLE IF NOT EXISTS movements (
    product_id       INTEGER NOT NULL REFERENCES products (id),
    seq              INTEGER NOT NULL CHECK (seq >= 1),
    kind             TEXT    NOT NULL CHECK (kind IN ('stocked', 'restocked', 'hold_placed', 'hold_given_back',
        'hold_expired', 'hold_redeemed', 'payment_failed', 'payment_overdue')),
    available_change INTEGER NOT NULL,
    reserved_change  INTEGER NOT NULL,
    stock_available  INTEGER NOT NULL,
    stock_reserved   INTEGER NOT NULL,
    hold_id          INTEGER NULL,
    order_id         INTEGER NULL,
    at               INTEGER NOT NULL,
    PRIMARY KEY (product_id, seq),
    CHECK (0 <= stock_reserved AND stock_reserved <= stock_available)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS batches (
    id           INTEGER PRIMARY KEY,
    outcome      TEXT    NOT NULL CHECK (outcome IN ('committed', 'abandoned')),
    committed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS batches_committed_at ON batches (committed_at);

CREATE TABLE IF NOT EXISTS id_blocks (
    name    TEXT    NOT NULL PRIMARY KEY,
    next_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO id_blocks (name, next_id) VALUES ('holds', 1), ('orders', 1), ('batches', 1);
