-- What agents said while they worked and how far they are, and how far each receiver of events has been told.

create table step_logs (
    run_id uuid not null,
    generation integer not null,
    step text not null,
    attempt integer not null,
    seq integer not null,
    at timestamptz not null,
    level text not null,
    text text not null,
    primary key (run_id, generation, step, attempt, seq)
);

-- Of the latest attempt that told any.
create table step_progress (
    run_id uuid not null,
    generation integer not null,
    step text not null,
    attempt integer not null,
    percent integer,
    message text not null,
    at timestamptz not null,
    primary key (run_id, generation, step)
);

create table receivers (
    name text primary key,
    position bigint not null,
    fence bigint not null default 0,
    lease_until timestamptz,
    attempts integer not null default 0,
    next_at timestamptz not null,
    failing_since timestamptz,
    error text,
    sent_at timestamptz,
    skipped bigint not null default 0
);
