-- state.db: what is accepted, and what must be done. Times are microseconds since 1970, UTC.

CREATE TABLE store (                              -- one row; the SQLite files carry the same id each
  id BLOB PRIMARY KEY,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE customer (
  name TEXT PRIMARY KEY CHECK (name NOT GLOB '_*' AND name NOT GLOB '*[^a-z0-9_-]*' AND length(name) BETWEEN 1 AND 64),
  title TEXT NOT NULL,
  registered_by TEXT NOT NULL,                    -- 'configuration', later also an account
  registered_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE volume (                             -- which marker a named directory volume must show
  name TEXT PRIMARY KEY,
  marker BLOB NOT NULL,
  registered_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE api_key (
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  scheme TEXT NOT NULL CHECK (scheme IN ('sha256', 'argon2')),
  hash TEXT NOT NULL,                             -- hex of SHA-256, or a PHC string
  lookup BLOB NOT NULL UNIQUE,                   -- what finds the row: the hash, or for imported keys a short digest
  grants TEXT NOT NULL,                           -- words joined by commas
  customer TEXT REFERENCES customer,              -- null: all customers
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER
) STRICT;

-- Accepting -------------------------------------------------------------------------------------------------------

CREATE TABLE ingest_key (                         -- the same thing twice is harmless while this row lives
  key BLOB NOT NULL CHECK (length(key) = 32),
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  receipt_id BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (key, digest)
) STRICT;
CREATE INDEX ingest_key_expiry ON ingest_key (expires_at);

CREATE TABLE receipt (
  id BLOB PRIMARY KEY,
  source TEXT NOT NULL,                           -- configured way in, for example 'mail'
  accepted_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  key_reused INTEGER NOT NULL DEFAULT 0,      -- same key as an earlier receipt, other bytes
  worst_outcome INTEGER                          -- worst non-completed end among jobs whose history is gone
) STRICT;
CREATE INDEX receipt_age ON receipt (accepted_at);

CREATE TABLE delivery (                           -- bytes with coordinates
  id BLOB PRIMARY KEY,
  receipt_id BLOB NOT NULL,
  source TEXT NOT NULL,
  customer TEXT, category TEXT, type TEXT, grp TEXT,   -- null until a rule or an operator decided
  rule TEXT,                                      -- which rule decided; null: an operator, or nobody yet
  settings TEXT NOT NULL DEFAULT '{}',           -- of that rule, for the module
  archive INTEGER NOT NULL DEFAULT 0,         -- keep a copy of the original in the archive volume
  held_reason TEXT,                               -- why it waits for an operator
  received_at INTEGER NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  bytes INTEGER NOT NULL CHECK (bytes >= 0),
  envelope TEXT NOT NULL,                        -- who sent what to whom; the authority once accepted
  home BLOB,                                      -- spool that holds the entry until the tree is sealed
  path TEXT,                                      -- tree on volume inbox; stored before the tree is made
  stale_path TEXT,                                -- a held tree to be removed once the new path is sealed
  sorted_at INTEGER,                          -- tree made and its manifest linked
  sealed_at INTEGER                           -- tree durable: this, not the file mode, is the seal
) STRICT;
CREATE UNIQUE INDEX delivery_path ON delivery (path) WHERE path IS NOT NULL;
CREATE INDEX delivery_receipt ON delivery (receipt_id);
CREATE INDEX delivery_customer ON delivery (customer, received_at);
CREATE INDEX delivery_received ON delivery (received_at);
CREATE INDEX delivery_unsealed ON delivery (home, sorted_at) WHERE sealed_at IS NULL AND home IS NOT NULL;
CREATE INDEX delivery_stale ON delivery (home) WHERE stale_path IS NOT NULL;
CREATE INDEX delivery_held ON delivery (source, received_at) WHERE held_reason IS NOT NULL;

-- The job table ---------------------------------------------------------------------------------------------------

CREATE TABLE queue (                              -- kind + module + home of jobs
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE worker (                             -- one row per process start
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  boot BLOB NOT NULL UNIQUE,
  host TEXT NOT NULL,
  started_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  seen_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;


CREATE TABLE counter (                            -- sequences that rowids cannot be
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT;
INSERT INTO counter (name, value) VALUES ('job_pos', 0);

CREATE TABLE job (                                -- live jobs only; small and hot
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pos INTEGER NOT NULL, -- place in the fetch lane; fresh at every entry
  run_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),      -- lane 1: due; lane 2: deadline of the wait
  lease_until INTEGER,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  first_started_at INTEGER,
  delivery_id BLOB,
  receipt_id BLOB,
  parent_id INTEGER,
  retry_of INTEGER,                                -- the finished job this one repeats
  signals INTEGER,                                 -- a waiting job that this one's end lets go on
  claimed_by INTEGER,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  priority INTEGER NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 3),
  lane INTEGER NOT NULL DEFAULT 0 CHECK (lane BETWEEN 0 AND 3),
  attempt INTEGER NOT NULL DEFAULT 0,            -- runs that failed; not crashes, not snoozes
  crashes INTEGER NOT NULL DEFAULT 0,            -- module children that died on it
  lost INTEGER NOT NULL DEFAULT 0,               -- leases that only expired
  max_attempts INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  lease_token BLOB,
  wait_reason TEXT,                               -- why it waits or is held
  last_error TEXT,
  args TEXT NOT NULL DEFAULT '{}',
  progress TEXT,
  CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
  CHECK (lane = 0 OR lease_token IS NULL),
  CHECK (lane <> 3 OR wait_reason IS NOT NULL)
) STRICT;
-- No index and no predicate below holds a column that a claim or a heartbeat changes: claims stay HOT.
CREATE INDEX job_fetch ON job (queue, priority, pos) WHERE lane = 0;
CREATE INDEX job_due ON job (run_at) WHERE lane IN (1, 2);
CREATE INDEX job_held ON job (id) WHERE lane = 3;
CREATE INDEX job_delivery ON job (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX job_receipt ON job (receipt_id) WHERE receipt_id IS NOT NULL;

CREATE TABLE job_done (                           -- finished jobs, by day of their end
  id INTEGER NOT NULL,
  finished_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  created_at INTEGER NOT NULL,
  first_started_at INTEGER,
  delivery_id BLOB,
  receipt_id BLOB,
  parent_id INTEGER,
  retry_of INTEGER,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  outcome INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 3),  -- completed, failed, cancelled, discarded
  attempt INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  lease_token BLOB,
  last_error TEXT,
  args TEXT NOT NULL,
  report TEXT                                    -- what the run said of itself: rows, findings, module, version
) STRICT;
CREATE INDEX job_done_id ON job_done (id);
CREATE INDEX job_done_age ON job_done (finished_at);
CREATE INDEX job_done_delivery ON job_done (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX job_done_receipt ON job_done (receipt_id) WHERE receipt_id IS NOT NULL;

CREATE TABLE timeline (                           -- only what the other tables cannot tell
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  delivery_id BLOB,
  job_id INTEGER,
  event TEXT NOT NULL,                            -- 'attempt_failed', 'crashed', 'lost', 'released', 'assigned', …
  actor TEXT,                                     -- key or user that did it; null: headworks
  detail TEXT
) STRICT;
CREATE INDEX timeline_delivery ON timeline (delivery_id);
CREATE INDEX timeline_job ON timeline (job_id);
CREATE INDEX timeline_age ON timeline (at);

CREATE TABLE leader (                             -- who does the periodic duties; stamped by the database
  duty TEXT PRIMARY KEY,
  holder BLOB NOT NULL,
  term INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

-- Events that leave if the transaction commits ----------------------------------------------------------------------

CREATE TABLE topic (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  pruned INTEGER NOT NULL DEFAULT 0               -- highest seq that was pruned: a reader behind it has a gap
) STRICT;
CREATE TABLE log (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,           -- commit order within a topic; a hole is a rollback
  at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
  topic INTEGER NOT NULL,
  key BLOB,
  headers TEXT NOT NULL DEFAULT '{}',
  body BLOB NOT NULL
) STRICT;
CREATE INDEX log_read ON log (topic, seq);
CREATE INDEX log_age ON log (at);

