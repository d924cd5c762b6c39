//! A line of any length to a server on this machine: every chunk arrives a fixed time after it was sent, in order, however
//! many are under way. Bandwidth is not limited; connecting is not delayed.

use std::time::Duration;

use anyhow::Context;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// What may be under way in one direction: 40 ms of a line with 1.6 GB a second.
const UNDER_WAY_BYTES: usize = 64 << 20;

const CHUNK_BYTES: usize = 64 << 10;

/// Opens the line to `to`; gives the port of its near end. It goes with the runtime.
///
/// # Errors
/// When no port is free.
pub fn line(runtime: &Runtime, to: u16, one_way: Duration) -> anyhow::Result<u16> {
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).context("listen for the delay line")?;
    let port = listener.local_addr()?.port();
    runtime.spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::join!(carry(from_near, to_far, one_way), carry(from_far, to_near, one_way));
            });
        }
    });
    Ok(port)
}

/// Carries one direction until its end.
async fn carry(
    mut from: impl AsyncReadExt + Unpin + Send + 'static,
    mut to: impl AsyncWriteExt + Unpin,
    one_way: Duration,
) {
    let (sender, mut under_way) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(UNDER_WAY_BYTES));
    let reader = tokio::spawn(async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = from.read(&mut chunk).await.unwrap_or_default();
            let Ok(permit) = Arc::clone(&room).acquire_many_owned(u32::try_from(read).unwrap_or(u32::MAX)).await else {
                return;
            };
            chunk.truncate(read);
            if sender.send((Instant::now() + one_way, chunk, permit)).is_err() || read == 0 {
                return;
            }
        }
    });
    while let Some((due, chunk, _permit)) = under_way.recv().await {
        sleep_until(due).await;
        if chunk.is_empty() || to.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    reader.abort();
}
