CREATE OR REPLACE FUNCTION elect.write_share(
  shared elect.shared_leases, at timestamptz, holder text, is_exclusive boolean, ttl interval, metadata jsonb,
  accept_in interval DEFAULT NULL, backend integer DEFAULT NULL
) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  share elect.leases;
BEGIN
  -- The token of a share follows that of the share before it, whichever that was: so those who held something
  -- exclusively and those who shared it can be told apart by age.
  share.token := shared.token;
  share.part_of := shared.name;
  share := elect.write_grant(
    share, elect.share_name(shared.name, elect.next_token(shared.token, at, (elect.epoch_at(at, true)).epoch)), at, holder, ttl, metadata, 'granted', accept_in, backend);
  UPDATE elect.shared_leases AS s
  SET token = share.token, written_at = at,
      exclusive_token = CASE WHEN write_share.is_exclusive THEN share.token ELSE s.exclusive_token END
  WHERE s.name = shared.name;
  RETURN share;
END
$$;
COMMENT ON FUNCTION elect.write_share(elect.shared_leases, timestamptz, text, boolean, interval, jsonb, interval, integer) IS
  'Internal. Grants a share. The caller has lock_shared, has read the clock after that, has swept, and has seen that there is room.';
