//! The middleware in front of an application.

use std::io;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, test, web};
use chrono::DateTime;
use recado_clock::ManualClock;

use super::*;
use crate::Problem;

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap()))
}

async fn request_id(sent: Option<&str>) -> (String, String) {
    let echo = |request: HttpRequest| async move {
        let id = RequestId::of(&request).unwrap();
        HttpResponse::Ok().body(id.as_str().to_owned())
    };
    let app = App::new()
        .wrap(RequestSpan::new("test", Callers::Linked, clock()))
        .route("/", web::get().to(echo));
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::get().uri("/");
    if let Some(id) = sent {
        request = request.insert_header((REQUEST_ID, id));
    }
    let response = test::call_service(&app, request.to_request()).await;
    let header = response.headers().get(REQUEST_ID).unwrap().to_str().unwrap().to_owned();
    let body = test::read_body(response).await;
    (header, String::from_utf8(body.to_vec()).unwrap())
}

#[actix_web::test]
async fn a_well_formed_id_is_taken_over_and_repeated() {
    assert_eq!(request_id(Some("req-1.a:B_2")).await, ("req-1.a:B_2".into(), "req-1.a:B_2".into()));
}

#[actix_web::test]
async fn any_other_id_is_replaced() {
    let long = "a".repeat(MAX_ID_LEN + 1);
    for sent in [None, Some("a b"), Some("<x>"), Some(long.as_str())] {
        let (header, seen) = request_id(sent).await;
        assert_eq!(header, seen);
        assert!(uuid::Uuid::parse_str(&header).is_ok(), "{header}");
    }
}

#[actix_web::test]
async fn errors_carry_the_id_wherever_they_come_from() {
    let handler =
        async || Err::<HttpResponse, _>(ApiError::internal(io::Error::other("db is gone")));
    let app = App::new()
        .wrap(from_fn(async |request: ServiceRequest, next: actix_web::middleware::Next<_>| {
            if request.path() == "/refused" {
                return Err(ApiError::from(Problem::RateLimited).into());
            }
            next.call(request).await
        }))
        .wrap(RequestSpan::new("test", Callers::Linked, clock()))
        .route("/failed", web::get().to(handler));
    let app = test::init_service(app).await;
    for (path, status) in [("/failed", 500), ("/missing", 404)] {
        let request = test::TestRequest::get().uri(path).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), status);
        assert!(response.headers().contains_key(REQUEST_ID), "{path}");
    }
    let request = test::TestRequest::get().uri("/refused").to_request();
    let error = test::try_call_service(&app, request).await.unwrap_err();
    assert!(error.error_response().headers().contains_key(REQUEST_ID));
}

#[actix_web::test]
async fn paths_and_methods_of_strangers_do_not_become_labels() {
    let app = App::new()
        .wrap(RequestSpan::new("labels", Callers::Linked, clock()))
        .route("/things/{id}", web::to(HttpResponse::Ok));
    let app = test::init_service(app).await;
    for (method, path) in [("GET", "/things/1"), ("GET", "/things/2"), ("BREW", "/nowhere/3")] {
        let method = method.parse().unwrap();
        let request = test::TestRequest::default().method(method).uri(path).to_request();
        test::call_service(&app, request).await;
    }
    let text = recado_metrics::render().unwrap();
    let ours: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("recado_http_requests_total") && line.contains("labels"))
        .collect();
    assert_eq!(
        ours,
        [
            "recado_http_requests_total{method=\"GET\",route=\"/things/{id}\",server=\"labels\",status=\"200\"} 2",
            "recado_http_requests_total{method=\"other\",route=\"unmatched\",server=\"labels\",status=\"404\"} 1",
        ]
    );
}
