-- A signal that came while the job was not waiting: its next wait takes it and ends at once. In no index: claims stay cheap.
ALTER TABLE job ADD COLUMN signalled INTEGER NOT NULL DEFAULT 0 CHECK (lane <> 2 OR NOT signalled);
