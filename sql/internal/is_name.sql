CREATE OR REPLACE FUNCTION elect.is_name(name text) RETURNS boolean
LANGUAGE sql STABLE
RETURN name <> '' AND octet_length(name) <= 200;
COMMENT ON FUNCTION elect.is_name(text) IS 'Internal. Whether it can be the name of a lease: 1 to 200 bytes. Null: null.';
