//! An authority that nobody knows, and a certificate by it. They are good for tests only: the key is
//! no secret.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

/// Who vouches for receivers with TLS, in PEM: what `RECADO_CA_FILE` would hold.
pub const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIBATAKBggqhkjOPQQDAjAgMR4wHAYDVQQDDBVSZWNhZG8g
dGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBa
MCAxHjAcBgNVBAMMFVJlY2FkbyB0ZXN0IGF1dGhvcml0eTBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABGsD2vZJE1oLUoMxmAja3z/rj365Iriy+ePIhu+ho5D8tx9M
MVdyXzl3UZEMu6iFO9q6ZIDZ2fzaQo1eIDvVqpejQjBAMA8GA1UdEwEB/wQFMAMB
Af8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBRhpYmsgw3uFG7bY8UFpFPx2sn/
DjAKBggqhkjOPQQDAgNIADBFAiEA5Y+cjptFsCm1IK/oYcDXav1OpIgW7kbtryNI
2Jdf6EQCIDWb0L5F/whFuPUXClOPSojwOJwEAMGVeJQTSgbaEHIq
-----END CERTIFICATE-----
";

/// For 127.0.0.1 and `receiver.test`, from 2020 to 2120.
const CERTIFICATE: &str = "\
    MIIBxTCCAWugAwIBAgIBAjAKBggqhkjOPQQDAjAgMR4wHAYDVQQDDBVSZWNhZG8gdGVzdCBhdXRob3JpdHkwIBcN\
    MjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB0xGzAZBgNVBAMMElJlY2FkbyB0ZXN0IHNlcnZlcjBZMBMG\
    ByqGSM49AgEGCCqGSM49AwEHA0IABO6Qvs5oFhgbBu5ehjsZol0tMNFAIVqoe0tVHjt/EFYsVmw45byUD6ZWOBl9\
    RjWh6mbtynQpWdt56pGj5nW8yICjgZYwgZMwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAww\
    CgYIKwYBBQUHAwEwHgYDVR0RBBcwFYcEfwAAAYINcmVjZWl2ZXIudGVzdDAdBgNVHQ4EFgQUOXygY1MQkzeDsAxs\
    4RdDJX3AknQwHwYDVR0jBBgwFoAUYaWJrIMN7hRu22PFBaRT8drJ/w4wCgYIKoZIzj0EAwIDSAAwRQIhAL/MlHOO\
    2XBiRKL4TZ0PWhZbUOVVSy8PPY6XH8LetLFnAiB4qzpigv6Y5whXSuBOcikwNYWhuqjPKknoVoQ1Bte5lA==";
const KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcIm5VMYor6pVRJaf9V4FAhxkcV0ulDM4cLL2HYjQ\
    mImhRANCAATukL7OaBYYGwbuXoY7GaJdLTDRQCFaqHtLVR47fxBWLFZsOOW8lA+mVjgZfUY1oepm7cp0KVnbeeqR\
    o+Z1vMiA";

/// The certificate for a server that is no receiver, in PEM.
pub(crate) fn certificate_pem() -> String {
    format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n")
}

/// The key of [`certificate_pem`].
pub(crate) fn key_pem() -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n")
}

pub(super) fn acceptor() -> TlsAcceptor {
    let decode = |text: &str| BASE64_STANDARD.decode(text).expect("it is base64");
    let key = PrivatePkcs8KeyDer::from(decode(KEY));
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![decode(CERTIFICATE).into()], key.into())
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}
