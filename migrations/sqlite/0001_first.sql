-- Everything the main job needs. Words as in ARCHITECTURE.md; states are words of src/domain.

create table customers (
    name text primary key,
    aliases text not null,
    updated_at text not null
) strict;

create table suppliers (
    customer text not null references customers (name),
    name text not null,
    domains text not null,
    addresses text not null,
    ibans text not null,
    primary key (customer, name)
) strict;

create table users (
    customer text not null references customers (name),
    name text not null,
    full_name text not null,
    address text not null,
    roles text not null,
    primary key (customer, name)
) strict;

-- One row per configured mailbox: who polls it, how far, how it is.
create table mailboxes (
    name text primary key,
    customer text not null,
    uid_validity integer,
    high_water integer not null default 0,
    lease_owner text,
    lease_until text,
    fence integer not null default 0,
    health text not null default 'unknown',
    failures integer not null default 0,
    last_error text,
    last_poll_at text,
    next_poll_at text
) strict;

-- The ledger: one row per delivery, from the moment it is listed.
create table messages (
    id blob primary key,
    customer text not null,
    mailbox text not null,
    uid_validity integer not null,
    uid text not null,
    transaction_id blob not null,
    state text not null,
    listed_at text not null,
    received_at text,
    size_bytes integer not null,
    raw_sha256 text,
    stable_sha256 text,
    header_message_id text,
    from_address text,
    subject text,
    facts text,
    verdict text,
    reason text,
    explanation text,
    run_id blob,
    wait_id blob,
    duplicate_of blob,
    decided_at text,
    flagged_at text,
    attempts integer not null default 0,
    next_attempt_at text,
    error text,
    unique (mailbox, uid_validity, uid)
) strict;
create index messages_open on messages (mailbox, next_attempt_at) where state = 'listed';
create index messages_unflagged on messages (mailbox) where state = 'decided' and flagged_at is null;
create index messages_stable on messages (customer, stable_sha256);
create index messages_listed_at on messages (listed_at);

create table parts (
    message_id blob not null references messages (id),
    idx integer not null,
    transaction_id blob not null,
    container integer,
    name text,
    declared_type text not null,
    kind text not null,
    role text not null,
    sha256 text not null,
    size_bytes integer not null,
    twin_of integer,
    path text not null,
    primary key (message_id, idx)
) strict;
create index parts_sha256 on parts (sha256);

create table transactions (
    id blob primary key,
    customer text not null,
    message_id blob not null references messages (id),
    created_at text not null
) strict;

-- Definitions as they were when a run was launched with them.
create table workflow_versions (
    hash text primary key,
    name text not null,
    version integer not null,
    definition text not null,
    created_at text not null
) strict;

create table counters (
    name text primary key,
    value integer not null
) strict;

create table runs (
    id blob primary key,
    name text not null unique,
    customer text not null,
    transaction_id blob not null,
    message_id blob,
    workflow text not null,
    workflow_version integer not null,
    workflow_hash text not null references workflow_versions (hash),
    status text not null,
    held integer not null default 0,
    generation integer not null,
    inputs text not null,
    origin text not null,
    failure text,
    parent_run blob,
    lease_owner text,
    lease_until text,
    fence integer not null default 0,
    wake_at text,
    deadline_at text,
    created_at text not null,
    created_by text not null,
    updated_at text not null,
    finished_at text
) strict;
create index runs_queued on runs (created_at) where status = 'queued';
create index runs_leased on runs (lease_until) where status = 'running';
create index runs_wake on runs (wake_at) where wake_at is not null;
create index runs_created on runs (created_at);

create table steps (
    run_id blob not null references runs (id),
    generation integer not null,
    name text not null,
    agent text not null,
    status text not null,
    attempt integer not null,
    output text,
    failure text,
    retry_at text,
    started_at text not null,
    finished_at text,
    primary key (run_id, generation, name)
) strict;

create table waits (
    id blob primary key,
    run_id blob not null references runs (id),
    customer text not null,
    generation integer not null,
    step text not null,
    attempt integer not null,
    kind text not null,
    status text not null,
    question text not null,
    asked text not null,
    facts text not null,
    facts_sha256 text not null,
    ladder text not null,
    rung integer not null,
    due_at text,
    answer text,
    opened_at text not null,
    closed_at text
) strict;
create index waits_run on waits (run_id);
create index waits_due on waits (due_at) where status = 'open';

-- One per answerable notice. The token itself is derived from a key that is not in here; only its hash is kept.
create table tokens (
    id blob primary key,
    hash text not null unique,
    wait_id blob not null references waits (id),
    generation integer not null,
    person text not null,
    address text not null,
    created_at text not null,
    void_at text
) strict;
create index tokens_wait on tokens (wait_id);

-- Everything anybody said to a wait, whether it decided or not.
create table answers (
    id blob primary key,
    wait_id blob not null references waits (id),
    run_id blob not null,
    person text not null,
    choice text,
    comment text,
    via text not null,
    verified text not null,
    effect text not null,
    message_id blob,
    at text not null
) strict;
create index answers_wait on answers (wait_id);

-- The outbox.
create table notices (
    id blob primary key,
    customer text not null,
    run_id blob,
    wait_id blob,
    token_id blob,
    mailbox text,
    medium text not null,
    person text not null,
    address text not null,
    template text not null,
    data text not null,
    attachments text not null,
    header_message_id text not null unique,
    in_reply_to text,
    status text not null,
    attempts integer not null default 0,
    next_at text not null,
    fence integer not null default 0,
    receipt text,
    error text,
    created_at text not null,
    sent_at text
) strict;
create index notices_due on notices (next_at) where status in ('pending', 'sending');
create index notices_wait on notices (wait_id);
create index notices_run on notices (run_id);

-- The audit trail. `position` and `hash` are given once, by the sealer; nothing else is ever changed.
create table events (
    id blob primary key,
    at text not null,
    kind text not null,
    actor text not null,
    customer text not null,
    message_id blob,
    run_id blob,
    step text,
    data text not null,
    position integer unique,
    hash text
) strict;
create index events_unsealed on events (id) where position is null;
create index events_run on events (run_id);
create index events_message on events (message_id);
