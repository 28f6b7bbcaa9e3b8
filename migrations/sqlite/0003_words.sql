-- The words that a column may have, compared one after the other, the usual one first. Of a list of three or more SQLite
-- makes a table for each statement, and looks the word of each row up in it: that takes longer than all else that adding
-- a row does.
--
-- What is allowed stays the same, so no row need be looked at, and the text of the tables is all that changes: SQLite's
-- own way to do that is to write it to its table of tables. What comes last makes other connections read it again.

PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (status IN (''active'', ''redeemed'', ''released''))',
    'CHECK (status = ''active'' OR status = ''redeemed'' OR status = ''released'')')
WHERE type = 'table' AND name = 'holds';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (release_reason IN (''expired'', ''given_back'', ''payment_failed'', ''payment_overdue''))',
    'CHECK (release_reason = ''expired'' OR release_reason = ''given_back'' OR release_reason = ''payment_failed''
        OR release_reason = ''payment_overdue'')')
WHERE type = 'table' AND name = 'holds';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (status IN (''pending_payment'', ''paid'', ''cancelled''))',
    'CHECK (status = ''pending_payment'' OR status = ''paid'' OR status = ''cancelled'')')
WHERE type = 'table' AND name = 'orders';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (status IN (''success'', ''failure'', ''pending''))',
    'CHECK (status = ''success'' OR status = ''failure'' OR status = ''pending'')')
WHERE type = 'table' AND name = 'payment_events';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (kind IN (''stocked'', ''restocked'', ''hold_placed'', ''hold_given_back'',
        ''hold_expired'', ''hold_redeemed'', ''payment_failed'', ''payment_overdue''))',
    'CHECK (kind = ''hold_placed'' OR kind = ''hold_redeemed'' OR kind = ''hold_expired'' OR kind = ''hold_given_back''
        OR kind = ''payment_failed'' OR kind = ''payment_overdue'' OR kind = ''stocked'' OR kind = ''restocked'')')
WHERE type = 'table' AND name = 'movements';

PRAGMA writable_schema = RESET;

CREATE TABLE IF NOT EXISTS words_changed (at INTEGER NOT NULL) STRICT;
DROP TABLE words_changed;
