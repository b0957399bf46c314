-- Lists cost their page: each single filter has an index in the order of its list. Deliveries are listed by received_at and id.
DROP INDEX delivery_received;
CREATE INDEX delivery_received ON delivery (received_at, id);
DROP INDEX delivery_customer;
CREATE INDEX delivery_customer ON delivery (customer, received_at, id) WHERE customer IS NOT NULL;
DROP INDEX delivery_held;
CREATE INDEX delivery_held ON delivery (received_at, id) WHERE held_reason IS NOT NULL;
CREATE INDEX delivery_source ON delivery (source, received_at, id);
CREATE INDEX delivery_category ON delivery (category, received_at, id) WHERE category IS NOT NULL;
CREATE INDEX delivery_type ON delivery (type, received_at, id) WHERE type IS NOT NULL;
CREATE INDEX delivery_group ON delivery (grp, received_at, id) WHERE grp IS NOT NULL;
-- Jobs of a rare source or customer are found from its deliveries and receipts.
CREATE INDEX receipt_source ON receipt (source);
-- Jobs are listed by id. What works a job off pays for none of these: an end is one entry per index as before, and a list of a
-- rare queue reads entries of the index, not rows.
CREATE INDEX job_timed ON job (id) WHERE lane = 1;
CREATE INDEX job_waiting ON job (id) WHERE lane = 2;
DROP INDEX job_done_id;
CREATE INDEX job_done_id ON job_done (id, queue);
CREATE INDEX job_done_failed ON job_done (id) WHERE outcome = 1;
CREATE INDEX job_done_cancelled ON job_done (id) WHERE outcome = 2;
CREATE INDEX job_done_discarded ON job_done (id) WHERE outcome = 3;
