-- A message whose sender was asked by a reply, until the answer comes or silence puts it to quarantine.

create table reply_waits (
    message_id blob primary key references messages (id),
    customer text not null,
    mailbox text not null,
    -- The reply that asks, and whom.
    notice_id blob not null unique references notices (id),
    address text not null,
    template text not null,
    -- As the rule says it: `7d`.
    within text not null,
    severity text not null,
    -- An answer that the server received later does not count.
    until_at text not null,
    -- When silence counts: later than `until_at` when mail was not being read then.
    due_at text not null,
    ended_as text,
    ended_at text,
    -- The message that answered.
    answered_by blob references messages (id)
) without rowid;
create index reply_waits_due on reply_waits (due_at) where ended_as is null;
-- The message whose reply of ours this one answers, in time or late.
alter table messages add column answer_to blob;
create index messages_answer_to on messages (answer_to) where answer_to is not null;
