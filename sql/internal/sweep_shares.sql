CREATE OR REPLACE FUNCTION elect.sweep_shares(name text, at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  share elect.leases;
BEGIN
  -- As of other leases, none is to stick because the clock went back.
  PERFORM elect.cut_to_clock(l.name) FROM elect.leases l WHERE l.part_of = sweep_shares.name AND elect.is_from_future(l, at);
  FOR share IN
    SELECT * FROM elect.leases l
    WHERE l.part_of = sweep_shares.name AND NOT elect.is_held(l, at)
      -- In its grace it says for how long a share of its kind may still be trusted.
      AND elect.grace_of(l, NULL, at, elect.epoch_at(at, true)) IS NULL
    -- A guarded transaction of its holder may still be open. Such a share is over, but counts until that has ended.
    FOR UPDATE SKIP LOCKED
  LOOP
    -- Its session may be being renewed: then it counts still.
    IF share.session IS NOT NULL THEN
      share := elect.end_session_of(share, at);
      CONTINUE WHEN share.session IS NOT NULL;
    END IF;
    -- Not kept, unlike other leases: the tokens of all shares come from one row, which stays.
    DELETE FROM elect.leases l WHERE l.name = share.name;
    IF share.holder IS NOT NULL THEN
      PERFORM elect.announce('expired', share.part_of, NULL, share.token, share.holder);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.sweep_shares(text, timestamptz) IS
  'Internal. Removes the shares that have run out, and cuts those that were written in the future. The caller has lock_shared and read the clock after that.';
