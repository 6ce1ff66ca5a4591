CREATE OR REPLACE FUNCTION elect.is_ttl(ttl interval) RETURNS boolean
LANGUAGE sql STABLE
RETURN ttl BETWEEN '100 milliseconds' AND '24 hours' AND extract(month FROM ttl) = 0 AND extract(year FROM ttl) = 0;
COMMENT ON FUNCTION elect.is_ttl(interval) IS 'Internal. Whether it can be a ttl: 100 ms to 24 h, without months. Null: null.';
