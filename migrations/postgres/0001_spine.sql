-- What is accepted, what must be done, what came of it.

CREATE TABLE store (                              -- one row; the SQLite files carry the same id each
  id uuid PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO store (id) VALUES (gen_random_uuid());

CREATE TABLE customer (
  name text PRIMARY KEY CHECK (name ~ '^[a-z0-9-][a-z0-9_-]{0,63}$'),
  title text NOT NULL,
  registered_by text NOT NULL,                    -- 'configuration', later also an account
  registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE volume (                             -- which marker a named directory volume must show
  name text PRIMARY KEY,
  marker uuid NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
  id uuid PRIMARY KEY,
  name text NOT NULL UNIQUE,
  scheme text NOT NULL CHECK (scheme IN ('sha256', 'argon2')),
  hash text NOT NULL,                             -- hex of SHA-256, or a PHC string
  lookup bytea NOT NULL UNIQUE,                   -- what finds the row: the hash, or for imported keys a short digest
  grants text NOT NULL,                           -- words joined by commas
  customer text REFERENCES customer,              -- null: all customers
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);

-- Accepting -------------------------------------------------------------------------------------------------------

CREATE TABLE ingest_key (                         -- the same thing twice is harmless while this row lives
  key bytea NOT NULL CHECK (length(key) = 32),
  digest bytea NOT NULL CHECK (length(digest) = 32),
  receipt_id uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (key, digest)
);
CREATE INDEX ingest_key_expiry ON ingest_key (expires_at);

CREATE TABLE receipt (
  id uuid PRIMARY KEY,
  source text NOT NULL,                           -- configured way in, for example 'mail'
  accepted_at timestamptz NOT NULL DEFAULT now(),
  key_reused boolean NOT NULL DEFAULT false,      -- same key as an earlier receipt, other bytes
  worst_outcome smallint                          -- worst non-completed end among jobs whose history is gone
);
CREATE INDEX receipt_age ON receipt (accepted_at);

CREATE TABLE delivery (                           -- bytes with coordinates
  id uuid PRIMARY KEY,
  receipt_id uuid NOT NULL,
  source text NOT NULL,
  customer text, category text, type text, grp text,   -- null until a rule or an operator decided
  rule text,                                      -- which rule decided; null: an operator, or nobody yet
  settings jsonb NOT NULL DEFAULT '{}',           -- of that rule, for the module
  archive boolean NOT NULL DEFAULT false,         -- keep a copy of the original in the archive volume
  held_reason text,                               -- why it waits for an operator
  received_at timestamptz NOT NULL,
  digest bytea NOT NULL CHECK (length(digest) = 32),
  bytes bigint NOT NULL CHECK (bytes >= 0),
  envelope jsonb NOT NULL,                        -- who sent what to whom; the authority once accepted
  home uuid,                                      -- spool that holds the entry until the tree is sealed
  path text,                                      -- tree on volume inbox; stored before the tree is made
  stale_path text,                                -- a held tree to be removed once the new path is sealed
  sorted_at timestamptz,                          -- tree made and its manifest linked
  sealed_at timestamptz                           -- tree durable: this, not the file mode, is the seal
);
CREATE UNIQUE INDEX delivery_path ON delivery (path) WHERE path IS NOT NULL;
CREATE INDEX delivery_receipt ON delivery (receipt_id);
CREATE INDEX delivery_customer ON delivery (customer, received_at);
CREATE INDEX delivery_received ON delivery (received_at);
CREATE INDEX delivery_unsealed ON delivery (home, sorted_at) WHERE sealed_at IS NULL AND home IS NOT NULL;
CREATE INDEX delivery_stale ON delivery (home) WHERE stale_path IS NOT NULL;
CREATE INDEX delivery_held ON delivery (source, received_at) WHERE held_reason IS NOT NULL;

-- The job table ---------------------------------------------------------------------------------------------------

CREATE TABLE queue (                              -- kind + module + home of jobs
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  paused boolean NOT NULL DEFAULT false
);

CREATE TABLE worker (                             -- one row per process start
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  boot uuid NOT NULL UNIQUE,
  host text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now()      -- said by the process itself, every few minutes
);

CREATE SEQUENCE job_id;
CREATE SEQUENCE job_pos;

CREATE TABLE job (                                -- live jobs only; small and hot
  id bigint PRIMARY KEY DEFAULT nextval('job_id'),
  pos bigint NOT NULL DEFAULT nextval('job_pos'), -- place in the fetch lane; fresh at every entry
  run_at timestamptz NOT NULL DEFAULT now(),      -- lane 1: due; lane 2: deadline of the wait
  lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  first_started_at timestamptz,
  delivery_id uuid,
  receipt_id uuid,
  parent_id bigint,
  retry_of bigint,                                -- the finished job this one repeats
  signals bigint,                                 -- a waiting job that this one's end lets go on
  claimed_by integer,
  queue smallint NOT NULL,
  kind smallint NOT NULL,
  priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 3),
  lane smallint NOT NULL DEFAULT 0 CHECK (lane BETWEEN 0 AND 3),
  attempt smallint NOT NULL DEFAULT 0,            -- runs that failed; not crashes, not snoozes
  crashes smallint NOT NULL DEFAULT 0,            -- module children that died on it
  lost smallint NOT NULL DEFAULT 0,               -- leases that only expired
  max_attempts smallint NOT NULL,
  cancel_requested boolean NOT NULL DEFAULT false,
  lease_token uuid,
  wait_reason text,                               -- why it waits or is held
  last_error text,
  args jsonb NOT NULL DEFAULT '{}',
  progress jsonb,
  CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
  CHECK (lane = 0 OR lease_token IS NULL),
  CHECK (lane <> 3 OR wait_reason IS NOT NULL)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
-- No index and no predicate below holds a column that a claim or a heartbeat changes: claims stay HOT.
CREATE INDEX job_fetch ON job (queue, priority, pos) WHERE lane = 0;
CREATE INDEX job_due ON job (run_at) WHERE lane IN (1, 2);
CREATE INDEX job_held ON job (id) WHERE lane = 3;
CREATE INDEX job_delivery ON job (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX job_receipt ON job (receipt_id) WHERE receipt_id IS NOT NULL;

CREATE TABLE job_done (                           -- finished jobs, by day of their end
  id bigint NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL,
  first_started_at timestamptz,
  delivery_id uuid,
  receipt_id uuid,
  parent_id bigint,
  retry_of bigint,
  queue smallint NOT NULL,
  kind smallint NOT NULL,
  priority smallint NOT NULL,
  outcome smallint NOT NULL CHECK (outcome BETWEEN 0 AND 3),  -- completed, failed, cancelled, discarded
  attempt smallint NOT NULL,
  crashes smallint NOT NULL,
  lost smallint NOT NULL,
  max_attempts smallint NOT NULL,
  lease_token uuid,
  last_error text,
  args jsonb NOT NULL,
  report jsonb                                    -- what the run said of itself: rows, findings, module, version
) PARTITION BY RANGE (finished_at);               -- no DEFAULT: a missing day is made and the statement repeated
CREATE INDEX job_done_id ON job_done (id);
CREATE INDEX job_done_delivery ON job_done (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX job_done_receipt ON job_done (receipt_id) WHERE receipt_id IS NOT NULL;

CREATE TABLE timeline (                           -- only what the other tables cannot tell
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  delivery_id uuid,
  job_id bigint,
  event text NOT NULL,                            -- 'attempt_failed', 'crashed', 'lost', 'released', 'assigned', …
  actor text,                                     -- key or user that did it; null: headworks
  detail text
);
CREATE INDEX timeline_delivery ON timeline (delivery_id);
CREATE INDEX timeline_job ON timeline (job_id);
CREATE INDEX timeline_age ON timeline (at);

CREATE TABLE leader (                             -- who does the periodic duties; stamped by the database
  duty text PRIMARY KEY,
  holder uuid NOT NULL,
  term bigint NOT NULL,
  expires_at timestamptz NOT NULL
);

-- Events that leave if the transaction commits ----------------------------------------------------------------------

CREATE TABLE topic (
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  pruned bigint NOT NULL DEFAULT 0                -- highest seq that was pruned: a reader behind it has a gap
);
CREATE SEQUENCE log_seq;
CREATE TABLE log (
  seq bigint NOT NULL,                            -- commit order within a topic; a hole is a rollback
  at timestamptz NOT NULL DEFAULT now(),
  topic smallint NOT NULL,
  key bytea,
  headers jsonb NOT NULL DEFAULT '{}',
  body bytea NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX log_read ON log (topic, seq);

-- What came of it ---------------------------------------------------------------------------------------------------

CREATE SEQUENCE load_id;
CREATE TABLE load (                               -- the rows one job produced; at most one per delivery and module
  id bigint PRIMARY KEY DEFAULT nextval('load_id'),
  delivery_id uuid NOT NULL,
  customer text NOT NULL,                         -- of the delivery: who may see it
  module text NOT NULL,
  parser_version text NOT NULL,
  job_id bigint NOT NULL,
  outcome text NOT NULL,
  profile text,
  row_counts jsonb NOT NULL,                      -- per table: inserted, updated, duplicate, stale
  findings bigint NOT NULL,
  loaded_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (delivery_id, module)
);
CREATE INDEX load_job ON load (job_id);

CREATE TABLE finding (                            -- warnings with a place
  load_id bigint NOT NULL,
  ordinal integer NOT NULL,
  delivery_id uuid NOT NULL,
  severity text NOT NULL,
  rule text NOT NULL,
  part text NOT NULL,
  line bigint,
  byte_offset bigint,
  field text,
  message text NOT NULL,
  excerpt text NOT NULL,
  PRIMARY KEY (load_id, ordinal)
);
CREATE INDEX finding_delivery ON finding (delivery_id);

CREATE TABLE superseded (                         -- rows that lost to a newer version of the same key, equal ones too
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name text NOT NULL,
  key_hash bytea NOT NULL,                        -- digest of the natural key
  load_id bigint NOT NULL,                        -- whose row it was
  version text COLLATE "C" NOT NULL,              -- sortable order of versions
  row_hash bytea NOT NULL,                        -- digest of key and values: whether the winner says the same
  row_values jsonb NOT NULL,                      -- the whole row
  superseded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX superseded_key ON superseded (table_name, key_hash, version);
CREATE INDEX superseded_load ON superseded (load_id);

CREATE TABLE module_table (                       -- declared tables as they were made
  name text PRIMARY KEY,
  module text NOT NULL,
  declaration jsonb NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now()
);
CREATE SCHEMA rows;
