CREATE TYPE elect.share_grant AS (
  lease text,
  granted boolean,
  holder text,
  token bigint,
  version bigint,
  metadata jsonb,
  expires_in interval,
  rank integer
);
COMMENT ON TYPE elect.share_grant IS
  'How a contender stands: the lease that it was granted (of a shared lease, the share), or, where granted is false, the one that runs out first, with its holder; all null where nobody is known to hold any. rank: the place in line, 0 is next; null: not in line.';
