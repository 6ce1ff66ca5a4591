-- Written out by hand, as it is said with each grant and each release: json_build_object takes twice the time.
CREATE OR REPLACE FUNCTION elect.news_of(event text, name text, holder text, token bigint, previous_holder text) RETURNS text
LANGUAGE sql STABLE
RETURN '{"event" : ' || to_json(event) || ', "name" : ' || to_json(name) || ', "holder" : ' || coalesce(to_json(holder)::text, 'null')
  || ', "token" : ' || token || ', "previous_holder" : ' || coalesce(to_json(previous_holder)::text, 'null') || '}';
COMMENT ON FUNCTION elect.news_of(text, text, text, bigint, text) IS
  'Internal. What is told of a change of holder (announce), as JSON.';
