//! `recado apply`: what files say is what there is, and nothing is done twice.

mod diff;
mod file;
mod judge;
mod mistakes;
mod order;
mod plan;
mod resolve;
mod run;
mod secrets;
mod tell;
mod yaml;

use std::collections::HashMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use recado_clock::Clock as _;
use serde_json::Value;

use self::plan::{Action, Planned};
use self::resolve::{Existing, Resource, resolve};
use self::run::Progress;
use self::secrets::Secrets;
use self::tell::Colours;
use super::api::Api;
use super::cli::{Apply, File, Output};
use super::failure::Failure;
use super::kind::Kind;
use super::{Context, print};
use crate::exit_code;

/// Makes and changes what differs from the files, after it was shown and agreed to.
pub(super) async fn run(
    context: &Context,
    options: &Apply,
    only: Option<Kind>,
) -> Result<ExitCode, Failure> {
    let Context { api, output } = context;
    let (resources, mut names) = read(api, &options.file, only).await?;
    let planned = plan::plan(api, resources).await?;
    names.extend(planned.iter().map(|it| (it.resource.id.clone(), it.resource.item.name.clone())));
    let is_table = *output == Output::Table;
    if is_table {
        let colours = Colours(std::io::stdout().is_terminal());
        print::out(&tell::plan(&planned, &names, colours))?;
    }
    let mut progress = Progress::default();
    let tell_json = |progress: &Progress| {
        if is_table {
            return Ok(());
        }
        print::json(&tell::json(&planned, &progress.done, options.dry_run))
    };
    let changes = planned.iter().any(|it| it.action != Action::Nothing);
    if options.dry_run || !changes {
        tell_json(&progress)?;
        let differs = options.exit_code && changes;
        return Ok(if differs {
            ExitCode::from(exit_code::WOULD_CHANGE)
        } else {
            ExitCode::SUCCESS
        });
    }
    agree(options)?;
    let mut secrets = Secrets::open(options.save_secrets.as_deref())?;
    let ended = progress.perform(api, &planned, &mut secrets, is_table).await;
    tell_json(&progress)?;
    tell_lost(&secrets);
    if ended.is_err() {
        let (n_done, n_all) = (progress.done.len(), n_changes(&planned));
        eprintln!("recado: stopped; {n_done} of {n_all} were made or changed, and stay so");
    }
    ended.map(|()| ExitCode::SUCCESS)
}

/// What `recado triggers create` has made, however it ended.
pub(super) struct Made {
    pub(super) made: Vec<Value>,
    pub(super) ended: Result<(), Failure>,
}

/// Makes everything that the files have, whether something of that name is there or not.
pub(super) async fn create(api: &Api, file: &File, only: Kind) -> Made {
    let mut made = Vec::new();
    let ended = create_all(api, file, only, &mut made).await;
    Made { made, ended }
}

async fn create_all(
    api: &Api,
    file: &File,
    only: Kind,
    made: &mut Vec<Value>,
) -> Result<(), Failure> {
    let (resources, _) = read(api, file, Some(only)).await?;
    for resource in resources {
        let answer = api.post(&["api", only.path()], &Value::Object(resource.body)).await;
        made.push(answer.map_err(|failure| run::in_file(&resource.item, failure))?.into_data());
    }
    Ok(())
}

/// What the files say, with what is there of it, and how things are called.
async fn read(
    api: &Api,
    file: &File,
    only: Option<Kind>,
) -> Result<(Vec<Resource>, HashMap<String, String>), Failure> {
    let wanted = file::read(&file.files, only)?;
    let existing = match Existing::load(api, &wanted.items).await {
        Ok(existing) => existing,
        Err(failure) => {
            // What is known to be wrong without the server has to be mended anyway.
            wanted.mistakes.finish()?;
            return Err(failure);
        }
    };
    let fresh_id = || api.clock.fresh_id().to_string();
    let resources = resolve(wanted, &existing, fresh_id)?;
    Ok((resources, existing.names().collect()))
}

/// A person is asked; a program has to have said so.
fn agree(options: &Apply) -> Result<(), Failure> {
    if options.yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage("nobody is there to ask: give --yes, or --dry-run"));
    }
    eprint!("Apply this? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| stdin.lock().read_line(&mut answer));
    read.map_err(|error| Failure::failed(format!("no answer could be read: {error}")))?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::failed("nothing was changed"))
}

fn tell_lost(secrets: &Secrets) {
    if !secrets.lost.is_empty() {
        let whose = secrets.lost.join(", ");
        eprintln!(
            "recado: the secret of {whose} was shown once and not kept; --save-secrets keeps it, \
             rotate-secret makes another one"
        );
    }
}

fn n_changes(planned: &[Planned]) -> usize {
    planned.iter().filter(|it| it.action != Action::Nothing).count()
}
