//! The servers that all tests of a run share, and what each test gets of them for itself.
//!
//! `with-servers` starts them and names them in the environment.

use std::env;
use std::thread;

use tokio::runtime;
use uuid::Uuid;

mod database;
mod mail;
mod redis;
mod vhost;

pub use database::{TestDatabase, database};
pub use mail::{TestMail, mail};
pub use redis::{TestRedis, redis};
pub use vhost::{Vhost, vhost};

/// Names the variable with the URL of the shared `PostgreSQL`.
pub const DATABASE_VARIABLE: &str = "TEST_DATABASE_URL";
/// Names the variable with the URL of the shared `RabbitMQ`.
pub const AMQP_VARIABLE: &str = "TEST_AMQP_URL";
/// Names the variable with the URL of the shared `RabbitMQ`'s management API.
pub const ADMIN_VARIABLE: &str = "TEST_AMQP_ADMIN_URL";

/// # Panics
/// If the variable is not set: without the servers no such test can run.
#[expect(clippy::disallowed_methods, reason = "the environment is how `with-servers` tells tests")]
fn shared_url(variable: &str) -> String {
    env::var_os(variable).and_then(|url| url.into_string().ok()).unwrap_or_else(|| {
        panic!(
            "{variable} is not set: run `make test`, or `cargo run -p recado-testkit \
             --bin with-servers -- cargo nextest run …`"
        )
    })
}

/// A name that no other test uses.
fn unique_name() -> String {
    format!("test_{}", Uuid::new_v4().simple())
}

/// Runs a clean-up to its end from within `drop`, whatever runtime the test has or had.
fn clean_up(what: &str, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
    let worker = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work)
    });
    match worker.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("failed to remove {what}: {error:#}"),
        Err(_) => eprintln!("the removal of {what} panicked"),
    }
}
