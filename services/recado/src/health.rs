//! `recado health`: a probe for places without a shell or curl, such as our own image.

use std::process::ExitCode;
use std::time::Duration;

use recado_service::config::{Env as _, ProcessEnv};
use recado_testkit::http_client;
use tokio::runtime;

use crate::cli;

/// A probe that waits longer than its prober tells nothing.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Exit code 0 if the role answers that it is ready.
pub(crate) fn main(options: &cli::Health) -> ExitCode {
    let url = options.url.clone().unwrap_or_else(own_url);
    let ask = async { http_client().get(&url).timeout(TIMEOUT).send().await };
    let answered = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| Ok(runtime.block_on(ask)?.status()));
    match answered {
        Ok(status) if status.is_success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("recado: not ready: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("recado: not ready: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where a role with this environment listens. One that listens everywhere does so here, too.
fn own_url() -> String {
    let listen = ProcessEnv.var("RECADO_METRICS_LISTEN");
    let listen = listen.unwrap_or_else(|| "127.0.0.1:9090".to_owned());
    format!("http://{}/health/ready", listen.trim().replace("0.0.0.0", "127.0.0.1"))
}
