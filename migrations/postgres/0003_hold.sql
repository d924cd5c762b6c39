-- A mailbox that is held: listed, but nothing of it is taken in until somebody says so.
alter table mailboxes add column held_since timestamptz;
-- `countersign` for the burst breaker, otherwise who paused it.
alter table mailboxes add column held_by text;
alter table mailboxes add column held_reason text;
-- How many messages waited when the hold began.
alter table mailboxes add column held_waiting bigint;
-- When somebody last let it go on: what was listed until then is no burst any more.
alter table mailboxes add column resumed_at timestamptz;

-- A delivery whose folder was renumbered: the verdict of the same delivery under its first number, which is `duplicate_of`.
alter table messages add column earlier_verdict text;
create index messages_raw on messages (raw_sha256, mailbox);

-- When retention removed the bytes of a discarded message.
alter table messages add column purged_at timestamptz;
create index messages_discarded on messages (disposed_at) where disposition = 'discarded' and purged_at is null;
