CREATE OR REPLACE FUNCTION elect.news_of(event text, name text, holder text, token bigint, previous_holder text) RETURNS text
LANGUAGE sql STABLE
RETURN row_to_json(ROW(event, name, holder, token, previous_holder)::elect.lease_event)::text;
COMMENT ON FUNCTION elect.news_of(text, text, text, bigint, text) IS
  'Internal. What is told of a change of holder (announce), as JSON.';
