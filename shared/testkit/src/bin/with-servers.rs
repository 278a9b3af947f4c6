//! `with-servers COMMAND [ARGUMENT…]`: runs a command, usually `cargo nextest run`, with servers.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use recado_testkit::with_servers;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let command: Vec<OsString> = env::args_os().skip(1).skip_while(|word| word == "--").collect();
    Ok(with_servers::run(&command).await?.into())
}
