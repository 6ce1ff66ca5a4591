CREATE OR REPLACE FUNCTION elect.has_room(shared elect.shared_leases, is_exclusive boolean, at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  taken bigint;
  has_exclusive boolean;
BEGIN
  SELECT count(*), coalesce(bool_or(l.token = shared.exclusive_token), false) INTO taken, has_exclusive
  FROM elect.leases l
  WHERE l.part_of = shared.name
    -- One that was written in the future asks for a second look, under the lock, by which it is cut.
    AND (has_room.at IS NULL OR (elect.is_held(l, has_room.at) AND NOT elect.is_from_future(l, has_room.at)));
  RETURN CASE
    WHEN has_room.is_exclusive THEN taken = 0 AND shared.capacity IS DISTINCT FROM 0
    ELSE NOT has_exclusive AND (shared.capacity IS NULL OR taken < shared.capacity)
  END;
END
$$;
COMMENT ON FUNCTION elect.has_room(elect.shared_leases, boolean, timestamptz) IS
  'Internal. Whether one more share, or an exclusive one, fits beside those that there are: all of them count, as the caller has lock_shared and has swept; or, for a first look without a lock, only those held at that moment.';
