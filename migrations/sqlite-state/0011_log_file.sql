-- Files of volume `blobs` that hold the entries of large commits. Each is noted before it is made, so that none is forgotten.
CREATE TABLE log_file (
  path TEXT PRIMARY KEY,
  noted_at INTEGER NOT NULL,
  topic INTEGER,
  seq INTEGER,                                        -- of the entry that names it; null until that is committed
  CHECK ((topic IS NULL) = (seq IS NULL))
) STRICT;
