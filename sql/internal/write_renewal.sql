CREATE OR REPLACE FUNCTION elect.write_renewal(
  lease elect.leases, at timestamptz, ttl interval, metadata jsonb DEFAULT NULL, session uuid DEFAULT NULL
) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  renewed elect.leases;
  kept_by elect.sessions;
  promised timestamptz;
  -- Whoever renews holds it: nobody else can have been granted it by a server of which this one does not know all.
  in_epoch CONSTANT bigint := CASE WHEN elect.is_in_force(lease.epoch) THEN lease.epoch ELSE (elect.epoch_at(at, true)).epoch END;
BEGIN
  IF session IS NOT NULL THEN
    kept_by := elect.keep_session(session);
  END IF;
  IF lease.session IS DISTINCT FROM session THEN
    IF lease.session IS NOT NULL THEN
      -- What it was held by must have lasted until here, and not be ended, or renewed, at the same moment.
      IF (elect.lock_session(lease.session)).expires_at > at THEN
        PERFORM elect.record_loss(lease, session);
      ELSE
        RAISE EXCEPTION 'Session %, which kept lease %, is being ended', lease.session, lease.name
          USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
      END IF;
    END IF;
    IF session IS NOT NULL THEN
      promised := elect.extended_expiry(lease, at, '0');
      IF promised IS NULL THEN
        -- It does not expire, and a renewal is not to shorten that.
        session := NULL;
        kept_by := NULL;
      ELSE
        -- Back again: it is none that was lost.
        DELETE FROM elect.session_losses o WHERE o.session = kept_by.session AND o.name = lease.name AND o.token = lease.token;
      END IF;
      IF promised > kept_by.expires_at THEN
        -- Nor is any other promise to be shortened, as the answer that says so may be lost: the session lasts for as long.
        PERFORM elect.lock_session(session);
        UPDATE elect.sessions AS s SET renewed_at = at, expires_at = greatest(s.expires_at, promised) WHERE s.session = kept_by.session;
      END IF;
    END IF;
  END IF;
  UPDATE elect.leases AS l
  SET version = l.version + 1, epoch = in_epoch, renewed_at = at, ttl = coalesce(kept_by.ttl, write_renewal.ttl),
      -- A session of the server before: it ended with that.
      is_bound = l.is_bound AND l.epoch = in_epoch,
      -- Not lease.metadata, which has been fetched: large metadata would be stored anew at each renewal.
      metadata = coalesce(write_renewal.metadata, l.metadata),
      expires_at = CASE WHEN write_renewal.session IS NULL THEN elect.extended_expiry(lease, at, write_renewal.ttl) END,
      session = write_renewal.session
  WHERE l.name = lease.name
  RETURNING * INTO renewed;
  IF NOT elect.is_durable() THEN
    PERFORM elect.raise_durability();
  END IF;
  RETURN renewed;
END
$$;
COMMENT ON FUNCTION elect.write_renewal(elect.leases, timestamptz, interval, jsonb, uuid) IS
  'Internal. Extends a held lease; metadata null: as it is. The caller has locked the row, read the clock after that, and seen that it is held. session: what keeps it from now on, unless it does not expire; null: its own expiry. Errors: LE004 the session has ended, 55P03 as lock_session.';
