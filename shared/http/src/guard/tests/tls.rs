//! Who has to vouch for a server.

use recado_testkit::receiver::{AUTHORITY, Receiver, Script};
use url::Url;

use super::names::Names;
use super::{at, client, get};
use crate::guard::{Authorities, Guard, GuardedClient, SendError};

/// A client that may reach this machine, knows names for it, and trusts who vouches for receivers.
fn trusting() -> GuardedClient {
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let authorities = Authorities::from_pem(AUTHORITY.as_bytes()).unwrap();
    let names = Names::leading_to(&[&["127.0.0.1"]]);
    GuardedClient::resolving(guard, &authorities, &names.shared()).unwrap()
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_sent_nothing() {
    let receiver = Receiver::start_tls(|_| Script::status(200));
    let error = client().send(get(at(&receiver, "/"))).await.unwrap_err();
    assert!(matches!(error, SendError::Tls(_)), "{error:?}");
    assert_eq!((error.code(), error.is_retryable()), ("invalid_certificate", false));
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn an_authority_of_the_operator_may_vouch_for_a_server() {
    let receiver = Receiver::start_tls(|_| Script::status(200));
    let client = trusting();
    assert_eq!(client.send(get(at(&receiver, "/"))).await.unwrap().status, 200);
    let named = |host: &str| -> Url {
        format!("https://{host}:{}/", receiver.address().port()).parse().unwrap()
    };
    assert_eq!(client.send(get(named("receiver.test"))).await.unwrap().status, 200);
    let transport = client.transport_for(&named("receiver.test")).unwrap();
    assert_eq!(transport.get(named("receiver.test")).send().await.unwrap().status(), 200);

    let n_received = receiver.received().len();
    let other = client.send(get(named("other.test"))).await.unwrap_err();
    assert!(matches!(other, SendError::Tls(_)), "{other:?}");
    assert_eq!(receiver.received().len(), n_received);
}

#[tokio::test]
async fn a_server_without_tls_where_there_should_be_some_is_sent_nothing() {
    let receiver = Receiver::doing(Script::send("HTTP/1.1 200 OK\r\n\r\n"));
    let mut url = at(&receiver, "/");
    url.set_scheme("https").unwrap();
    let error = trusting().send(get(url).timeout(super::SHORT)).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(receiver.received().len(), 0);
}

#[test]
fn what_vouches_is_not_shown() {
    let authorities = Authorities::from_pem(AUTHORITY.as_bytes()).unwrap();
    assert_eq!(format!("{authorities:?}"), "Authorities { count: 1 }");
    assert!(Authorities::default().is_empty() && !authorities.is_empty());
}
