//! Connections to servers that do not speak HTTP.

use std::sync::Arc;

use recado_testkit::receiver::{AUTHORITY, Receiver, Script};
use recado_types::hosts::DestinationHosts;
use tokio::net::TcpListener;
use url::Host;

use super::names::Names;
use crate::guard::resolver::LookUp;
use crate::guard::{Authorities, DialError, ForbiddenDestination, Guard, GuardedClient, Service};

/// A client for which 127.0.0.1 is an open address, and 127.0.0.2 a closed one.
fn client(names: &Arc<dyn LookUp>) -> GuardedClient {
    let guard = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let authorities = Authorities::from_pem(AUTHORITY.as_bytes()).unwrap();
    GuardedClient::resolving(guard, &authorities, names).unwrap()
}

fn anywhere() -> DestinationHosts {
    DestinationHosts::default()
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

/// Listens on one port at an open address and at a closed one.
async fn open_and_closed() -> (TcpListener, TcpListener, u16) {
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = open.local_addr().unwrap().port();
    let closed = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    (open, closed, port)
}

#[tokio::test]
async fn of_several_addresses_only_open_ones_are_connected_to() {
    let (open, _closed, port) = open_and_closed().await;
    let names = Names::leading_to(&[&["127.0.0.2", "::ffff:127.0.0.2", "127.0.0.1"]]);
    let client = client(&names.shared());
    let dialled = client.dial(Service::Imap, &host("imap.test"), port, &anywhere()).await.unwrap();
    assert_eq!(dialled.1, open.local_addr().unwrap());

    // Nor is a closed one made do with when nobody is there at the open one.
    drop((open, dialled));
    let alone =
        client.dial(Service::Imap, &host("imap.test"), port, &anywhere()).await.unwrap_err();
    assert!(matches!(alone, DialError::Connect { .. }) && alone.is_retryable(), "{alone:?}");
    assert_eq!(alone.to_string(), format!("failed to connect to imap.test:{port}"));
}

#[tokio::test]
async fn closed_addresses_are_not_connected_to_however_they_are_written() {
    let (_open, _closed, port) = open_and_closed().await;
    let names = Names::leading_to(&[&["127.0.0.2"], &["10.0.0.1"], &["169.254.169.254"], &["::1"]]);
    let client = client(&names.shared());
    for text in ["127.0.0.2", "0x7f.2", "2130706434", "[::1]", "[::ffff:127.0.0.2]"]
        .into_iter()
        .chain(["a.test", "b.test", "c.test", "d.test"])
    {
        let error = client.dial(Service::Smtp, &host(text), port, &anywhere()).await.unwrap_err();
        let source = match &error {
            DialError::Forbidden { source, .. } => *source,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(source, ForbiddenDestination::NotPublic, "{text}");
        assert_eq!((error.code(), error.is_retryable()), ("forbidden_destination", false));
    }
}

#[tokio::test]
async fn the_ports_of_a_service_are_open_and_those_of_others_are_not() {
    let names = Names::leading_to(&[&[]]);
    let client = client(&names.shared());
    let port_error = async |service, port| {
        let error = client.dial(service, &host("h.test"), port, &anywhere()).await.unwrap_err();
        matches!(error, DialError::Forbidden { source: ForbiddenDestination::Port, .. })
    };
    for (service, port, is_closed) in [
        (Service::Smtp, 25, false),
        (Service::Smtp, 465, false),
        (Service::Smtp, 22, true),
        (Service::Smtp, 143, true),
        (Service::Imap, 993, false),
        (Service::Imap, 25, true),
        (Service::Postgres, 5432, false),
        (Service::Postgres, 6543, false),
        (Service::Postgres, 1023, true),
    ] {
        assert_eq!(port_error(service, port).await, is_closed, "{service:?} {port}");
    }
}

#[tokio::test]
async fn only_the_tenants_destinations_are_connected_to() {
    let (_open, _closed, port) = open_and_closed().await;
    let names = Names::leading_to(&[&["127.0.0.1"]]);
    let client = client(&names.shared());
    let tenants = DestinationHosts::of(&[format!("mail.test:{port}")]);
    client.dial(Service::Smtp, &host("mail.test"), port, &tenants).await.unwrap();
    let error = client.dial(Service::Smtp, &host("db.test"), port, &tenants).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("destination_not_allowed", false));
}

#[tokio::test]
async fn a_connection_becomes_private_with_who_is_vouched_for() {
    let receiver = Receiver::start_tls(|_| Script::status(200));
    let port = receiver.address().port();
    let names = Names::leading_to(&[&["127.0.0.1"]]);
    let client = client(&names.shared());
    let private = async |name: &str, client: &GuardedClient| {
        let host = host(name);
        let (stream, _) = client.dial(Service::Smtp, &host, port, &anywhere()).await.unwrap();
        client.start_tls(stream, &host).await
    };
    private("receiver.test", &client).await.unwrap();
    private("127.0.0.1", &client).await.unwrap();
    let other = private("other.test", &client).await.unwrap_err();
    assert_eq!((other.code(), other.is_retryable()), ("invalid_certificate", false));

    // Without the operator's authority nobody vouches for it.
    let stranger = GuardedClient::resolving(
        Guard::new(vec!["127.0.0.1/32".parse().unwrap()]),
        &Authorities::default(),
        &names.shared(),
    );
    let stranger = private("receiver.test", &stranger.unwrap()).await.unwrap_err();
    assert_eq!(stranger.code(), "invalid_certificate");
}
