//! The S3 servers of the benchmark: s3s-fs inside this process, and moto.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::delay;
use crate::rig::Rig;

/// A running server.
pub struct Server {
    pub name: &'static str,
    /// What its figures are worth.
    pub note: &'static str,
    pub url: String,
    /// Where s3s-fs keeps its buckets; moto has none.
    root: Option<PathBuf>,
}

impl Server {
    /// s3s-fs over a directory. It goes with the runtime.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn in_process(root: &Path, runtime: &Runtime) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root)?;
        let files = s3s_fs::FileSystem::new(root).map_err(|error| anyhow!("serve {}: {error:?}", root.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        // The keys that the rig hands out.
        builder.set_auth(SimpleAuth::from_single("test", "testtest"));
        let service = builder.build();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).context("listen for S3")?;
        let url = format!("http://{}", listener.local_addr()?);
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (service, _) = (service.clone(), connection.set_nodelay(true));
                tokio::spawn(async move {
                    let io = TokioIo::new(connection);
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                });
            }
        });
        let note = "s3s-fs is the meaningful one: compiled, many requests at once, some 1.4 ms a PUT, no fsync. It takes its \
            processor time from the same machine. A real bucket is further away, which hurts whoever puts one \
            after the other.";
        Ok(Self { name: "S3 (s3s-fs)", note, url, root: Some(root.to_owned()) })
    }

    /// The same server behind a line of `one_way` in each direction.
    ///
    /// # Errors
    /// When no port is free.
    pub fn behind(&self, runtime: &Runtime, one_way: Duration) -> anyhow::Result<Self> {
        let (_, port) = self.url.rsplit_once(':').context("the port of S3")?;
        let url = format!("http://127.0.0.1:{}", delay::line(runtime, port.parse()?, one_way)?);
        let note = "Behind the line, S3 is as far away as a bucket of the same region.";
        Ok(Self { name: "S3 (s3s-fs, 20 ms RTT)", note, url, root: self.root.clone() })
    }

    /// The moto of the rig.
    ///
    /// # Errors
    /// When it was not started.
    pub fn moto(rig: &Rig) -> anyhow::Result<Self> {
        let note = "moto is one Python interpreter for all requests: it is itself the bottleneck, and nobody can be much \
            quicker than it.";
        Ok(Self { name: "S3 (moto)", note, url: rig.setting("CS_RIG_MOTO_URL")?.to_owned(), root: None })
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn bucket(&self, name: &str) -> anyhow::Result<String> {
        match &self.root {
            Some(root) => std::fs::create_dir(root.join(name))?,
            None => {
                let host = self.url.trim_start_matches("http://");
                let mut connection = TcpStream::connect(host).context("connect to moto")?;
                let request =
                    format!("PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                connection.write_all(request.as_bytes())?;
                let mut answer = String::new();
                connection.read_to_string(&mut answer)?;
                ensure!(answer.contains(" 200 "), "moto makes no bucket: {answer}");
            }
        }
        Ok(name.to_owned())
    }
}
