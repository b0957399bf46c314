-- What the named groups of a delivery's rule found: a tree that is made again says the same in its manifest.
ALTER TABLE delivery ADD COLUMN captures jsonb NOT NULL DEFAULT '{}';
