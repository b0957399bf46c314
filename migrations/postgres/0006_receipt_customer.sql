-- Apart from the columns, so that no lock of theirs is held while the index is built.
CREATE INDEX receipt_customer ON receipt (customer) WHERE customer IS NOT NULL;
