-- A message may start several runs; `messages.run_id` is the first of them.

create index runs_message on runs (message_id);
