//! A model behind the API of chat completions that says little: at once, or after ten seconds.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::bench::http1::{Message, Wire};
use crate::bench::ledger::Ledger;
use crate::bench::message::last_number_in;

/// The provider whose model takes its time, and where it is.
pub(super) const SLOW: &str = "slow";
/// The provider whose model answers at once.
pub(super) const QUICK: &str = "quick";

/// How long the slow one takes.
pub(super) const THINKING: Duration = Duration::from_secs(10);

const SAYS: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\
                    \"content\":\"Yes.\"}}]}\n\n\
                    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\
                    \"usage\":{\"prompt_tokens\":100,\"completion_tokens\":2}}\n\n\
                    data: [DONE]\n\n";

/// The model, for as long as it is kept.
pub(super) struct Model {
    address: SocketAddr,
    asked: Arc<Asked>,
    _listener: JoinSet<()>,
}

/// What it was asked.
struct Asked {
    /// Where it is noted when the model is asked about a message.
    ledger: Arc<Ledger>,
    /// How many wait for their answer.
    n_waiting: AtomicUsize,
}

impl Model {
    /// Listens on a free port of the loopback.
    pub(super) async fn start(ledger: Arc<Ledger>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Asked { ledger, n_waiting: AtomicUsize::new(0) });
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&asked);
        tasks.spawn(async move { listen(&listener, &shared).await });
        Ok(Self { address, asked, _listener: tasks })
    }

    /// Where the provider of this name is.
    pub(super) fn base_url(&self, provider: &str) -> String {
        format!("http://{}/{provider}", self.address)
    }

    /// How many wait for their answer now.
    pub(super) fn n_waiting(&self) -> usize {
        self.asked.n_waiting.load(Ordering::Relaxed)
    }
}

/// The only caller is our own runner, which bounds its connections.
async fn listen(listener: &TcpListener, asked: &Arc<Asked>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let asked = Arc::clone(asked);
        connections.spawn(async move {
            // Who is cut off asks again.
            let _ = answer(stream, &asked).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(stream: TcpStream, asked: &Asked) -> io::Result<()> {
    let length = SAYS.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n\
         {SAYS}"
    );
    let mut wire = Wire::new(stream)?;
    while let Some(question) = wire.read().await? {
        let thinking = thinking_of(&question);
        asked.ledger.called_back(last_number_in(question.body).into_iter());
        asked.n_waiting.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(thinking).await;
        asked.n_waiting.fetch_sub(1, Ordering::Relaxed);
        wire.write(answer.as_bytes()).await?;
    }
    Ok(())
}

fn thinking_of(question: &Message<'_>) -> Duration {
    let is_slow = question.head.starts_with(format!("POST /{SLOW}/").as_bytes());
    if is_slow { THINKING } else { Duration::ZERO }
}
