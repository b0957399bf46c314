-- results.db: what came of it. Times are microseconds since 1970, UTC.

CREATE TABLE store (                              -- the id of state.db; two files that differ are not one store
  id BLOB PRIMARY KEY,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE stored_end (                         -- ends of jobs whose rows are committed here, until state.db has them too
  job_id INTEGER PRIMARY KEY,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE load (                               -- the rows one job produced; at most one per delivery and module
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  delivery_id BLOB NOT NULL,
  customer TEXT NOT NULL,                         -- of the delivery: who may see it
  module TEXT NOT NULL,
  parser_version TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  profile TEXT,
  row_counts TEXT NOT NULL,                      -- per table: inserted, updated, duplicate, stale
  findings INTEGER NOT NULL,
  loaded_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  UNIQUE (delivery_id, module)
) STRICT;
CREATE INDEX load_job ON load (job_id);

CREATE TABLE finding (                            -- warnings with a place
  load_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  delivery_id BLOB NOT NULL,
  severity TEXT NOT NULL,
  rule TEXT NOT NULL,
  part TEXT NOT NULL,
  line INTEGER,
  byte_offset INTEGER,
  field TEXT,
  message TEXT NOT NULL,
  excerpt TEXT NOT NULL,
  PRIMARY KEY (load_id, ordinal)
) STRICT;
CREATE INDEX finding_delivery ON finding (delivery_id);

CREATE TABLE superseded (                         -- rows that lost to a newer version of the same key, equal ones too
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  table_name TEXT NOT NULL,
  key_hash BLOB NOT NULL,                        -- digest of the natural key
  load_id INTEGER NOT NULL,                        -- whose row it was
  version TEXT NOT NULL,                          -- sortable order of versions
  row_hash BLOB NOT NULL,                         -- digest of key and values: whether the winner says the same
  row_values TEXT NOT NULL,                      -- the whole row
  superseded_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;
CREATE INDEX superseded_key ON superseded (table_name, key_hash, version);
CREATE INDEX superseded_load ON superseded (load_id);

CREATE TABLE module_table (                       -- declared tables as they were made
  name TEXT PRIMARY KEY,
  module TEXT NOT NULL,
  declaration TEXT NOT NULL,
  made_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;
