//! Names that lead somewhere else the second time, or to several places at once.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use recado_testkit::receiver::{Receiver, Script};
use recado_testkit::stub::Reply;
use url::Url;

use super::get;
use crate::guard::resolver::LookUp;
use crate::guard::{Authorities, ForbiddenDestination, Guard, GuardedClient, Phase, SendError};

/// Name servers of an adversary: each look-up, of whatever name, has an answer of its own, and the
/// last one stays.
#[derive(Debug, Clone)]
pub(super) struct Names(Arc<Answers>);

#[derive(Debug)]
struct Answers {
    next: Mutex<VecDeque<Vec<SocketAddr>>>,
    n_asked: AtomicUsize,
}

impl Names {
    pub(super) fn leading_to(answers: &[&[&str]]) -> Self {
        let address = |text: &&str| SocketAddr::new(text.parse::<IpAddr>().unwrap(), 0);
        let answers = answers.iter().map(|answer| answer.iter().map(address).collect());
        let next = Mutex::new(answers.collect());
        Self(Arc::new(Answers { next, n_asked: AtomicUsize::new(0) }))
    }

    pub(super) fn shared(&self) -> Arc<dyn LookUp> {
        Arc::new(self.clone())
    }

    fn n_asked(&self) -> usize {
        self.0.n_asked.load(Ordering::SeqCst)
    }
}

impl LookUp for Names {
    fn look_up(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        self.0.n_asked.fetch_add(1, Ordering::SeqCst);
        let mut next = self.0.next.lock().unwrap();
        let answer = if next.len() > 1 { next.pop_front() } else { next.front().cloned() };
        future::ready(Ok(answer.unwrap_or_default())).boxed()
    }
}

/// Asked for a name, it fails, or never answers.
#[derive(Debug)]
enum Broken {
    Failing,
    Silent,
}

impl Broken {
    fn shared(self) -> Arc<dyn LookUp> {
        Arc::new(self)
    }
}

impl LookUp for Broken {
    fn look_up(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        match self {
            Self::Failing => future::ready(Err(io::ErrorKind::NotFound.into())).boxed(),
            Self::Silent => future::pending().boxed(),
        }
    }
}

/// A client for which 127.0.0.1 is an open address, and 127.0.0.2 a closed one.
fn client(names: &Arc<dyn LookUp>) -> GuardedClient {
    let guard = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
    GuardedClient::resolving(guard, &Authorities::default(), names).unwrap()
}

/// Two receivers on one port: at an open address, and at a closed one.
fn open_and_closed(script: &Script) -> (Receiver, Receiver, Url) {
    let open = Receiver::doing(script.clone());
    let port = open.address().port();
    let script = script.clone();
    let closed = Receiver::start_on(([127, 0, 0, 2], port).into(), move |_| script.clone());
    let url = format!("http://rebinding.test:{port}/").parse().unwrap();
    (open, closed, url)
}

#[tokio::test]
async fn a_name_that_has_moved_to_a_closed_address_is_not_followed() {
    let hang_up = Reply::text(200, "").with_header("connection", "close");
    let (open, closed, url) = open_and_closed(&Script::answer(&hang_up));
    let names = Names::leading_to(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = client(&names.shared());
    client.guard().check_url(&url).unwrap();
    client.send(get(url.clone())).await.unwrap();
    let moved = client.send(get(url)).await.unwrap_err();
    assert!(matches!(moved, SendError::Forbidden(ForbiddenDestination::NotPublic)), "{moved:?}");
    assert_eq!((open.n_connections(), closed.n_connections(), names.n_asked()), (1, 0, 2));
}

#[tokio::test]
async fn a_connection_that_is_kept_stays_where_it_was_checked() {
    let (open, closed, url) = open_and_closed(&Script::status(200));
    let names = Names::leading_to(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = client(&names.shared());
    for _ in 0..3 {
        client.send(get(url.clone())).await.unwrap();
    }
    assert_eq!((open.n_connections(), closed.n_connections(), names.n_asked()), (1, 0, 1));
}

#[tokio::test]
async fn of_several_addresses_only_open_ones_are_tried() {
    let (open, closed, url) = open_and_closed(&Script::status(200));
    let names = Names::leading_to(&[&["127.0.0.2", "::ffff:127.0.0.2", "127.0.0.1", "::1"]]);
    client(&names.shared()).send(get(url.clone())).await.unwrap();
    assert_eq!((open.n_connections(), closed.n_connections()), (1, 0));

    // Nor does the client make do with a closed one when nobody is there at the open one.
    drop(open);
    let alone = client(&names.shared()).send(get(url)).await.unwrap_err();
    assert!(matches!(alone, SendError::Connect(_)), "{alone:?}");
    assert_eq!(closed.n_connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_a_closed_address_in_disguise_is_closed() {
    let (open, closed, url) = open_and_closed(&Script::status(200));
    let addresses = [
        "127.0.0.2",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.2",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00:ec2::254",
    ];
    let answers: Vec<&[&str]> = addresses.iter().map(std::slice::from_ref).collect();
    let names = Names::leading_to(&answers);
    let client = client(&names.shared());
    for address in addresses {
        let error = client.send(get(url.clone())).await.unwrap_err();
        let is_closed = matches!(error, SendError::Forbidden(ForbiddenDestination::NotPublic));
        assert!(is_closed && !error.is_retryable(), "{address}: {error:?}");
    }
    assert_eq!(names.n_asked(), addresses.len());
    assert_eq!((open.n_connections(), closed.n_connections()), (0, 0));
}

#[tokio::test]
async fn a_name_that_is_not_found_may_be_found_later() {
    let url: Url = "https://gone.test/?token=hunter2".parse().unwrap();
    let error = client(&Broken::Failing.shared()).send(get(url)).await.unwrap_err();
    assert!(matches!(error, SendError::Connect(_)) && error.is_retryable(), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_too_long_is_given_up() {
    let client = client(&Broken::Silent.shared());
    let begun = tokio::time::Instant::now();
    let url = "https://silent.test/".parse().unwrap();
    let error = client.send(get(url)).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Connect }), "{error:?}");
    assert!(begun.elapsed() < super::LONG, "{:?}", begun.elapsed());
}
