-- A file that an entry names takes room as long as the entry is kept.
ALTER TABLE log_file ADD COLUMN len_bytes INTEGER;      -- null until an entry names it
