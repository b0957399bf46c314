-- How far the relay has copied each topic to Kafka.
CREATE TABLE relay (
  topic INTEGER PRIMARY KEY REFERENCES topic (id),
  exported INTEGER NOT NULL DEFAULT 1,            -- else nobody copies it, and nothing is kept for it
  epoch INTEGER NOT NULL DEFAULT 1,               -- rises when an operator resumes: an id of one epoch never means two contents
  seq INTEGER NOT NULL DEFAULT 0,                 -- all entries up to here are in Kafka
  row_number INTEGER NOT NULL DEFAULT 0,          -- rows of the next entry that are there too, where it names a file
  entry_at INTEGER,                               -- the entry at seq: when it was appended
  entry_sha256 BLOB,                              -- and what it is
  cluster TEXT,                                   -- id of the Kafka cluster; null before the first commit
  moved_at INTEGER,
  paused INTEGER NOT NULL DEFAULT 0,
  wish INTEGER,                                   -- where an operator wants it to go on
  wish_id BLOB,                                   -- names the wish, so that it is fulfilled once
  begun_by BLOB,                                  -- the wish that began the epoch
  trouble TEXT                                    -- why it does not go on
) STRICT;
-- What did not get to Kafka, each with the job that is held for it: records that Kafka refused for good, and gaps.
CREATE TABLE relay_held (
  topic INTEGER NOT NULL REFERENCES topic (id),
  seq INTEGER NOT NULL,                               -- the entry
  row_number INTEGER NOT NULL,                        -- the row of its file; -1: the entry itself; -2: all entries up to it were pruned
  job_id INTEGER NOT NULL,
  file TEXT,                                          -- the record, in volume blobs; null for a gap
  PRIMARY KEY (topic, seq, row_number)
) STRICT;
