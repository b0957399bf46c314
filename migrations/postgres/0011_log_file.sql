-- Files of volume `blobs` that hold the entries of large commits. Each is noted before it is made, so that none is forgotten.
CREATE TABLE log_file (
  path text PRIMARY KEY,
  noted_at timestamptz NOT NULL,
  topic smallint,
  seq bigint,                                         -- of the entry that names it; null until that is committed
  CHECK ((topic IS NULL) = (seq IS NULL))
);
