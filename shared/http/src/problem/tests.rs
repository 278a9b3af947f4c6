//! The documents, as they are on the wire.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::header::{ALLOW, HeaderName, RETRY_AFTER};
use actix_web::{App, HttpResponse, ResponseError, test, web};
use serde_json::{Value, json};

use super::*;

async fn document(response: HttpResponse) -> Value {
    serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap()
}

#[test]
async fn codes_are_unique_and_written_like_code() {
    let codes: HashSet<_> = Problem::ALL.iter().map(|problem| problem.code()).collect();
    assert_eq!(codes.len(), Problem::ALL.len());
    for problem in Problem::ALL {
        assert!(problem.code().chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        assert!(problem.status().is_client_error() || problem.status().is_server_error());
        assert!(!problem.title().ends_with('.'));
    }
}

#[test]
async fn a_document_names_every_invalid_field() {
    let reason = |path: &str| FieldReason { path: path.into(), reason: "must be a number".into() };
    let error = ApiError::invalid_fields([reason("a.b"), reason("c")]);
    assert_eq!(error.error_response().status(), 400);
    assert_eq!(
        document(error.error_response()).await,
        json!({
            "success": false,
            "status": "error",
            "error": "invalid_input",
            "message": "2 fields are missing or invalid",
            "details": {"fields": [
                {"path": "a.b", "reason": "must be a number"},
                {"path": "c", "reason": "must be a number"},
            ]},
        })
    );
}

#[test]
async fn a_mistake_of_the_body_itself_is_told_in_a_sentence() {
    let error = ApiError::invalid_field("", "must be an object");
    assert_eq!(error.message(), "the body must be an object");
    let document = document(error.error_response()).await;
    assert_eq!(document["details"]["fields"][0]["path"], "");
}

#[test]
async fn a_5xx_shows_nothing_of_its_cause() {
    let error = ApiError::new(Problem::InternalError, "table agents is gone")
        .with_details(json!({"table": "agents"}))
        .with_source(io::Error::other("relation agents does not exist"));
    let shown = document(error.error_response()).await.to_string();
    assert!(!shown.contains("agents"), "{shown}");
    assert!(shown.contains("internal_error"), "{shown}");
}

#[test]
async fn a_5xx_shows_the_details_that_were_made_for_it() {
    let error = ApiError::new(Problem::InternalError, "table agents is gone")
        .with_public_details(json!({"execution_id": "e1"}))
        .with_source(io::Error::other("relation agents does not exist"));
    let shown = document(error.error_response()).await;
    assert_eq!(shown["message"], "An internal error occurred");
    assert_eq!(shown["details"], json!({"execution_id": "e1"}));
}

#[test]
async fn the_outcome_of_an_execution_is_told_and_its_cause_is_not() {
    for (problem, status) in [(Problem::ExecutionFailed, 500), (Problem::ExecutionTimeout, 504)] {
        let error = ApiError::new(problem, "the model refused")
            .with_details(json!({"table": "agents"}))
            .with_source(io::Error::other("sk-123 was refused"));
        assert_eq!(error.error_response().status(), status);
        let shown = document(error.error_response()).await;
        assert_eq!(shown["message"], "the model refused");
        assert_eq!(shown.get("details"), None, "{shown}");
        assert!(!shown.to_string().contains("sk-123"), "{shown}");
        assert_eq!(ApiError::from(problem).message(), problem.title());
    }
}

#[test]
async fn headers_are_added_to_the_response() {
    let limit = HeaderName::from_static("x-ratelimit-limit");
    let remaining = HeaderName::from_static("x-ratelimit-remaining");
    let error = ApiError::from(Problem::RateLimited)
        .with_header(limit.clone(), 60_u32)
        .with_header(remaining.clone(), 0_u32);
    let response = error.error_response();
    assert_eq!(response.headers().get(limit).unwrap(), "60");
    assert_eq!(response.headers().get(remaining).unwrap(), "0");
    assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "5");
}

#[test]
async fn unavailable_says_when_to_come_back() {
    let error = ApiError::unavailable(io::Error::other("broker is blocked"));
    assert_eq!(error.error_response().headers().get(RETRY_AFTER).unwrap(), "5");
    let error = ApiError::from(Problem::RateLimited).with_retry_after(Duration::from_millis(1_200));
    assert_eq!(error.error_response().headers().get(RETRY_AFTER).unwrap(), "2");
}

#[test]
async fn what_is_refused_of_a_request_is_a_document() {
    let app = App::new().service(
        web::resource("/raw")
            .route(web::post().to(async |payload: web::Payload| {
                let body = read_body(payload, 64, Duration::from_secs(5)).await?;
                Ok::<_, ApiError>(HttpResponse::Ok().body(body))
            }))
            .default_service(method_not_allowed("POST")),
    );
    let app = test::init_service(app).await;
    let cases = [
        (test::TestRequest::post().uri("/raw").set_payload("x".repeat(64)), 200, ""),
        (
            test::TestRequest::post().uri("/raw").set_payload("x".repeat(65)),
            413,
            "payload_too_large",
        ),
        (test::TestRequest::delete().uri("/raw"), 405, "method_not_allowed"),
    ];
    for (request, status, code) in cases {
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), status, "{code}");
        if status == 405 {
            assert_eq!(response.headers().get(ALLOW).unwrap(), "POST");
        }
        if status != 200 {
            let body: Value = test::read_body_json(response).await;
            assert_eq!(body["error"], code);
        }
    }
}

#[test]
async fn a_problem_may_be_told_as_a_google_rpc_status() {
    let error = ApiError::new(Problem::ToolCallDecided, "it was denied")
        .with_details(json!({"status": "denied"}))
        .as_rpc_status();
    assert_eq!(error.error_response().status(), 409);
    let expected = json!({
        "code": 10,
        "message": "it was denied",
        "details": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "TOOL_CALL_DECIDED",
            "domain": "recado",
            "metadata": {"details": r#"{"status":"denied"}"#},
        }],
    });
    assert_eq!(document(error.error_response()).await, expected);
    for (problem, code) in [
        (Problem::InvalidInput, 3),
        (Problem::ToolCallNotFound, 5),
        (Problem::InsufficientPermissions, 7),
        (Problem::InternalError, 13),
        (Problem::Unavailable, 14),
        (Problem::InvalidToken, 16),
    ] {
        let error = ApiError::from(problem).as_rpc_status();
        assert_eq!(document(error.error_response()).await["code"], code, "{problem:?}");
    }
}
