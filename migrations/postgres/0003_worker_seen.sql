-- When a process said last that it is there, every few minutes: rows of those long gone are removed.
ALTER TABLE worker ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now();
