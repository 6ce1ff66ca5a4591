CREATE OR REPLACE FUNCTION elect.share_answer(granted boolean, share elect.leases, at timestamptz, rank integer DEFAULT NULL) RETURNS elect.share_grant
LANGUAGE sql STABLE
RETURN CASE
  WHEN elect.is_held(share, at) THEN
    ROW((share).name, granted, (share).holder, (share).token, (share).version, (share).metadata, elect.remaining_time(share, at), rank)::elect.share_grant
  ELSE ROW(NULL, granted, NULL, NULL, NULL, NULL, NULL, rank)::elect.share_grant
END;
COMMENT ON FUNCTION elect.share_answer(boolean, elect.leases, timestamptz, integer) IS
  'Internal. How a contender stands, from the grant that concerns it as it is now, and its place in line.';
