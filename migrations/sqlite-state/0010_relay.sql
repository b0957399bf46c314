-- How far the relay has copied each exported topic to Kafka.
CREATE TABLE relay (
  topic INTEGER PRIMARY KEY REFERENCES topic (id),
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
-- Records that Kafka refused for good, each with the job that is held for it.
CREATE TABLE relay_held (
  topic INTEGER NOT NULL REFERENCES topic (id),
  seq INTEGER NOT NULL,                               -- the entry
  row_number INTEGER NOT NULL,                        -- the row of its file; -1: the entry itself
  job_id INTEGER NOT NULL,
  file TEXT NOT NULL,                               -- the record, in volume blobs
  PRIMARY KEY (topic, seq, row_number)
) STRICT;
