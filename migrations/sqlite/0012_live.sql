-- What agents said while they worked and how far they are, and how far each receiver of events has been told.

create table step_logs (
    run_id blob not null,
    generation integer not null,
    step text not null,
    attempt integer not null,
    seq integer not null,
    at text not null,
    level text not null,
    text text not null,
    primary key (run_id, generation, step, attempt, seq)
) strict, without rowid;

-- Of the latest attempt that told any.
create table step_progress (
    run_id blob not null,
    generation integer not null,
    step text not null,
    attempt integer not null,
    percent integer,
    message text not null,
    at text not null,
    primary key (run_id, generation, step)
) strict, without rowid;

create table receivers (
    name text primary key,
    position integer not null,
    fence integer not null default 0,
    lease_until text,
    attempts integer not null default 0,
    next_at text not null,
    failing_since text,
    error text,
    sent_at text,
    skipped integer not null default 0
) strict;
