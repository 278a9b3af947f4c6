//! Row-level security, tried with statements of our own as the roles of the database: what no
//! forgotten filter can let through.

use recado_testkit::{TestDatabase, database, sql};
use tokio_postgres::{Client, Error};
use uuid::Uuid;

/// Everything that has rows of tenants.
const TABLES: &str = "\
SELECT tablename FROM pg_tables
 WHERE schemaname = 'public' AND tablename <> 'refinery_schema_history' ORDER BY tablename";

/// A row in every table, for each of two tenants: whatever a column's type takes, checks and
/// references aside.
const FILL: &str = r"
SET session_replication_role = replica;
DO $$
DECLARE
    at record;
    tenant uuid;
    names text;
    given text;
BEGIN
    FOR at IN SELECT conrelid::regclass AS name, conname FROM pg_constraint
               WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', at.name, at.conname);
    END LOOP;
    FOREACH tenant IN ARRAY ARRAY['00000000-0000-0000-0000-00000000000a',
                                  '00000000-0000-0000-0000-00000000000b']::uuid[] LOOP
        FOR at IN SELECT tablename AS name FROM pg_tables
                   WHERE schemaname = 'public' AND tablename <> 'refinery_schema_history' LOOP
            SELECT string_agg(quote_ident(column_name), ', '),
                   string_agg(CASE
                       WHEN column_name = 'tenant_id' OR (at.name = 'tenants' AND column_name = 'id')
                            -- What belongs to it belongs to what has its id.
                            OR (at.name = 'deliveries' AND column_name = 'id')
                            OR (at.name = 'chunks' AND column_name = 'delivery_id')
                           THEN quote_literal(tenant)
                       WHEN data_type = 'uuid' THEN 'gen_random_uuid()'
                       WHEN data_type = 'text' THEN quote_literal(gen_random_uuid())
                       WHEN data_type = 'bytea' THEN format('%L::bytea', gen_random_uuid()::text)
                       WHEN data_type = 'ARRAY' THEN '''{}'''
                       WHEN data_type IN ('json', 'jsonb') THEN '''{}'''
                       WHEN data_type = 'boolean' THEN 'true'
                       WHEN data_type = 'date' THEN 'current_date'
                       WHEN data_type LIKE 'timestamp%' THEN 'now()'
                       ELSE '1' END, ', ')
              INTO names, given
              FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name = at.name AND is_identity = 'NO'
               AND is_generated = 'NEVER';
            EXECUTE format('INSERT INTO %I (%s) VALUES (%s)', at.name, names, given);
        END LOOP;
    END LOOP;
END
$$;
SET session_replication_role = DEFAULT;";

const OURS: &str = "00000000-0000-0000-0000-00000000000a";
const THEIRS: &str = "00000000-0000-0000-0000-00000000000b";

async fn filled() -> (TestDatabase, Vec<String>) {
    let database = database().await;
    sql::execute(database.url(), FILL).await.unwrap();
    let tables = sql::connected(database.url(), async |client| {
        let rows = client.query(TABLES, &[]).await?;
        Ok::<_, Error>(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>())
    });
    let tables = tables.await.unwrap();
    assert!(tables.len() > 25, "{tables:?}");
    (database, tables)
}

async fn become_management(client: &Client, tenant: &str) -> Result<(), Error> {
    let who = format!("SET ROLE recado_management; SET recado.tenant_id = '{tenant}'");
    client.batch_execute(&who).await
}

async fn count(client: &Client, table: &str) -> Result<i64, Error> {
    Ok(client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0))
}

#[tokio::test]
async fn management_sees_one_tenant_and_can_touch_no_other() {
    let (database, tables) = filled().await;
    sql::connected(database.url(), async |client| {
        become_management(client, OURS).await?;
        for table in &tables {
            assert_eq!(count(client, table).await?, 1, "{table}: ours, and only ours");
            if table == "audit_log" {
                // Of a line, whose it is and who did what is said once and for all.
                continue;
            }
            let bare = format!("UPDATE {table} SET {0} = {0}", owner_column(table));
            assert_eq!(client.execute(&bare, &[]).await?, 1, "{table}: an update without a filter");
            // Neither can a row be given away.
            if table != "chunks" {
                let given = format!("UPDATE {table} SET {} = '{THEIRS}'", owner_column(table));
                let error = client.execute(&given, &[]).await.unwrap_err();
                assert_eq!(code(&error), "42501", "{table}: {error}");
            }
        }
        let stolen = "INSERT INTO projects (id, tenant_id, name, created_at, updated_at) \
                      VALUES (gen_random_uuid(), $1, 'x', now(), now())";
        let theirs: Uuid = THEIRS.parse().unwrap();
        let error = client.execute(stolen, &[&theirs]).await.unwrap_err();
        assert_eq!(code(&error), "42501");
        for nobody in ["", "00000000-0000-0000-0000-00000000000c"] {
            become_management(client, nobody).await?;
            for table in &tables {
                assert_eq!(count(client, table).await?, 0, "{table} for {nobody:?}");
            }
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_policies_promise_cannot_be_switched_off_by_those_they_bind() {
    let (database, tables) = filled().await;
    sql::connected(database.url(), async |client| {
        let forced = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                      AND relkind = 'r' AND relrowsecurity AND relforcerowsecurity";
        let n_forced: i64 = client.query_one(forced, &[]).await?.get(0);
        assert_eq!(usize::try_from(n_forced).unwrap(), tables.len(), "a table without policies");
        let owned = "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner \
                     WHERE r.rolname LIKE 'recado\\_%'";
        assert_eq!(
            client.query_one(owned, &[]).await?.get::<_, i64>(0),
            0,
            "a role owns something"
        );

        become_management(client, OURS).await?;
        client.batch_execute("SET row_security = off").await?;
        for table in &tables {
            let error = count(client, table).await.unwrap_err();
            assert_eq!(code(&error), "42501", "{table}: it fails, and does not show everything");
        }
        client.batch_execute("SET row_security = on").await?;
        for statement in [
            "ALTER TABLE executions DISABLE ROW LEVEL SECURITY",
            "DROP POLICY tenant ON executions",
            "CREATE TABLE mine (x int)",
            "TRUNCATE executions",
            "DELETE FROM audit_log",
            "UPDATE audit_log SET tenant_id = tenant_id",
            "UPDATE audit_log SET subject = 'nobody'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "SELECT * FROM pg_authid",
        ] {
            let error = client.batch_execute(statement).await.unwrap_err();
            assert_eq!(code(&error), "42501", "{statement}: {error}");
        }
        // What was answered is said once, and of one's own only.
        client.batch_execute("RESET ROLE; UPDATE audit_log SET status = NULL").await?;
        become_management(client, OURS).await?;
        let answered = "UPDATE audit_log SET status = 200, fields = '{name}', resource_id = 'x'";
        assert_eq!(client.execute(answered, &[]).await?, 1);
        assert_eq!(client.execute(answered, &[]).await?, 0, "it was said before");
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn workers_see_everybody_and_operators_the_tenants() {
    let (database, tables) = filled().await;
    sql::connected(database.url(), async |client| {
        client.batch_execute("SET ROLE recado_worker").await?;
        for table in &tables {
            assert_eq!(count(client, table).await?, 2, "{table}");
        }
        let error = client.batch_execute("CREATE TABLE mine (x int)").await.unwrap_err();
        assert_eq!(code(&error), "42501");
        become_management(client, "").await?;
        client.batch_execute("SET recado.operator = 'on'").await?;
        for table in &tables {
            let expected = if table == "tenants" { 2 } else { 0 };
            assert_eq!(count(client, table).await?, expected, "{table}");
        }
        let hash: Vec<u8> = {
            client.batch_execute("RESET ROLE").await?;
            client.query_one("SELECT hash FROM api_keys LIMIT 1", &[]).await?.get(0)
        };
        become_management(client, "").await?;
        client.batch_execute("SET recado.operator = 'off'").await?;
        let looked_up = "SELECT count(*) FROM recado_api_key($1)";
        let found: i64 = client.query_one(looked_up, &[&hash]).await?.get(0);
        // The row says that it was revoked, as every column has something in it.
        assert_eq!(found, 0);
        client.batch_execute("RESET ROLE; UPDATE api_keys SET revoked_at = NULL").await?;
        become_management(client, "").await?;
        let found: i64 = client.query_one(looked_up, &[&hash]).await?.get(0);
        assert_eq!(found, 1, "whose key it is has to be known before there is a tenant");
        let anybody = "SELECT has_function_privilege('public', 'recado_api_key(bytea)', 'EXECUTE')";
        assert!(!client.query_one(anybody, &[]).await?.get::<_, bool>(0));
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

/// What says whose a row is.
fn owner_column(table: &str) -> &'static str {
    match table {
        "tenants" => "id",
        "chunks" => "delivery_id",
        _ => "tenant_id",
    }
}

fn code(error: &Error) -> String {
    error.code().map_or_else(String::new, |code| code.code().to_owned())
}
