CREATE OR REPLACE FUNCTION elect.renew_one_by_one(names text[], tokens bigint[], ttl interval, session uuid, done integer[])
RETURNS TABLE (
  place integer, name text, granted boolean, holder text, token bigint, version bigint, metadata jsonb, expires_in interval
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT a.place::integer, a.name, answer.granted, answer.holder, answer.token, answer.version, answer.metadata, answer.expires_in
  FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place)
  CROSS JOIN LATERAL elect.try_renewal(a.name COLLATE "C", a.token, renew_one_by_one.ttl, renew_one_by_one.session) AS answer
  WHERE a.place NOT IN (SELECT d.place FROM unnest(done) AS d (place))
  ORDER BY a.place;
END
$$;
COMMENT ON FUNCTION elect.renew_one_by_one(text[], bigint[], interval, uuid, integer[]) IS
  'Internal. As renew_leases, each lease by itself, but for those in the places that are done. Errors: 22023 bad argument among those, LE004 the session has ended.';
