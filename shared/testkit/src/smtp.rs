//! A mail provider beyond this network, which refuses and breaks off as a real server would not on
//! command. What a real one does is seen at [`crate::servers::Mail`].
//!
//! For each line that a client sends, and for the connection itself, a closure says what to do.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// What a client did.
#[derive(Debug, Clone, Copy)]
pub struct Line<'l> {
    /// Which connection it is, from 1.
    pub connection: usize,
    /// `CONNECT`, `EHLO`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `END` (after a mail's last line), …
    pub verb: &'l str,
    /// The whole line; empty for `CONNECT` and `END`.
    pub text: &'l str,
}

/// What the provider does about it.
#[derive(Debug, Clone)]
pub enum Does {
    /// What a provider does that takes everything.
    Usual,
    /// Says this instead, one reply with or without several lines, without the last line's end.
    Says(String),
    /// Takes what was sent and ends the connection, without a word.
    HangsUp,
    /// Says nothing, and keeps the connection open.
    IsSilent,
}

type Behaviour = dyn Fn(&Line<'_>) -> Does + Send + Sync;

/// A provider on loopback, in the clear. Stopped when it is dropped.
#[derive(Debug)]
pub struct SmtpStub {
    port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    behaviour: Box<Behaviour>,
    is_over: AtomicBool,
    n_connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    mails: Mutex<Vec<String>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("n_connections", &self.n_connections).finish_non_exhaustive()
    }
}

impl SmtpStub {
    /// Starts a provider.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub fn start(behave: impl Fn(&Line<'_>) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            behaviour: Box::new(behave),
            is_over: AtomicBool::new(false),
            n_connections: AtomicUsize::new(0),
            open: Mutex::default(),
            mails: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let state = Arc::clone(&accepting);
                thread::spawn(move || state.talk(&stream));
            }
        });
        Self { port, state, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    pub fn n_connections(&self) -> usize {
        self.state.n_connections.load(Ordering::SeqCst)
    }

    /// Every mail that came to its end, whatever was said about it.
    pub fn mails(&self) -> Vec<String> {
        self.state.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    /// It ends with the connection.
    fn talk(&self, stream: &TcpStream) -> Option<()> {
        let connection = self.n_connections.fetch_add(1, Ordering::SeqCst) + 1;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(stream.try_clone().ok()?);
        drop(open);
        let mut lines = BufReader::new(stream).lines();
        let answer = |verb: &str, text: &str, usual: &str| {
            let reply = match (self.behaviour)(&Line { connection, verb, text }) {
                Does::Usual => usual.to_owned(),
                Does::Says(reply) => reply,
                Does::IsSilent => return Some(false),
                Does::HangsUp => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return None;
                }
            };
            let mut writing = stream;
            writing.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
            Some(reply.starts_with(['2', '3']))
        };
        answer("CONNECT", "", "220 stub.test")?;
        while let Some(Ok(line)) = lines.next() {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let usual = match verb.as_str() {
                "EHLO" => "250-stub.test\r\n250 AUTH PLAIN LOGIN",
                "AUTH" => "235 2.7.0 Welcome",
                "DATA" => "354 Go on",
                "QUIT" => "221 Bye",
                _ => "250 OK",
            };
            let goes_on = answer(&verb, &line, usual)?;
            if verb == "DATA" && goes_on {
                let mail: Vec<String> =
                    lines.by_ref().map_while(Result::ok).take_while(|it| it != ".").collect();
                let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
                mails.push(mail.join("\n"));
                drop(mails);
                answer("END", "", "250 2.0.0 Taken")?;
            }
        }
        Some(())
    }
}

impl Drop for SmtpStub {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes it, to see that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
