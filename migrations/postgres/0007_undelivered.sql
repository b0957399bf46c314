-- Lists of a customer or a source walk these besides the jobs of its deliveries. No claim changes the column.
CREATE INDEX job_undelivered ON job (id) WHERE delivery_id IS NULL;
CREATE INDEX job_done_undelivered ON job_done (id) WHERE delivery_id IS NULL;
