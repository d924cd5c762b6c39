//! Rows that were there before: finished runs with their steps and events, and queued runs, written by set.

use anyhow::Context;
use countersign::domain::workflow::Workflow;
use countersign::store::{Store, workflows};
use sqlx::AssertSqlSafe;

use crate::world;

/// Adds `count` runs with this status and name prefix; finished ones with five steps and two sealed-looking events each.
///
/// # Errors
/// When the database refuses.
pub async fn fill(store: &Store, workflow: &Workflow, status: &str, prefix: &str, count: usize) -> anyhow::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let hash = workflows::keep(&mut tx, workflow, world::now()).await?;
    tx.commit().await?;
    let done = status == "completed";
    let pg = matches!(store, Store::Pg(_));
    let (id, at, series, json) = if pg {
        (
            "gen_random_uuid()",
            "now() - interval '1 day' + n * interval '1 microsecond'",
            format!("generate_series(1, {count}) as s (n)"),
            "'{}'::jsonb",
        )
    } else {
        (
            "randomblob(16)",
            "strftime('%Y-%m-%dT%H:%M:%f', 'now', '-1 day') || printf('%03d', n % 1000) || '+00:00'",
            format!(
                "(with recursive s (n) as (select 1 union all select n + 1 from s where n < {count}) select n from s) as s"
            ),
            "'{}'",
        )
    };
    let finished = if done { at } else { "null" };
    let runs = format!(
        "insert into runs (id, name, customer, transaction_id, workflow, workflow_version, workflow_hash, status, generation,
            inputs, origin, created_at, created_by, updated_at, finished_at)
         select {id}, '{prefix}-' || n, 'acme', {id}, 'five', 1, '{hash}', '{status}', 1, {json}, {json}, {at}, 'bench', {at},
            {finished} from {series}"
    );
    let of = format!("from runs r where r.name like '{prefix}-%'");
    let steps = format!(
        "insert into steps (run_id, generation, name, agent, status, attempt, output, started_at, finished_at)
         select r.id, 1, 's' || k.n, 'noop', 'success', 1, {json}, r.created_at, r.created_at
         from runs r cross join (select 1 as n union all select 2 union all select 3 union all select 4 union all select 5) as k
         where r.name like '{prefix}-%'"
    );
    let events = format!(
        "insert into events (id, at, kind, actor, customer, run_id, data, position, hash)
         select {id}, r.created_at, 'run.completed', 'countersign', 'acme', r.id, {json},
            -row_number() over (order by r.id), '' {of}"
    );
    let mut statements = vec![runs];
    if done {
        statements.extend([steps, events]);
    }
    statements.push(if pg { "vacuum analyze".into() } else { "analyze".into() });
    for statement in statements {
        let sql = AssertSqlSafe(statement);
        match store {
            Store::Pg(pool) => sqlx::query(sql).execute(pool).await.map(drop),
            Store::Lite(pool) => sqlx::query(sql).execute(pool).await.map(drop),
        }
        .context("fill the tables")?;
    }
    Ok(())
}
