-- One look at three arguments, at less cost than one at each. Days have 23 to 25 hours where the clocks change, and months any length.
CREATE OR REPLACE FUNCTION elect.is_usual(name text, holder text, ttl interval) RETURNS boolean
LANGUAGE sql STABLE
RETURN name <> '' AND holder <> '' AND octet_length(name || holder) <= 200
  AND ttl BETWEEN '100 milliseconds' AND '24 hours' AND record_image_eq(ROW(date_part('epoch', ttl) * interval '1 second'), ROW(ttl));
COMMENT ON FUNCTION elect.is_usual(text, text, interval) IS
  'Internal. Whether these are valid (valid_name, valid_text, valid_ttl), short, and the ttl has neither days nor months, as is usual: false or null says nothing but that each has to be looked at.';
