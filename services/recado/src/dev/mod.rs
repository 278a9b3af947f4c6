//! `recado dev`: all roles in one process, on private servers where none are given.

mod installation;
mod seed;
mod servers;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::TimeDelta;
use recado_clock::{Clock as _, SystemClock};
use recado_http::auth::{NewToken, Role};
use recado_service::config::{Env as _, MapEnv, Names, ProcessEnv, Reader, Settings};
use recado_service::{Context, Process};
use tokio::runtime::Runtime;

use crate::{cli, client};
use installation::Installation;
pub(crate) use seed::Demo;
use servers::Servers;

/// How long the token in `dev.json` is good for.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::days(30);

/// Runs everything until a signal comes.
pub(crate) fn main(options: &cli::Dev) -> ExitCode {
    let env = MapEnv::copy_of(&ProcessEnv);
    match Local::start(&options.data_dir, env) {
        Ok(local) => local.run(async |context, _| {
            context.shutdown.cancelled().await;
            Ok(())
        }),
        Err(error) => {
            eprintln!("recado: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Recado on this machine: servers, settings and a demo tenant.
pub(crate) struct Local {
    /// Outlives the roles' runtime: the private servers belong to it.
    runtime: Runtime,
    servers: Servers,
    env: MapEnv,
    installation: Installation,
}

impl Local {
    /// Starts the servers that `env` does not name, with their data in `dir`, brings the schema
    /// up to date, and makes the demo tenant.
    pub(crate) fn start(dir: &Path, mut env: MapEnv) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        let installation = Installation::open(dir)?;
        installation.complete(&mut env)?;
        let runtime = Runtime::new().context("failed to start the runtime")?;
        let servers = runtime.block_on(Servers::start(dir, &mut env))?;
        let database_url = env.var("RECADO_DATABASE_URL").context("the database has no address")?;
        runtime
            .block_on(recado_store::migrate(&database_url))
            .context("the database was not migrated")?;
        Ok(Self { runtime, servers, env, installation })
    }

    /// Runs all roles, and `scenario` beside them; when it returns, everything is stopped.
    pub(crate) fn run(
        self,
        scenario: impl AsyncFnOnce(Context, Demo) -> anyhow::Result<()>,
    ) -> ExitCode {
        let Self { runtime, servers, env, installation } = self;
        let ready_file = installation.ready_file();
        let exit = Process::new("dev", &env)
            .names(Names::of::<AllRoles>().and::<client::Environment>())
            .ready_file(Some(ready_file.clone()));
        let exit = exit.run(async |context: Context, config: AllRoles| {
            let demo = seed::ensure(&config.management, &installation, &context).await?;
            announce(&context, &env, &config.management, &demo)?;
            let scenario = async {
                let scenario_context = context.clone();
                context.started();
                let ended = scenario(scenario_context, demo).await;
                context.shutdown.cancel();
                ended
            };
            // All of it in one task: whichever part fails takes the others with it.
            tokio::try_join!(
                Box::pin(recado_ingress::run(context.for_role("ingress"), config.ingress)),
                Box::pin(recado_buffer::run(context.for_role("buffer"), config.buffer)),
                Box::pin(recado_agent_runner::run(context.for_role("agent-runner"), config.runner)),
                Box::pin(recado_delivery::run(context.for_role("delivery"), config.delivery)),
                Box::pin(recado_sources::run(context.for_role("sources"), config.sources)),
                Box::pin(recado_management::run(context.for_role("management"), config.management)),
                Box::pin(scenario),
            )?;
            Ok(())
        });
        // It tells what runs now; nothing does any more.
        let _ = std::fs::remove_file(ready_file);
        runtime.block_on(servers.stop());
        exit
    }
}

/// The settings of all roles.
struct AllRoles {
    ingress: recado_ingress::Config,
    buffer: recado_buffer::Config,
    runner: recado_agent_runner::Config,
    delivery: recado_delivery::Config,
    sources: recado_sources::Config,
    management: recado_management::Config,
}

impl Settings for AllRoles {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let ingress = recado_ingress::Config::read(read);
        let buffer = recado_buffer::Config::read(read);
        let runner = recado_agent_runner::Config::read(read);
        let delivery = recado_delivery::Config::read(read);
        let sources = recado_sources::Config::read(read);
        let management = recado_management::Config::read(read);
        Some(Self {
            ingress: ingress?,
            buffer: buffer?,
            runner: runner?,
            delivery: delivery?,
            sources: sources?,
            management: management?,
        })
    }
}

/// What `dev.json` holds beside what the roles announce.
fn announce(
    context: &Context,
    env: &MapEnv,
    management: &recado_management::Config,
    demo: &Demo,
) -> anyhow::Result<()> {
    let token = NewToken {
        subject: "dev".into(),
        membership: Some((demo.tenant_id, Role::Owner)),
        lifetime: TOKEN_LIFETIME,
    };
    let jwt = management.tokens.issuer()?.issue(&token, SystemClock::default().now());
    context.announce("tenant_id", demo.tenant_id);
    context.announce("project_id", demo.project_id);
    context.announce("agent_id", demo.agent_id);
    context.announce("triggers", demo.triggers);
    context.announce("jwt", &jwt);
    context.announce("api_key", &demo.api_key);
    for (key, variable) in [
        ("database_url", "RECADO_DATABASE_URL"),
        ("amqp_url", "RECADO_AMQP_URL"),
        ("redis_url", "RECADO_REDIS_URL"),
    ] {
        context.announce(key, env.var(variable));
    }
    Ok(())
}
