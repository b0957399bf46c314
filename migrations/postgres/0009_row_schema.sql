-- JSON Schemas of published rows. A version is never changed or removed, because log entries and their copies name it.
CREATE TABLE row_schema (
  table_name text NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  digest bytea NOT NULL CHECK (length(digest) = 32),  -- of the schema; the same content keeps its version
  schema jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (table_name, version),
  UNIQUE (table_name, digest)
);
