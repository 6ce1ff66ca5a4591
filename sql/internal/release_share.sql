CREATE OR REPLACE FUNCTION elect.release_share(share elect.leases, own_session uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  at timestamptz;
BEGIN
  PERFORM elect.lock_shared(share.part_of);
  at := clock_timestamp();
  PERFORM FROM elect.leases l WHERE l.name = share.name FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    IF share.session IS NOT NULL THEN
      PERFORM elect.record_loss(share, own_session);
    END IF;
    DELETE FROM elect.leases l WHERE l.name = share.name;
    PERFORM elect.announce('released', share.part_of, NULL, share.token, share.holder);
  ELSE
    -- A guarded transaction of its holder is still open, and keeps its room until it has ended.
    PERFORM elect.write_vacancy(share, at, 'released', own_session => own_session);
  END IF;
  UPDATE elect.shared_leases s SET written_at = at WHERE s.name = share.part_of;
  PERFORM elect.sweep_shares(share.part_of, at);
  PERFORM elect.admit(share.part_of, at);
END
$$;
COMMENT ON FUNCTION elect.release_share(elect.leases, uuid) IS
  'Internal. Gives back a share that is held, and grants its room to those first in line. The caller has locked its row. own_session: as in record_loss.';
