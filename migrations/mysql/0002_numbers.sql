-- The integers from 0 to 1023: rows that differ by a step from each other are computed from them, which is quicker
-- than to spell out hundreds of them. Each statement doubles what is there, and can be run again.

CREATE TABLE IF NOT EXISTS numbers (
    n INT NOT NULL,
    PRIMARY KEY (n)
) ENGINE = InnoDB;

INSERT IGNORE INTO numbers (n) VALUES (0);
INSERT IGNORE INTO numbers (n) SELECT n + 1 FROM numbers WHERE n < 1;
INSERT IGNORE INTO numbers (n) SELECT n + 2 FROM numbers WHERE n < 2;
INSERT IGNORE INTO numbers (n) SELECT n + 4 FROM numbers WHERE n < 4;
INSERT IGNORE INTO numbers (n) SELECT n + 8 FROM numbers WHERE n < 8;
INSERT IGNORE INTO numbers (n) SELECT n + 16 FROM numbers WHERE n < 16;
INSERT IGNORE INTO numbers (n) SELECT n + 32 FROM numbers WHERE n < 32;
INSERT IGNORE INTO numbers (n) SELECT n + 64 FROM numbers WHERE n < 64;
INSERT IGNORE INTO numbers (n) SELECT n + 128 FROM numbers WHERE n < 128;
INSERT IGNORE INTO numbers (n) SELECT n + 256 FROM numbers WHERE n < 256;
INSERT IGNORE INTO numbers (n) SELECT n + 512 FROM numbers WHERE n < 512;
