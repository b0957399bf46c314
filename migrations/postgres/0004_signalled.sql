-- A signal that came while the job was not waiting: its next wait takes it and ends at once. In no index: claims stay HOT.
ALTER TABLE job ADD COLUMN signalled boolean NOT NULL DEFAULT false;
ALTER TABLE job ADD CONSTRAINT job_signalled CHECK (lane <> 2 OR NOT signalled);
