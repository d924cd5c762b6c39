//! Watches what a server sends, so that no announcement of it makes us allocate: async-imap reserves a literal's whole
//! announced size at once. Alters no byte; what is too large becomes an error of the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest literal taken, in bytes: twice what `imap` ever asks for.
pub(super) const LITERAL_BYTES: u64 = 2 << 20;
/// Longest line taken, in bytes.
const LINE_BYTES: u64 = 4 << 20;

/// A connection to the server, whatever it is made of.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Socket for T {}

/// A connection that refuses literals above `LITERAL_BYTES` and endless lines.
#[derive(Debug)]
pub(super) struct Guard {
    inner: Box<dyn Socket>,
    place: Place,
}

/// Where in the server's syntax (RFC 9051, 4.3) the stream is.
#[derive(Debug)]
enum Place {
    /// Within a line, so many bytes in; `announced` is the number inside `{…}` if the line so far ends in it.
    Line { bytes: u64, announced: Announced },
    /// Within a literal, so many bytes before its end.
    Literal { left: u64 },
}

#[derive(Debug, Clone, Copy)]
enum Announced {
    No,
    Digits(u64),
    Closed(u64),
}

const LINE_START: Place = Place::Line { bytes: 0, announced: Announced::No };

impl Guard {
    pub(super) fn new(inner: impl Socket + 'static) -> Self {
        Self { inner: Box::new(inner), place: LINE_START }
    }

    pub(super) fn into_inner(self) -> Box<dyn Socket> {
        self.inner
    }
}

impl Place {
    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some(&byte) = bytes.first() {
            match self {
                Self::Literal { left } => {
                    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= step as u64;
                    bytes = &bytes[step..];
                    if *left == 0 {
                        *self = LINE_START;
                    }
                }
                Self::Line { bytes: seen, announced } => {
                    bytes = &bytes[1..];
                    *seen += 1;
                    if *seen > LINE_BYTES {
                        return Err(format!("the server sent a line of more than {LINE_BYTES} bytes"));
                    }
                    *announced = match (byte, *announced) {
                        (b'\n', Announced::Closed(size)) if size > LITERAL_BYTES => {
                            return Err(format!(
                                "the server announced {size} bytes where at most {LITERAL_BYTES} were asked for"
                            ));
                        }
                        (b'\n', Announced::Closed(left)) if left > 0 => {
                            *self = Self::Literal { left };
                            continue;
                        }
                        (b'\n', _) => {
                            *self = LINE_START;
                            continue;
                        }
                        (b'{', _) => Announced::Digits(0),
                        (b'0'..=b'9', Announced::Digits(n)) => {
                            Announced::Digits(n.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
                        }
                        (b'}', Announced::Digits(n)) => Announced::Closed(n),
                        (b'\r', closed @ Announced::Closed(_)) => closed,
                        _ => Announced::No,
                    };
                }
            }
        }
        Ok(())
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let checked = self.place.pass(&buf.filled()[before..]);
        Poll::Ready(checked.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why)))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &[u8], passes: bool) {
        // Cut at every place: how the bytes arrive must not matter.
        for cut in 0..=stream.len() {
            let mut place = LINE_START;
            let result = place.pass(&stream[..cut]).and_then(|()| place.pass(&stream[cut..]));
            assert_eq!(result.is_ok(), passes, "cut at {cut}: {result:?}");
        }
    }

    #[test]
    fn only_the_announcement_of_a_large_literal_is_refused() {
        check(b"* 1 FETCH (BODY[] {500000000}\r\n", false);
        check(b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n", false);
        check(b"* OK ready\r\n* 1 FETCH (BODY[] {5}\r\nab{9} FLAGS ())\r\n", true);
        check(b"* 1 FETCH (BODY[] {0}\r\n)\r\n* 1 FETCH (BODY[] {3000000}\r\n", false);
    }

    #[test]
    fn what_looks_like_an_announcement_inside_a_literal_is_data() {
        check(b"* 1 FETCH (BODY[] {13}\r\n{500000000}\r\n)\r\nA1 OK\r\n", true);
        check(b"* OK {500000000} words after it\r\n", true);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut place = LINE_START;
        let line = vec![b'x'; 1 << 20];
        assert!((0..4).all(|_| place.pass(&line).is_ok()));
        assert!(place.pass(b"x").is_err());
    }
}
