CREATE OR REPLACE FUNCTION elect.admit(name text, at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  shared elect.shared_leases;
  next elect.candidates;
BEGIN
  LOOP
    next := elect.first_in_line(name, at);
    SELECT * INTO shared FROM elect.shared_leases s WHERE s.name = admit.name;
    -- Only ever the first: whoever fits but stands behind one that does not must not pass it, or a writer would wait for ever.
    EXIT WHEN next.candidate IS NULL OR NOT elect.has_room(shared, next.is_exclusive)
      OR elect.share_grace(shared, next.ttl, at) IS NOT NULL;
    PERFORM elect.write_share(shared, at, next.candidate, next.is_exclusive, next.ttl, next.metadata,
      elect.accept_time(next.ttl), next.backend);
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.admit(text, timestamptz) IS
  'Internal. Grants shares to those first in line for as long as there is room. The caller has lock_shared, has read the clock after that and has swept.';
