//! The SQL that makes an outbox of a table: what `recado db-event install-sql` prints. Nothing is
//! run here.
//!
//! It can be run again, and for several tables that share an outbox. PostgreSQL 14 or later.

use std::fmt::Write as _;

use recado_types::trigger::db_event::{Identifier, NameError, TableName};
use serde_json::json;

/// The longest name of an outbox, in bytes: its function and its index are named after it.
const MAX_OUTBOX: usize = 56;

/// What of a table becomes rows of its outbox.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The table that is watched.
    pub table: TableName,
    /// What is noted of it; at least one.
    pub events: Vec<Change>,
    /// Where.
    pub outbox: TableName,
    /// What of its rows is noted; all, if there is none.
    pub columns: Vec<Identifier>,
    /// The channel on which every transaction that noted something says so.
    pub notify: Option<Identifier>,
    /// The role that Recado logs in as.
    pub reader: Option<Identifier>,
}

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Insert,
    /// It is changed.
    Update,
    /// It is gone.
    Delete,
}

impl Change {
    const fn verb(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A name within a schema, which is `public` unless it is named.
fn placed(table: &TableName) -> (String, String) {
    let schema = table.schema().map_or("public", Identifier::as_str);
    (schema.to_owned(), table.name().as_str().to_owned())
}

/// Names that were validated have no quotes in them.
fn quoted(schema: &str, name: &str) -> String {
    format!("\"{schema}\".\"{name}\"")
}

/// The statements, with comments that say what they are for.
///
/// # Errors
/// When the outbox's name is too long.
pub fn install_sql(installation: &Installation) -> Result<String, NameError> {
    let Installation { table, events, outbox, columns, notify, reader } = installation;
    let (schema, name) = placed(outbox);
    if name.len() > MAX_OUTBOX {
        return Err(NameError::Table);
    }
    let (table_schema, table_name) = placed(table);
    let (table, outbox) = (quoted(&table_schema, &table_name), quoted(&schema, &name));
    let function = quoted(&schema, &format!("{name}_write"));
    let verbs: Vec<&str> = events.iter().map(|event| event.verb()).collect();
    let mut sql = format!(
        "-- What happens to {table} becomes rows of {outbox}, which Recado reads.\n\
         -- It can be run again. PostgreSQL 14 or later.\n\n"
    );
    if let Some(reader) = reader {
        let _ = write!(
            sql,
            "-- If there is no such role yet:\n\
             -- CREATE ROLE {} LOGIN PASSWORD '…';\n\n",
            reader.quoted()
        );
    }
    let _ = write!(
        sql,
        "BEGIN;\n\n\
         CREATE TABLE IF NOT EXISTS {outbox} (\n    \
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n    \
             txid xid8 NOT NULL DEFAULT pg_current_xact_id(),\n    \
             occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n    \
             table_name text NOT NULL,\n    \
             operation text NOT NULL,\n    \
             \"row\" json NOT NULL,\n    \
             \"old\" json\n\
         );\n\
         CREATE INDEX IF NOT EXISTS \"{name}_order\" ON {outbox} (txid, id);\n\n"
    );
    sql.push_str(&function_sql(&function, &outbox));
    if !columns.is_empty() {
        let columns: Vec<String> = columns.iter().map(Identifier::quoted).collect();
        let columns = columns.join(", ");
        let _ = write!(
            sql,
            "-- Fails here, and changes nothing, if one of them is not there.\n\
             SELECT {columns} FROM {table} LIMIT 0;\n\n"
        );
    }
    // The table, then the channel, then the columns.
    let noted_as = format!("{table_schema}.{table_name}");
    let channel = notify.as_ref().map_or("", Identifier::as_str);
    let arguments = [noted_as.as_str(), channel].into_iter();
    let arguments = arguments.chain(columns.iter().map(Identifier::as_str));
    let arguments: Vec<String> = arguments.map(|argument| format!("'{argument}'")).collect();
    let _ = write!(
        sql,
        "CREATE OR REPLACE TRIGGER \"{name}\"\n    \
             AFTER {} ON {table}\n    \
             FOR EACH ROW EXECUTE FUNCTION {function}({});\n\n",
        verbs.join(" OR "),
        arguments.join(", ")
    );
    if let Some(reader) = reader.as_ref().map(Identifier::quoted) {
        let _ = write!(
            sql,
            "GRANT USAGE ON SCHEMA \"{schema}\" TO {reader};\n\
             GRANT SELECT ON {outbox} TO {reader};\n\n"
        );
    }
    let mut config = json!({
        "table": format!("{schema}.{name}"), "cursor": "id", "transaction": "txid",
    });
    if let Some(notify) = notify {
        config["notify"] = notify.as_str().into();
    }
    let filter = format!("row.table_name == '{noted_as}'");
    let config = json!({
        "db_event": { "secret_ref": "DATABASE_URL", "outbox": config, "filter": filter },
    });
    let config = format!("{config:#}").replace('\n', "\n-- ");
    let _ = write!(
        sql,
        "COMMIT;\n\n\
         -- Rows are not deleted by Recado, which cannot write here. Now and then:\n\
         -- DELETE FROM {outbox} WHERE occurred_at < now() - interval '7 days';\n\n\
         -- The trigger_config that fits; DATABASE_URL is a secret of the tenant:\n\
         -- {config}\n"
    );
    Ok(sql)
}

/// If it failed, what is written to the table would, too. So it makes no `jsonb`, which cannot have
/// all that a column of type `json` can. Only where columns are chosen such a value is looked into.
///
/// Whoever writes to the table needs no right to the outbox, and gets none. Names within are those
/// of PostgreSQL itself, whatever the writer's `search_path` is.
fn function_sql(function: &str, outbox: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger\n    \
             LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n\
         AS $recado$\n\
         DECLARE\n    \
             new_row json;\n    \
             old_row json;\n\
         BEGIN\n    \
             IF TG_OP <> 'DELETE' THEN new_row := row_to_json(NEW); END IF;\n    \
             IF TG_OP <> 'INSERT' THEN old_row := row_to_json(OLD); END IF;\n    \
             IF TG_NARGS > 2 THEN\n        \
                 SELECT json_object_agg(key, value) INTO new_row FROM json_each(new_row)\n         \
                  WHERE key = ANY (TG_ARGV[2:TG_NARGS - 1]);\n        \
                 SELECT json_object_agg(key, value) INTO old_row FROM json_each(old_row)\n         \
                  WHERE key = ANY (TG_ARGV[2:TG_NARGS - 1]);\n    \
             END IF;\n    \
             INSERT INTO {outbox} (table_name, operation, \"row\", \"old\") VALUES (\n        \
                 -- Not TG_TABLE_NAME, which may be that of a partition.\n        \
                 TG_ARGV[0], lower(TG_OP), coalesce(new_row, old_row),\n        \
                 CASE WHEN TG_OP = 'UPDATE' THEN old_row END\n    \
             );\n    \
             -- Once for each transaction, when it is committed.\n    \
             IF TG_ARGV[1] <> '' THEN PERFORM pg_notify(TG_ARGV[1], ''); END IF;\n    \
             RETURN NULL;\n\
         END\n\
         $recado$;\n\
         -- Else anybody could have a table of theirs write there.\n\
         REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;\n\n"
    )
}

#[cfg(test)]
mod tests {
    use recado_types::trigger::TriggerConfig;

    use super::*;

    #[test]
    fn the_configuration_that_is_shown_is_one() {
        let installation = Installation {
            table: "orders".parse().unwrap(),
            events: vec![Change::Insert, Change::Delete],
            outbox: "Sales.Out".parse().unwrap(),
            columns: vec!["id".parse().unwrap()],
            notify: Some("news".parse().unwrap()),
            reader: Some("reader".parse().unwrap()),
        };
        let sql = install_sql(&installation).unwrap();
        assert!(sql.contains("AFTER INSERT OR DELETE ON \"public\".\"orders\""), "{sql}");
        assert!(sql.contains("\"Sales\".\"Out_write\"('public.orders', 'news', 'id')"), "{sql}");
        assert!(sql.contains("GRANT SELECT ON \"Sales\".\"Out\" TO \"reader\""), "{sql}");
        let config = sql.split("secret of the tenant:\n").nth(1).unwrap().replace("\n-- ", "\n");
        let config = serde_json::from_str(config.trim_start_matches("-- ")).unwrap();
        assert!(TriggerConfig::parse(&config).is_ok(), "{config}");
        let outbox = "o".repeat(MAX_OUTBOX + 1).parse().unwrap();
        assert!(install_sql(&Installation { outbox, ..installation }).is_err());
    }
}
