-- What is installed begins in an epoch before which there was nothing.
DO $first$
BEGIN
  PERFORM setval('elect.epoch_seen', 1), setval('elect.epoch_number', elect.current_timeline()),
          setval('elect.epoch_identity', elect.current_identity()), setval('elect.epoch_server', elect.server_run());
  INSERT INTO elect.epochs (epoch, timeline, first_seen_at) VALUES (elect.current_timeline(), elect.current_timeline(), '-infinity');
END
$first$;
