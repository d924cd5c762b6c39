-- What rules have done besides their verdict: words that a message is kept under, and the folder it is moved to.

create table message_tags (
    message_id uuid not null references messages (id),
    tag text not null,
    primary key (message_id, tag)
);
create index message_tags_tag on message_tags (tag);
alter table messages add column move_to text;
