CREATE OR REPLACE FUNCTION elect.hand_over(lease elect.leases, at timestamptz, event text, successor text DEFAULT NULL, own_session uuid DEFAULT NULL) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  next elect.candidates;
  granted elect.leases;
  new_token bigint;
  message text;
BEGIN
  -- The usual hand-off: that of write_grant, without what is only for the others, where the first in line still waits.
  IF lease.session IS NULL AND lease.part_of IS NULL AND elect.is_in_force(lease.epoch) THEN
    -- Waits for one that is leaving, so that it is not handed what it does not want any more.
    DELETE FROM elect.candidates c
    WHERE c.lease = lease.name
      AND c.candidate = coalesce(successor, (
        SELECT f.candidate FROM elect.candidates f WHERE f.lease = lease.name ORDER BY f.priority DESC, f.arrival LIMIT 1))
      AND elect.is_waiting(c, at)
    RETURNING c.candidate, c.ttl, c.metadata, c.backend INTO next.candidate, next.ttl, next.metadata, next.backend;
    IF FOUND THEN
      new_token := elect.next_token(lease.token, at, lease.epoch);
      UPDATE elect.leases AS l
      SET holder = next.candidate, token = new_token, version = l.version + 1,
          acquired_at = at, renewed_at = at, expires_at = at + elect.accept_time(next.ttl), ttl = next.ttl,
          metadata = next.metadata, is_bound = false
      WHERE l.name = lease.name
      RETURNING * INTO granted;
      IF NOT elect.is_durable() THEN
        PERFORM elect.raise_durability();
      END IF;
      message := elect.news_of(event, lease.name, next.candidate, new_token, lease.holder);
      IF elect.tell(message, lease.name, next.backend) THEN
        RETURN granted;
      END IF;
    END IF;
  END IF;

  IF successor IS NULL THEN
    next := elect.first_in_line(lease.name, at);
  ELSE
    SELECT * INTO next FROM elect.candidates c
    WHERE c.lease = lease.name AND c.candidate = successor AND elect.is_waiting(c, at)
    FOR UPDATE;
  END IF;
  -- Whoever releases may do so for the second time: the first time, of which this server does not know, somebody else may
  -- have been granted it.
  IF next.candidate IS NULL OR elect.grace_of(lease, next.ttl, at, elect.epoch_at(at, true)) IS NOT NULL THEN
    RETURN NULL;
  END IF;
  RETURN elect.write_grant(lease, lease.name, at, next.candidate, next.ttl, next.metadata, event,
    elect.accept_time(next.ttl), next.backend, own_session => own_session);
END
$$;
COMMENT ON FUNCTION elect.hand_over(elect.leases, timestamptz, text, text, uuid) IS
  'Internal. Grants the lease to the first in line, or to the one that is named if it waits; null if there is none, or it is in its grace. It lasts for the accept time until the new holder renews it. The caller has locked the row FOR UPDATE and read the clock after that. own_session: as in record_loss.';
