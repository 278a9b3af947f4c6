//! A login that is no superuser can make the schema, and everything that works with it.

use std::panic::{AssertUnwindSafe, resume_unwind};

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use recado_store::tenants::{self, EnsureTenant};
use recado_store::{Config, Keyring, Role, Store, views, webhooks};
use recado_testkit::sql;
use recado_types::{ProjectId, TenantId, TriggerId};
use uuid::Uuid;

use crate::fixture::{KEYS, TENANT, now};

/// As a login that has made them would stand to the roles. Until 15, who may make roles may grant
/// any of them.
const AS_THEIR_MAKER: &str = "\
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE 'GRANT recado_worker, recado_management TO {login}
                   WITH ADMIN TRUE, INHERIT FALSE, SET FALSE';
    END IF;
END
$$";

const HASH: [u8; 32] = [7; 32];

fn store(url: &str, role: Role) -> Store {
    let config = Config { role, ..Config::new(url, 1, "test") };
    Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap()
}

async fn work_with(url: &str) {
    recado_store::migrate(url).await.unwrap();

    let worker = store(url, Role::Worker);
    let project_id = ProjectId(Uuid::from_u128(2));
    let tenant = EnsureTenant { id: TENANT, project_id, name: "test" };
    tenants::ensure(&worker, &tenant, now()).await.unwrap();
    let key = format!(
        "SET ROLE recado_worker;
         INSERT INTO api_keys (id, tenant_id, name, prefix, hash, created_at)
         VALUES (gen_random_uuid(), '{}', 'key', 'r', '\\x{}', now())",
        TENANT.0,
        "07".repeat(32)
    );
    sql::execute(url, &key).await.unwrap();

    let management = store(url, Role::Management);
    for (id, n_seen) in [(TENANT, 1), (TenantId(Uuid::from_u128(9)), 0)] {
        let client = management.for_tenant(id);
        let client = client.client("test").await.unwrap();
        let seen = client.query_one("SELECT count(*) FROM projects", &[]).await.unwrap();
        assert_eq!(seen.get::<_, i64>(0), n_seen);
    }
    let missing = TriggerId(Uuid::from_u128(4));
    assert!(!views::trigger_exists(&management.for_tenant(TENANT), TENANT, missing).await.unwrap());
    for asking in [&worker, &management] {
        let found = webhooks::api_key(asking, &HASH).await.unwrap().unwrap();
        assert!(found.is_good(DateTime::<Utc>::MAX_UTC));
    }
    // The owner is bound by the policies like everybody else.
    let superuser = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper";
    assert_eq!(sql::count(url, superuser).await.unwrap(), 0);
}

/// Somebody goes back to the release before, whose migration has nothing to do.
#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let database = recado_testkit::database().await;
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (1000, 'newer', '2026-11-23T00:00:00Z', '1')";
    recado_store::migrate(database.url()).await.unwrap();
    sql::execute(database.url(), newer).await.unwrap();
    recado_store::migrate(database.url()).await.unwrap();
    let is_known = "SELECT count(*) FROM refinery_schema_history WHERE version = 1000";
    assert_eq!(sql::count(database.url(), is_known).await.unwrap(), 1);
    assert!(store(database.url(), Role::Worker).check().await.unwrap());
}

#[tokio::test]
async fn a_login_that_is_no_superuser_migrates_and_works() {
    // Its roles are there: they are the whole server's.
    let existing = recado_testkit::database().await;
    let (server, name) = existing.url().rsplit_once('/').unwrap();
    let login = format!("{name}_owner");
    let make = format!("CREATE ROLE {login} LOGIN CREATEROLE PASSWORD 'x'");
    sql::execute(existing.url(), &make).await.unwrap();
    sql::execute(existing.url(), &AS_THEIR_MAKER.replace("{login}", &login)).await.unwrap();
    sql::execute(existing.url(), &format!("CREATE DATABASE {login} OWNER {login}")).await.unwrap();

    let (scheme, host) = server.split_once("://").unwrap();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let url = format!("{scheme}://{login}:x@{host}/{login}");
    // Whatever comes of it, nothing may stay: neither is the test's own.
    let worked = AssertUnwindSafe(work_with(&url)).catch_unwind().await;

    for drop in [format!("DROP DATABASE {login} WITH (FORCE)"), format!("DROP ROLE {login}")] {
        sql::execute(existing.url(), &drop).await.unwrap();
    }
    worked.unwrap_or_else(|panic| resume_unwind(panic));
}
