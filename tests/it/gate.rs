//! A port in front of a server, which a test opens, cuts and opens again: nobody there, connections that break, and back.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// Forwards to one port of this machine while it is open.
pub struct Gate {
    pub port: u16,
    to: u16,
    /// Bound but not listening: whoever connects is refused, and nobody else gets the port.
    unopened: Option<TcpSocket>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A port at which nobody listens yet.
    pub fn closed(to: u16) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let port = socket.local_addr().expect("its address").port();
        Self { port, to, unopened: Some(socket), open: watch::channel(false).0 }
    }

    /// A port that forwards from the beginning.
    pub fn opened(to: u16) -> Self {
        let mut gate = Self::closed(to);
        gate.open();
        gate
    }

    /// Lets everybody through from now on.
    pub fn open(&mut self) {
        self.open.send_replace(true);
        if let Some(socket) = self.unopened.take() {
            let listener = socket.listen(128).expect("listen");
            tokio::spawn(accept(listener, self.to, self.open.subscribe()));
        }
    }

    /// Breaks every connection, and each new one as soon as it is made.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }
}

async fn accept(listener: TcpListener, to: u16, mut open: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                if *open.borrow() {
                    tokio::spawn(forward(client, to, open.clone()));
                }
            }
            // The gate is gone, and its test with it.
            Err(_) = open.changed() => return,
        }
    }
}

async fn forward(mut client: TcpStream, to: u16, mut open: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
