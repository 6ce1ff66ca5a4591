CREATE OR REPLACE FUNCTION elect.is_text(value text) RETURNS boolean
LANGUAGE sql STABLE
RETURN value <> '' AND octet_length(value) <= 500;
COMMENT ON FUNCTION elect.is_text(text) IS 'Internal. Whether it can be a holder, a value or a reason: 1 to 500 bytes. Null: null.';
