-- A job without a delivery belongs to whom its receipt belongs to, and a repeat is answered from the receipt alone.
ALTER TABLE receipt
  ADD COLUMN customer text,                       -- whose it is, where the door knows; null: nobody's in particular
  ADD COLUMN first_jobs jsonb;                    -- ids of the jobs inserted with it, in order; null: an older version accepted it
CREATE INDEX receipt_customer ON receipt (customer) WHERE customer IS NOT NULL;
-- The job whose finishing commit created the delivery; null: it was accepted with its receipt.
ALTER TABLE delivery ADD COLUMN created_by bigint;
-- Lists of a customer or a source walk these besides the jobs of its deliveries. No claim changes the column.
CREATE INDEX job_undelivered ON job (id) WHERE delivery_id IS NULL;
CREATE INDEX job_done_undelivered ON job_done (id) WHERE delivery_id IS NULL;
