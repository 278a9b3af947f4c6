//! Every way of spelling a closed address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use recado_testkit::receiver::{Receiver, Script};
use url::Url;

use super::names::Names;
use super::{LONG, get};
use crate::guard::address::{canonical, is_public};
use crate::guard::{Authorities, ForbiddenDestination, Guard, GuardedClient, SendError};

fn closed(url: &str) -> Option<ForbiddenDestination> {
    let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    Guard::new(Vec::new()).with_plain_http(true).check_url(&url).err()
}

/// This machine, or what may be unwrapped to it.
const LOOPBACK: [&str; 33] = [
    "127.0.0.1",
    "127.0.0.1.",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "0",
    "0.0.0.0",
    "127.255.255.254",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "a.localhost",
    "good.com\t@127.0.0.1",
    "12\n7.0.0.1",
    "[::ffff:0:127.0.0.1]",
    "%31%32%37.0.0.1",
    "127.0.0.1%2e",
];

/// The same, where more of the address than the host is odd.
const LOOPBACK_URLS: [&str; 7] = [
    r"http:\\127.0.0.1",
    "http:127.0.0.1",
    "http:/127.1",
    r"http://127.0.0.1\@good.com/",
    "http://127.0.0.1#@good.com/",
    "http://127.0.0.1?@good.com/",
    "\thtt\nps://127.0.0.1/",
];

#[test]
fn loopback_is_closed_however_it_is_spelt() {
    for host in LOOPBACK {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:8080/x");
            let why = closed(&url);
            let expected = [ForbiddenDestination::NotPublic, ForbiddenDestination::UserInfo];
            assert!(why.is_some_and(|why| expected.contains(&why)), "{url}: {why:?}");
        }
    }
    for url in LOOPBACK_URLS {
        assert_eq!(closed(url), Some(ForbiddenDestination::NotPublic), "{url}");
    }
}

#[test]
fn private_and_special_addresses_are_closed() {
    for host in [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "192.88.99.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[4000::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:10.0.0.1]",
        "[2002:a00:1::]",
        "[64:ff9b::a9fe:a9fe]",
        "[fec0::1]",
    ] {
        let url = format!("https://{host}/");
        assert_eq!(closed(&url), Some(ForbiddenDestination::NotPublic), "{url}");
    }
}

#[test]
fn public_addresses_and_names_are_open() {
    for url in [
        "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
        "https://93.184.216.34/",
        "https://172.32.0.1/",
        "https://100.128.0.1:8443/",
        "https://[2606:4700::1111]/",
        "https://[2a00:1450:4001::1]:443/",
        "http://8.8.8.8:80/",
        "https://localhost.example.com/",
    ] {
        assert_eq!(closed(url), None, "{url}");
    }
}

#[test]
fn other_schemes_user_names_and_ports_are_closed() {
    assert_eq!(closed("gopher://127.0.0.1:6379/"), Some(ForbiddenDestination::Scheme));
    assert_eq!(closed("file:///etc/passwd"), Some(ForbiddenDestination::Scheme));
    assert_eq!(closed("ftp://example.com/"), Some(ForbiddenDestination::Scheme));
    assert_eq!(closed("https://user@example.com/"), Some(ForbiddenDestination::UserInfo));
    assert_eq!(closed("https://:pw@example.com/"), Some(ForbiddenDestination::UserInfo));
    assert_eq!(closed("http://good.com@127.0.0.1/"), Some(ForbiddenDestination::UserInfo));
    assert_eq!(closed("https://example.com:25/"), Some(ForbiddenDestination::Port));
    assert_eq!(closed("https://example.com:22/"), Some(ForbiddenDestination::Port));
}

#[test]
fn the_operator_says_which_ports_of_public_addresses_are_open() {
    let network = vec!["10.0.0.0/8".parse().unwrap()];
    for networks in [Vec::new(), network.clone()] {
        let guard = Guard::new(networks.clone()).with_ports("25,8443".parse().unwrap());
        let check = |url: &str| guard.check_url(&Url::parse(url).unwrap());
        for host in ["93.184.216.34", "example.com"] {
            assert_eq!(check(&format!("https://{host}:8443/")), Ok(()));
            assert_eq!(check(&format!("https://{host}:25/")), Ok(()));
        }
        for port in ["", ":443", ":9443", ":22"] {
            let public = check(&format!("https://93.184.216.34{port}/"));
            assert_eq!(public, Err(ForbiddenDestination::Port), "{port}");
            // A name may lead into the opened network: where it does not, the resolver tells.
            let expected = match (networks.is_empty(), port) {
                (false, "" | ":443" | ":9443") => Ok(()),
                _ => Err(ForbiddenDestination::Port),
            };
            assert_eq!(check(&format!("https://example.com{port}/")), expected, "{port}");
        }
    }
    // Of opened networks the same ones are open as ever.
    let guard = Guard::new(network).with_ports("25".parse().unwrap());
    let check =
        |port: u16| guard.check_url(&Url::parse(&format!("http://10.1.2.3:{port}")).unwrap());
    for port in [80, 443, 1_024, 9_443] {
        assert_eq!(check(port), Ok(()), "{port}");
    }
    for port in [22, 25, 1_023] {
        assert_eq!(check(port), Err(ForbiddenDestination::Port), "{port}");
    }
}

/// Whoever owns a name decides late where it leads.
#[tokio::test]
async fn a_name_that_leads_to_a_closed_port_is_not_followed() {
    let receiver = Receiver::doing(Script::status(200));
    let port = receiver.address().port();
    let names = Names::leading_to(&[&["93.184.216.34"]]);
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()])
        .with_plain_http(true)
        .with_ports("443".parse().unwrap());
    let client = |names: &Names| {
        GuardedClient::resolving(guard.clone(), &Authorities::default(), &names.shared()).unwrap()
    };
    let url: Url = format!("http://name.test:{port}/").parse().unwrap();
    let error = client(&names).send(get(url.clone())).await.unwrap_err();
    let is_closed = matches!(error, SendError::Forbidden(ForbiddenDestination::Port));
    assert!(is_closed, "{error:?}");
    // The same port of the opened network is open.
    let names = Names::leading_to(&[&["127.0.0.1"]]);
    assert_eq!(client(&names).send(get(url)).await.unwrap().status, 200);
}

/// The guard's check can be left out; the client's cannot.
#[tokio::test]
async fn a_client_sends_nothing_to_this_machine_however_it_is_spelt() {
    let receiver = Receiver::doing(Script::status(200));
    // Whatever is taken for a name leads here.
    let names = Names::leading_to(&[&["127.0.0.1"]]);
    let guard = Guard::new(Vec::new()).with_plain_http(true);
    let client = GuardedClient::resolving(guard, &Authorities::default(), &names.shared()).unwrap();
    let port = receiver.address().port();
    let hosts = LOOPBACK.into_iter().chain(["good.com@127.0.0.1", "2.test", "2.test."]);
    let plain = hosts.clone().map(|host| format!("http://{host}:{port}/"));
    let tls = hosts.map(|host| format!("https://{host}:{port}/"));
    let odd = LOOPBACK_URLS.into_iter().map(str::to_owned);
    for text in plain.chain(tls).chain(odd).chain(["gopher://127.0.0.1:6379/".to_owned()]) {
        let mut url: Url = text.parse().unwrap();
        if url.port().is_none() {
            url.set_port(Some(port)).unwrap();
        }
        let whole = client.send(get(url.clone())).await.unwrap_err();
        assert!(matches!(whole, SendError::Forbidden(_)), "{text}: {whole:?}");
        let streamed = client.send_streaming(get(url.clone()), LONG).await.unwrap_err();
        assert!(matches!(streamed, SendError::Forbidden(_)), "{text}: {streamed:?}");
        if let Ok(transport) = client.transport_for(&url) {
            let error = SendError::of(transport.get(url).send().await.unwrap_err());
            assert!(matches!(error, SendError::Forbidden(_)), "{text}: {error:?}");
        }
    }
    assert_eq!(receiver.n_connections(), 0);
}

#[test]
fn an_address_with_a_zone_is_no_address() {
    for url in ["http://[::1%25lo]/", "http://[::1%lo]/", "http://[fe80::1%25eth0]/"] {
        assert!(Url::parse(url).is_err(), "{url}");
    }
}

#[test]
fn plain_http_is_for_opened_networks() {
    let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap()]);
    let check = |url: &str| guard.check_url(&Url::parse(url).unwrap());
    assert_eq!(check("http://10.1.2.3/"), Ok(()));
    assert_eq!(check("http://[::ffff:10.1.2.3]/"), Ok(()));
    assert_eq!(check("https://10.1.2.3/"), Ok(()));
    assert_eq!(check("http://10.2.0.1/"), Err(ForbiddenDestination::NotPublic));
    assert_eq!(check("http://8.8.8.8/"), Err(ForbiddenDestination::PlainHttp));
    // Its address is not known yet: the resolver decides.
    assert_eq!(check("http://erp.internal/"), Ok(()));
    let strict = Guard::new(Vec::new());
    let url = Url::parse("http://example.com/").unwrap();
    assert_eq!(strict.check_url(&url), Err(ForbiddenDestination::PlainHttp));
}

proptest! {
    #[test]
    fn an_address_inside_another_is_no_better(bits: u32) {
        let inner = Ipv4Addr::from_bits(bits);
        let mapped = IpAddr::from(inner.to_ipv6_mapped());
        prop_assert_eq!(is_public(canonical(mapped)), is_public(inner.into()));
        for prefix in [0x0064_ff9b_u128 << 96, 0x2002 << 112] {
            let shift = if prefix >> 112 == 0x2002 { 80 } else { 0 };
            let translated = Ipv6Addr::from_bits(prefix | u128::from(bits) << shift);
            prop_assert!(!is_public(translated.into()));
        }
    }

    #[test]
    fn what_the_standard_library_calls_local_is_closed(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let local = address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_unspecified();
        prop_assert!(!local || !is_public(address.into()));
    }
}
