CREATE TYPE elect.lease_grant AS (
  granted boolean,
  holder text,
  token bigint,
  version bigint,
  metadata jsonb,
  expires_in interval,
  rank integer
);
COMMENT ON TYPE elect.lease_grant IS
  'The answer to a request for a lease: whether it was granted, and who holds it from now on. All others are null where nobody is known to hold it, but rank: the place in line, 0 is next; null: not in line.';
