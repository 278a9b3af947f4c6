//! Reads a body: no more of it than is allowed, and not for longer.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::refusal::Refusal;

/// What is reserved at most before any of it has come.
const RESERVED: usize = 16 * 1024;

/// The body of a request, which is not compressed.
///
/// A compressed one is refused: what is signed, and what is limited, are the bytes on the wire.
/// `admit` is told the length that is announced, and each that is about to be reached; it may refuse.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: Payload,
    max_body: usize,
    within: Duration,
    mut admit: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    let headers = request.headers();
    let announced = announced_length(headers);
    if announced.is_some_and(|length| length > max_body) {
        return Err(Refusal::TooLarge { max_body });
    }
    if !is_identity(headers) {
        return Err(Refusal::UnsupportedEncoding);
    }
    admit(announced.unwrap_or_default())?;
    let mut body = BytesMut::with_capacity(announced.unwrap_or_default().min(RESERVED));
    let reading = fill(&mut body, payload, max_body, admit);
    timeout(within, reading).await.map_err(|_elapsed| Refusal::BodyTimeout)??;
    Ok(body.freeze())
}

async fn fill(
    body: &mut BytesMut,
    mut payload: Payload,
    max_body: usize,
    mut admit: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_cut_off| Refusal::BodyIncomplete)?;
        if body.len() + chunk.len() > max_body {
            return Err(Refusal::TooLarge { max_body });
        }
        admit(body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(())
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_identity(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).all(|value| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    })
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;

    use super::*;

    async fn read_of(request: TestRequest, max_body: usize) -> Result<Bytes, Refusal> {
        let (request, mut payload) = request.to_http_parts();
        let payload = Payload::from_request(&request, &mut payload).await.unwrap();
        read(&request, payload, max_body, Duration::from_secs(5), |_length| Ok(())).await
    }

    #[actix_web::test]
    async fn a_body_may_be_as_large_as_the_limit() {
        for (length, accepted) in [(0, true), (9, true), (10, true), (11, false)] {
            for announce in [true, false] {
                let mut request = TestRequest::post().set_payload(vec![b'x'; length]);
                if announce {
                    request = request.insert_header((CONTENT_LENGTH, length));
                }
                match read_of(request, 10).await {
                    Ok(body) => assert!(accepted && body.len() == length),
                    Err(refusal) => {
                        assert!(!accepted && matches!(refusal, Refusal::TooLarge { max_body: 10 }));
                    }
                }
            }
        }
    }

    #[actix_web::test]
    async fn a_compressed_body_is_refused() {
        for (encoding, accepted) in
            [("identity", true), ("Identity", true), ("", true), ("gzip", false), ("br", false)]
        {
            let request =
                TestRequest::post().insert_header((CONTENT_ENCODING, encoding)).set_payload("{}");
            assert_eq!(read_of(request, 10).await.is_ok(), accepted, "{encoding}");
        }
    }
}
