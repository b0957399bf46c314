-- JSON Schemas of published rows. A version is never changed or removed, because log entries and their copies name it.
CREATE TABLE row_schema (
  table_name TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  digest BLOB NOT NULL CHECK (length(digest) = 32),   -- of the schema; the same content keeps its version
  schema TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (table_name, version),
  UNIQUE (table_name, digest)
) STRICT;
