//! `recado demo`: one conversation from webhook to callback, on this machine and nowhere else.
//!
//! Everything is what a user would have: the private servers of `recado dev`, the REST API, a
//! trigger with the configuration that seed 000 prints, and webhooks signed as Twilio signs them.
//! Only Twilio itself is a stand-in, a real HTTP server of the testkit.

mod conversation;
mod timeline;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use recado_service::config::{Env as _, MapEnv, ProcessEnv};
use recado_testkit::scratch::ScratchDir;

use crate::dev::Local;
use crate::say;

/// Runs the demo; exit code 0 if the answer arrived as it should.
pub(crate) fn main() -> ExitCode {
    let started = Instant::now();
    say("Recado demo: three WhatsApp messages become one execution and three ordered callbacks.\n");
    say("Starting PostgreSQL, RabbitMQ, Redis and the six roles, privately …");
    let scratch = match ScratchDir::new().context("there is no place for the servers' data") {
        Ok(scratch) => scratch,
        Err(error) => return failed(&error),
    };
    let local = match Local::start(scratch.path(), settings()) {
        Ok(local) => local,
        Err(error) => return failed(&error),
    };
    let exit = local.run(async |context, demo| {
        context.health.ready().await;
        say(&format!("… ready after {:.1} s.\n", started.elapsed().as_secs_f64()));
        let result = conversation::run(&context, &demo).await;
        match &result {
            Ok(told) => say(told),
            Err(error) => eprintln!("recado: {error:#}"),
        }
        result.map(drop)
    });
    drop(scratch);
    exit
}

/// Free ports throughout, so that the demo runs beside whatever else does, and its own servers
/// whatever the environment names.
fn settings() -> MapEnv {
    let mut env = MapEnv::copy_of(&ProcessEnv);
    for url in ["RECADO_DATABASE_URL", "RECADO_AMQP_URL", "RECADO_REDIS_URL", "RECADO_PUBLIC_URL"] {
        env.set(url, "");
    }
    for listen in ["RECADO_INGRESS_LISTEN", "RECADO_MANAGEMENT_LISTEN", "RECADO_METRICS_LISTEN"] {
        env.set(listen, "127.0.0.1:0");
    }
    if env.var("RECADO_LOG").is_none() {
        env.set("RECADO_LOG", "warn");
    }
    env
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("recado: {error:#}");
    ExitCode::FAILURE
}
