//! The audit trail as it stands: its lines, and whether the chain over them holds.

use crate::domain::event::{GENESIS, Sealed, chain_hash};
use crate::engine::Engine;
use crate::reports::text;
use crate::store::{StoreError, events, reports};

/// Events read at once.
const BATCH: i64 = 500;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events whose place and hash are right, from the first on.
    pub count: i64,
    /// Hash of the last of them.
    pub head: String,
    pub broken: Option<Broken>,
    /// Events that no seal covers yet.
    pub unsealed: i64,
}

/// The first place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub position: i64,
    pub why: String,
}

/// Seals every event that has no place yet. Two sealers at once do no harm.
pub async fn seal(engine: &Engine) -> Result<(), StoreError> {
    loop {
        let mut tx = engine.store.begin().await?;
        let sealed = events::seal(&mut tx, BATCH).await?;
        tx.commit().await?;
        if sealed == 0 {
            return Ok(());
        }
    }
}

/// Sealed events after a place, in order; at most one batch, so that a caller can print while it reads.
pub async fn after(engine: &Engine, position: i64) -> Result<Vec<Sealed>, StoreError> {
    let mut tx = engine.store.read().await?;
    events::after(&mut tx, position, BATCH).await
}

/// The last `lines` sealed events, in order, and the place that whatever is sealed later comes after.
pub async fn tail(engine: &Engine, lines: u32) -> Result<(i64, Vec<Sealed>), StoreError> {
    let mut tx = engine.store.read().await?;
    let (head, _) = events::head(&mut tx).await?;
    let events = events::after(&mut tx, (head - i64::from(lines)).max(0), i64::from(lines)).await?;
    Ok((events.last().map_or(head, |event| event.position), events))
}

/// Reads the whole chain and computes every hash again.
pub async fn verify(engine: &Engine) -> Result<Verified, StoreError> {
    let mut tx = engine.store.read().await?;
    // Read first: whatever is sealed while we verify comes on top of it.
    let expected = reports::sealed_count(&mut tx).await?;
    let unsealed = reports::unsealed_count(&mut tx).await?;
    drop(tx);
    let mut verified = Verified { count: 0, head: GENESIS.to_owned(), broken: None, unsealed };
    let mut most = BATCH;
    loop {
        let mut tx = engine.store.read().await?;
        let batch = match reports::chain(&mut tx, verified.count, most).await {
            Ok(batch) => batch,
            Err(error) if error.is_transient() => return Err(error),
            // A row that cannot even be read is among them: find it one by one.
            Err(_) if most > 1 => {
                most = 1;
                continue;
            }
            Err(_) => return Ok(broken(verified, "its row cannot be read any more")),
        };
        drop(tx);
        if batch.is_empty() {
            break;
        }
        for sealed in &batch {
            if let Some(why) = fault(&verified, sealed) {
                return Ok(broken(verified, why));
            }
            verified.count = sealed.position;
            verified.head.clone_from(&sealed.hash);
        }
    }
    if verified.count < expected {
        let missing = expected - verified.count;
        return Ok(broken(verified, &format!("it is gone: {missing} sealed events are missing at the end")));
    }
    Ok(verified)
}

fn broken(verified: Verified, why: &str) -> Verified {
    let broken = Some(Broken { position: verified.count + 1, why: why.to_owned() });
    Verified { broken, ..verified }
}

/// What is wrong with the event that should come next.
fn fault(so_far: &Verified, sealed: &Sealed) -> Option<&'static str> {
    if sealed.position != so_far.count + 1 {
        return Some("it is gone: the chain has a gap");
    }
    let fits = chain_hash(&so_far.head, sealed.position, &sealed.event) == sealed.hash;
    (!fits).then_some("its content or its place was changed after it was sealed")
}

/// `12  2026-03-02 09:00:05Z  olivia  wait.answered  run 0195… approve  choice=approve via=link`
pub fn line(sealed: &Sealed) -> String {
    let event = &sealed.event;
    let at = event.at.format("%Y-%m-%d %H:%M:%SZ");
    let mut about = vec![];
    about.extend(event.run.map(|id| format!("run={id}")));
    about.extend(event.message.map(|id| format!("message={id}")));
    about.extend(event.step.as_ref().map(|step| format!("step={step}")));
    let filled = event.data.iter().filter(|(_, value)| !value.is_null());
    about.extend(filled.map(|(key, value)| format!("{key}={}", quoted(&text::value(value)))));
    let (actor, about) = (text::one_line(&event.actor), text::one_line(&about.join(" ")));
    let line = format!("{:>6}  {at}  {actor}  {}  {about}", sealed.position, event.kind);
    format!("{}\n", line.trim_end())
}

fn quoted(text: &str) -> String {
    if text.contains(' ') { format!("\"{text}\"") } else { text.to_owned() }
}

/// One JSON object on one line.
pub fn json(sealed: &Sealed) -> String {
    format!("{}\n", serde_json::to_string(sealed).unwrap_or_default())
}

/// What `audit verify` prints.
pub fn verdict(verified: &Verified) -> String {
    let unsealed = match verified.unsealed {
        0 => String::new(),
        1 => "; 1 event is not sealed yet".into(),
        more => format!("; {more} events are not sealed yet"),
    };
    match &verified.broken {
        None => format!("verified {} events, head {}{unsealed}\n", verified.count, verified.head),
        Some(broken) => format!(
            "the chain is broken at position {}: {}; the {} events before it are in order{unsealed}\n",
            broken.position, broken.why, verified.count
        ),
    }
}
