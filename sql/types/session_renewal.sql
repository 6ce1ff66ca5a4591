CREATE TYPE elect.session_renewal AS (
  granted boolean,
  expires_in interval,
  must_reopen boolean,
  lost_names text[],
  lost_tokens bigint[]
);
COMMENT ON TYPE elect.session_renewal IS
  'The answer to a renewal of a session: whether it goes on, for how long, whether its leases may be kept by another session (the server is in another epoch), and which leases it has lost since it was opened, with their tokens (null: none).';
