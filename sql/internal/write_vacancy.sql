CREATE OR REPLACE FUNCTION elect.write_vacancy(
  lease elect.leases, at timestamptz, event text, metadata jsonb DEFAULT NULL, nobody_waits boolean DEFAULT false,
  own_session uuid DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  line CONSTANT text := coalesce(lease.part_of, lease.name);
  first_backend integer;
  message text;
BEGIN
  IF lease.session IS NOT NULL THEN
    PERFORM elect.record_loss(lease, own_session);
  END IF;
  -- The token stays: the next grant must be larger. A guarded transaction of the old holder may still be open; it
  -- keeps its row lock, and that keeps the next holder out until it has ended.
  UPDATE elect.leases AS l
  SET holder = NULL, version = l.version + 1, renewed_at = at, expires_at = at, metadata = write_vacancy.metadata, session = NULL
  WHERE l.name = lease.name;
  -- Whoever is first in line comes and takes it.
  IF NOT nobody_waits THEN
    SELECT c.backend INTO first_backend FROM elect.candidates c
    WHERE c.lease = line AND elect.is_waiting(c, at)
    ORDER BY c.priority DESC, c.arrival LIMIT 1;
  END IF;
  message := elect.news_of(event, line, NULL, lease.token, lease.holder);
  RETURN elect.tell(message, line, first_backend);
END
$$;
COMMENT ON FUNCTION elect.write_vacancy(elect.leases, timestamptz, text, jsonb, boolean, uuid) IS
  'Internal. Vacates a held lease and tells the followers and the first in line. The caller has locked the row and read the clock after that. nobody_waits: it has seen that the line is empty. own_session: as in record_loss. Always true, as announce.';
