-- A job without a delivery belongs to whom its receipt belongs to, and a repeat is answered from the receipt alone.
ALTER TABLE receipt
  ADD COLUMN customer text,                       -- whose it is, where the door knows; null: nobody's in particular
  ADD COLUMN first_jobs jsonb;                    -- ids of the jobs inserted with it, in order; null: an older version accepted it
-- The job whose finishing commit created the delivery; null: it was accepted with its receipt.
ALTER TABLE delivery ADD COLUMN created_by bigint;
