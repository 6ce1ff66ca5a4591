CREATE TABLE elect.operations (
  lease text COLLATE "C" NOT NULL,
  operation_key text COLLATE "C" NOT NULL,
  token bigint NOT NULL,
  attempt integer NOT NULL,
  state text NOT NULL,
  idempotency_key text NOT NULL,
  begun_at timestamptz NOT NULL,
  settled_at timestamptz,
  result jsonb,
  error jsonb,
  CONSTRAINT operations_pkey PRIMARY KEY (lease, operation_key),
  CONSTRAINT operations_state CHECK (state IN ('begun', 'done', 'failed')),
  CONSTRAINT operations_settled CHECK ((state = 'begun') = (settled_at IS NULL)),
  CONSTRAINT operations_lease_length CHECK (octet_length(lease) BETWEEN 1 AND 200),
  CONSTRAINT operations_key_length CHECK (octet_length(operation_key) BETWEEN 1 AND 500)
);

COMMENT ON TABLE elect.operations IS
  'The ledger of operations that are to happen once: a row for each, from its first beginning until it is pruned. Written by the functions of this schema only, each under the guard of the lease.';
COMMENT ON COLUMN elect.operations.lease IS 'The lease under which the operation runs.';
COMMENT ON COLUMN elect.operations.operation_key IS 'What is to happen once, such as ''invoice-4711'': 1 to 500 bytes, unique for its lease.';
COMMENT ON COLUMN elect.operations.token IS 'Token of the leader that wrote the row last.';
COMMENT ON COLUMN elect.operations.attempt IS 'How often it was begun.';
COMMENT ON COLUMN elect.operations.state IS 'begun: it may have happened, in part or whole; done; failed: its work said so.';
COMMENT ON COLUMN elect.operations.idempotency_key IS
  'The same at every attempt: pass it to systems outside, so that they recognise a repetition.';
COMMENT ON COLUMN elect.operations.begun_at IS 'When it was begun for the first time.';
COMMENT ON COLUMN elect.operations.settled_at IS 'When it was done or failed.';
COMMENT ON COLUMN elect.operations.result IS 'What its work returned: JSON, at most 256 KiB as text.';
COMMENT ON COLUMN elect.operations.error IS 'Why it failed: JSON, at most 256 KiB as text.';
