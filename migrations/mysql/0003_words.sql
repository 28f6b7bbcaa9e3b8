-- How SQLite compares the words of a column; see there. Here they are ENUMs, and nothing changes.

DO 0;
