//! A handle on the TCP socket under a connection, to be able to end it.
//!
//! A broker that hangs (stopped, half-open, swapping) answers nothing, and lapin then waits for
//! it: a connection that is being opened waits for ever, with a thread and a socket. Shutting the
//! socket down under lapin is the one thing that ends its threads and resolves its promises.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The socket of a connection that is being opened or is open.
#[derive(Debug, Default)]
pub(crate) struct Socket(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Dialling,
    Open(TcpStream),
    Severed,
}

impl Socket {
    /// Takes a second handle of the socket that was dialled.
    ///
    /// Fails if nobody waits for it any more.
    pub(crate) fn hold(&self, stream: TcpStream) -> io::Result<()> {
        let mut state = self.state();
        if matches!(*state, State::Severed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = State::Open(stream);
        Ok(())
    }

    fn sever(&self) {
        let before = std::mem::replace(&mut *self.state(), State::Severed);
        if let State::Open(stream) = before {
            // It fails if the peer was faster, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the connection when dropped.
#[derive(Debug)]
pub(crate) struct SeverOnDrop(pub(crate) Arc<Socket>);

impl Drop for SeverOnDrop {
    fn drop(&mut self) {
        self.0.sever();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn a_dropped_guard_ends_the_socket_for_every_holder() {
        let (near, mut far) = pair();
        let socket = Arc::new(Socket::default());
        socket.hold(near.try_clone().unwrap()).unwrap();
        drop(SeverOnDrop(Arc::clone(&socket)));
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        assert_eq!((&near).read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_comes_too_late_is_refused() {
        let socket = Arc::new(Socket::default());
        drop(SeverOnDrop(Arc::clone(&socket)));
        assert!(socket.hold(pair().0).is_err());
    }
}
