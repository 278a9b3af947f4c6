//! The operators' port: `/health/live`, `/health/ready` and `/metrics`.
//!
//! It has a thread of its own, so it answers while the roles are busy, and it is stopped last, so
//! that a draining process can be watched.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{Health, metrics};

/// How long the runtime may take to run one empty task before the process counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// More connections than any scraper or probe needs.
const MAX_CONNECTIONS: usize = 64;

/// The running listener.
pub struct Listener {
    address: SocketAddr,
    handle: ServerHandle,
}

/// What the endpoints need to know.
#[derive(Clone)]
struct Probes {
    health: Health,
    runtime: Handle,
    tasks: TaskTracker,
}

impl Listener {
    /// Binds `address` (port 0 picks a free one) and serves until [`Listener::stop`]. The server
    /// runs on `tasks`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(
        role: &str,
        address: SocketAddr,
        health: Health,
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        metrics::show_build(role);
        let probes = Probes { health, runtime: Handle::current(), tasks: tasks.clone() };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(probes.clone()))
                .route("/health/live", web::get().to(live))
                .route("/health/ready", web::get().to(ready))
                .route("/metrics", web::get().to(scrape))
        })
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(address)?;
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tasks.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(error = &error as &dyn std::error::Error, "health listener failed");
            }
        });
        Ok(Self { address, handle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops answering.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

/// Alive is a process whose runtime still runs tasks. Dependencies are none of its business.
async fn live(probes: web::Data<Probes>) -> HttpResponse {
    let runs = probes.tasks.spawn_on(async {}, &probes.runtime);
    match tokio::time::timeout(STUCK_AFTER, runs).await {
        Ok(Ok(())) => HttpResponse::Ok().json(json!({"alive": true})),
        Ok(Err(_)) | Err(_) => HttpResponse::ServiceUnavailable().json(json!({"alive": false})),
    }
}

async fn ready(probes: web::Data<Probes>) -> HttpResponse {
    let report = probes.health.report();
    let mut response =
        if report.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((CACHE_CONTROL, "no-store")).json(report)
}

async fn scrape(probes: web::Data<Probes>) -> HttpResponse {
    metrics::show_components(&probes.health.report());
    match recado_metrics::render() {
        Ok(text) => HttpResponse::Ok().content_type(recado_metrics::CONTENT_TYPE).body(text),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot encode metrics");
            HttpResponse::InternalServerError().insert_header(ContentType::plaintext()).finish()
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests ask their own loopback listener")]
mod tests {
    use serde_json::Value;

    use super::*;

    fn start(health: Health) -> (Listener, TaskTracker) {
        let tasks = TaskTracker::new();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        (Listener::start("test", address, health, &tasks).unwrap(), tasks)
    }

    async fn get(listener: &Listener, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", listener.address());
        let response = reqwest::get(url).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_the_components_and_liveness_does_not() {
        let health = Health::default();
        let broker = health.component("broker");
        let (listener, _tasks) = start(health);

        let (status, body) = get(&listener, "/health/ready").await;
        assert_eq!(status, 503);
        let report: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(report["components"][0]["name"], "broker");
        assert_eq!(report["components"][0]["reason"], "starting");
        assert_eq!(get(&listener, "/health/live").await.0, 200);

        broker.ready();
        assert_eq!(get(&listener, "/health/ready").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_tell_what_is_running_and_how_it_is() {
        let health = Health::default();
        health.component("scraped").ready();
        health.component("not-yet");
        let (listener, _tasks) = start(health);
        let (status, body) = get(&listener, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("recado_build_info{revision="), "{body}");
        assert!(body.contains("recado_component_ready{component=\"scraped\"} 1"), "{body}");
        assert!(body.contains("recado_component_ready{component=\"not-yet\"} 0"), "{body}");
        assert!(body.contains("process_resident_memory_bytes"), "{body}");
    }

    #[tokio::test]
    async fn a_stopped_listener_lets_its_tasks_end() {
        let (listener, tasks) = start(Health::default());
        listener.stop().await;
        tasks.close();
        tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.unwrap();
    }
}
