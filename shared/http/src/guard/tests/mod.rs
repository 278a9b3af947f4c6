//! Closed addresses, names that change, and servers that misbehave.

mod addresses;
mod dial;
mod names;
mod receivers;
mod requests;
mod streams;
mod tls;

use std::time::Duration;

use recado_testkit::receiver::Receiver;
use recado_testkit::wait_for;
use reqwest::Method;
use url::Url;

use super::{Guard, GuardedClient, Outbound};

/// Longer than anything takes that does not hang.
const LONG: Duration = Duration::from_secs(10);

/// How long a test waits for what does not come.
const SHORT: Duration = Duration::from_millis(300);

/// A client that may reach this machine.
fn client() -> GuardedClient {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    GuardedClient::new(Guard::new(loopback.to_vec())).unwrap()
}

fn get(url: Url) -> Outbound {
    Outbound::new(Method::GET, url).timeout(LONG)
}

/// The address of `path` at a receiver.
fn at(receiver: &Receiver, path: &str) -> Url {
    format!("{}{path}", receiver.url()).parse().unwrap()
}

/// Waits until a receiver has no connection left.
async fn until_left_alone(receiver: &Receiver) {
    let left = async || (receiver.n_open() == 0).then_some(());
    wait_for("the end of all connections", LONG, left).await.unwrap();
}
