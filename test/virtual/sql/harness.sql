-- What a schedule needs beside the project's own SQL. Looking for a file of a certain name is how it speaks to the test.
CREATE FUNCTION public.virtual_tell(what text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
  PERFORM pg_stat_file('/virtual/' || what, true);
  RETURN true;
END
$$;

-- Asked by statements that lock or update a row, before they do: there they would wait.
ALTER TABLE elect.leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE elect.leases FORCE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON elect.leases USING (true) WITH CHECK (true);
CREATE POLICY locks ON elect.leases AS RESTRICTIVE FOR UPDATE USING (public.virtual_tell('lock')) WITH CHECK (true);

CREATE FUNCTION public.virtual_clear() RETURNS void
LANGUAGE sql AS $$
  DELETE FROM elect.leases;
  DELETE FROM elect.candidates;
  DELETE FROM elect.shared_leases;
  DELETE FROM elect.epochs WHERE first_seen_at > '-infinity';
  SELECT setval('elect.epoch_seen', 1), setval('elect.epoch_number', elect.current_timeline()),
         setval('elect.epoch_identity', elect.current_identity()), setval('elect.epoch_server', elect.server_run());
  UPDATE elect.settings SET longest_ttl = '15 seconds', grace = true;
$$;

CREATE FUNCTION public.virtual_ms(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE RETURN (extract(epoch FROM moment) * 1000)::bigint;
CREATE FUNCTION public.virtual_ms(span interval) RETURNS bigint
LANGUAGE sql IMMUTABLE RETURN (extract(epoch FROM span) * 1000)::bigint;

CREATE FUNCTION public.virtual_state() RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
  RETURN jsonb_build_object(
    'leases', (
      SELECT coalesce(jsonb_agg(jsonb_build_array(l.name, l.holder, l.token, l.version, l.epoch, public.virtual_ms(l.renewed_at),
        public.virtual_ms(l.expires_at), public.virtual_ms(l.ttl), l.part_of) ORDER BY l.name), '[]')
      FROM elect.leases l),
    'places', (
      SELECT coalesce(jsonb_agg(jsonb_build_array(c.lease, c.candidate, c.priority, c.is_exclusive, public.virtual_ms(c.ttl),
        public.virtual_ms(c.seen_at), public.virtual_ms(c.expires_at)) ORDER BY c.lease, c.priority DESC, c.arrival), '[]')
      FROM elect.candidates c),
    'shared', (
      SELECT coalesce(jsonb_agg(jsonb_build_array(s.name, s.capacity, s.token, s.exclusive_token, public.virtual_ms(s.written_at))
        ORDER BY s.name), '[]')
      FROM elect.shared_leases s));
END
$$;

CREATE FUNCTION public.virtual_run(commands jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql AS $$
DECLARE
  command jsonb;
  answer jsonb;
BEGIN
  PERFORM public.virtual_clear();
  FOR command IN SELECT * FROM jsonb_array_elements(commands) LOOP
    PERFORM public.virtual_tell(format('call/%s/%s', command->>'at', command->>'waitMs'));
    BEGIN
      EXECUTE 'SELECT coalesce(jsonb_agg(to_jsonb(c)), ''[]'') FROM (' || (command->>'sql') || ') AS c' INTO answer;
    EXCEPTION
      WHEN OTHERS THEN
        answer := to_jsonb(SQLSTATE);
    END;
    RETURN NEXT jsonb_build_object('answer', answer, 'state', public.virtual_state());
  END LOOP;
END
$$;
