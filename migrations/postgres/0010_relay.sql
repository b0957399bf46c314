-- How far the relay has copied each topic to Kafka.
CREATE TABLE relay (
  topic smallint PRIMARY KEY REFERENCES topic (id),
  exported boolean NOT NULL DEFAULT true,         -- else nobody copies it, and nothing is kept for it
  epoch integer NOT NULL DEFAULT 1,               -- rises when an operator resumes: an id of one epoch never means two contents
  seq bigint NOT NULL DEFAULT 0,                  -- all entries up to here are in Kafka
  row_number bigint NOT NULL DEFAULT 0,           -- rows of the next entry that are there too, where it names a file
  entry_at timestamptz,                           -- the entry at seq: when it was appended
  entry_sha256 bytea,                             -- and what it is
  cluster text,                                   -- id of the Kafka cluster; null before the first commit
  moved_at timestamptz,
  paused boolean NOT NULL DEFAULT false,
  wish bigint,                                    -- where an operator wants it to go on
  wish_id uuid,                                   -- names the wish, so that it is fulfilled once
  begun_by uuid,                                  -- the wish that began the epoch
  trouble text                                    -- why it does not go on
);
-- What did not get to Kafka, each with the job that is held for it: records that Kafka refused for good, and gaps.
CREATE TABLE relay_held (
  topic smallint NOT NULL REFERENCES topic (id),
  seq bigint NOT NULL,                               -- the entry
  row_number bigint NOT NULL,                        -- the row of its file; -1: the entry itself; -2: all entries up to it were pruned
  job_id bigint NOT NULL,
  file text,                                          -- the record, in volume blobs; null for a gap
  PRIMARY KEY (topic, seq, row_number)
);
