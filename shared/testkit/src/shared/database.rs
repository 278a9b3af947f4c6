//! A database per test: a copy of one that was migrated once.

use anyhow::Context;
use tokio_postgres::Client;
use url::Url;

use super::{DATABASE_VARIABLE, clean_up, shared_url, unique_name};
use crate::sql;

const TEMPLATE: &str = "recado_template";

/// Any number that nobody else locks; migrations have a lock of their own.
const TEMPLATE_LOCK: i64 = 0x7465_7374_6b69;

/// A database of one's own, migrated and empty. Dropped together with this.
#[derive(Debug)]
pub struct TestDatabase {
    admin_url: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Where it is, with all rights.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let admin_url = self.admin_url.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        clean_up(
            "a test's database",
            async move { Ok(sql::execute(&admin_url, &statement).await?) },
        );
    }
}

/// A new database, with the schema of this build.
///
/// # Panics
/// If there is no shared server (see [`DATABASE_VARIABLE`]) or it refuses.
pub async fn database() -> TestDatabase {
    let admin_url = shared_url(DATABASE_VARIABLE);
    let name = unique_name();
    let made = make_database(&admin_url, &name).await;
    let url = made.unwrap_or_else(|error| panic!("failed to make a test's database: {error:?}"));
    TestDatabase { admin_url, name, url }
}

async fn make_database(admin_url: &str, name: &str) -> anyhow::Result<String> {
    sql::connected(admin_url, async |admin| -> anyhow::Result<()> {
        // Held until this connection ends: a template that somebody is connected to, in order to
        // migrate it, cannot be copied.
        admin.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await?;
        prepare_template(admin, &with_database(admin_url, TEMPLATE)?).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await?;
        Ok(())
    })
    .await?;
    with_database(admin_url, name)
}

/// Leaves a template that is migrated to the last migration of this build.
async fn prepare_template(admin: &Client, url: &str) -> anyhow::Result<()> {
    let exists = "SELECT FROM pg_database WHERE datname = $1";
    if admin.query_opt(exists, &[&TEMPLATE]).await?.is_some() {
        if recado_store::migrate(url).await.is_ok() {
            return Ok(());
        }
        // A migration was edited since: nothing of what it made is wanted.
        admin.batch_execute(&format!("DROP DATABASE {TEMPLATE} WITH (FORCE)")).await?;
    }
    admin.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).await?;
    recado_store::migrate(url).await.context("failed to migrate the template")
}

fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let mut url = Url::parse(url).context("the database's URL is malformed")?;
    url.set_path(name);
    Ok(url.into())
}
