CREATE TYPE elect.lease_event AS (
  event text,
  name text,
  holder text,
  token bigint,
  previous_holder text
);
COMMENT ON TYPE elect.lease_event IS 'What followers are told, as JSON: granted, released, transferred, forced, expired or step_down; who holds the lease from now on, and who did.';
