-- The integers from 0 to 1023; see MySQL's for what they are for.

CREATE TABLE IF NOT EXISTS numbers (
    n INTEGER PRIMARY KEY
) STRICT;

INSERT OR IGNORE INTO numbers (n)
    WITH RECURSIVE counting (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counting WHERE n < 1023)
    SELECT n FROM counting;
