//! One connection: reads requests and follows their scripts.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;

use super::State;
use super::script::{Script, Step};
use crate::stub::Request;

/// More than any request of a test has.
const MAX_HEAD: usize = 256 * 1024;

/// With or without TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Serves requests until a script or the other side ends the connection.
pub(super) async fn serve(mut socket: impl Socket, state: &State) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = read(&mut socket, &mut unread).await? {
        if follow(&mut socket, state.receive(request)).await?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Follows a script; `None` if the connection is to end.
async fn follow(socket: &mut impl Socket, script: Script) -> io::Result<Option<()>> {
    for step in script.steps {
        match step {
            Step::Send(bytes) => socket.write_all(&bytes).await?,
            Step::Repeat { bytes, pause } => loop {
                socket.write_all(&bytes).await?;
                socket.flush().await?;
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            },
            Step::Pause(pause) => {
                socket.flush().await?;
                sleep(pause).await;
            }
            Step::Hang => {
                socket.flush().await?;
                until_hung_up(socket).await?;
                return Ok(None);
            }
            Step::Close => {
                socket.shutdown().await?;
                return Ok(None);
            }
            Step::Reset => {
                socket.tcp().set_zero_linger()?;
                return Ok(None);
            }
        }
    }
    socket.flush().await?;
    Ok(Some(()))
}

async fn until_hung_up(socket: &mut impl Socket) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// The next request; `None` if there is none. `unread` is what was read beyond the one before.
async fn read(socket: &mut impl Socket, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end_of_head = loop {
        if let Some(at) = unread.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if unread.len() > MAX_HEAD || socket.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = unread.drain(..end_of_head).collect();
    let mut request = parse(&String::from_utf8_lossy(&head));
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    let length: usize = length.unwrap_or(0);
    while unread.len() < length {
        if socket.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
    request.body = unread.drain(..length).collect();
    Ok(Some(request))
}

fn parse(head: &str) -> Request {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Request { method, path: path.to_owned(), query: query.to_owned(), headers, body: Vec::new() }
}
