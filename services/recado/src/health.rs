//! `recado health`: a probe for places without a shell or curl, such as our own image.

use std::process::ExitCode;

use recado_testkit::http_client;
use tokio::runtime;

use crate::cli;

/// Exit code 0 if the role answers that it is ready.
pub(crate) fn main(options: &cli::Health) -> ExitCode {
    let ask = async { http_client().get(&options.url).send().await };
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
