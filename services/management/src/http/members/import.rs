//! POST `/api/members/import`: the team as a table (CSV, RFC 4180), as spreadsheets write it.
//!
//! A line is somebody new, unless one of its identifiers is somebody's already: then it changes
//! them. All of it is saved, or nothing; sent again, it changes nothing.

use std::collections::HashMap;

use actix_web::web::{self, Data, Json};
use csv::{ReaderBuilder, StringRecord};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::members::{self, Import, Imported, MemberDraft};
use recado_types::MemberId;
use recado_types::shape::{FieldProblem, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::draft;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::Found;
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::optimistic::until_saved;

/// As many as are judged and saved in well under a second.
const MAX_LINES: usize = 5_000;
/// More mistakes than that are of one kind.
const MAX_PROBLEMS: usize = 100;

const COLUMNS: [&str; 5] = ["name", "phone", "email", "external_id", "active"];

pub(super) const RESOURCE: Resource = Resource::new(
    "/api/members/import",
    "Members",
    &[Operation::post("Import members", Access::Role(Role::Editor), || web::post().to(import))
        .details(
            "CSV in UTF-8 whose first line names its columns: `name`, and of `phone`, `email`, \
             `external_id` and `active` those that there are, in any order. A line whose phone, \
             e-mail address or external id is a member's changes that member; what is empty in it \
             stays as it was. At most 5,000 lines and 1 MiB; all of it is saved, or nothing.",
        )
        .body(RequestBody {
            schema: || json!({ "type": "string" }),
            example: || json!("name,phone,email\nAna,+5511999990000,ana@example.com\n"),
            optional: false,
            content_type: "text/csv",
        })
        .answers_data::<Done>(200)
        .problems(&[Problem::AlreadyExists, Problem::Conflict])],
);

/// What became of the lines.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MemberImport")]
struct Done {
    created: usize,
    updated: usize,
    unchanged: usize,
}

async fn import(api: Data<Api>, caller: Caller, body: Body) -> Result<Json<Found<Done>>, ApiError> {
    let lines = read(&body.text("text/csv").await?)?;
    let done = until_saved(async || {
        let row = |line: &Line| Import {
            id: MemberId(api.clock.fresh_id()),
            draft: line.draft.clone(),
            active: line.says_active.then_some(line.draft.active),
        };
        let rows: Vec<Import> = lines.iter().map(row).collect();
        let now = api.clock.now();
        let imported = members::import(&caller.store, caller.tenant, &rows, now).await;
        match imported.map_err(store_failed)? {
            Imported::Saved { n_created, n_updated, n_unchanged } => {
                Ok(Some(Done { created: n_created, updated: n_updated, unchanged: n_unchanged }))
            }
            Imported::Ambiguous(places) => {
                Err(refused(&places, "its identifiers belong to several members"))
            }
            Imported::Repeated(places) => {
                Err(refused(&places, "it is about a member whom a line before it is about"))
            }
            Imported::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(Found::new(done)))
}

fn refused(places: &[usize], reason: &str) -> ApiError {
    let field = |place: &usize| json!({ "path": path(*place), "reason": reason });
    let fields: Vec<Value> = places.iter().take(MAX_PROBLEMS).map(field).collect();
    let message = format!("{} lines do not name one member each", places.len());
    ApiError::new(Problem::AlreadyExists, message).with_details(json!({ "fields": fields }))
}

/// As people count lines: the first one names the columns.
fn path(place: usize) -> String {
    format!("line {}", place + 2)
}

/// A member of a table.
#[derive(Debug, PartialEq)]
struct Line {
    draft: MemberDraft,
    /// Whether it says whether they are active; if not, they stay as they are.
    says_active: bool,
}

/// The members of a table.
fn read(text: &str) -> Result<Vec<Line>, ApiError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Lines that are too short or too long are told with all other mistakes.
    let mut reader = ReaderBuilder::new();
    let mut reader = reader.flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let malformed =
        |error: csv::Error| ApiError::new(Problem::MalformedBody, format!("no CSV: {error}"));
    let columns = columns(reader.headers().map_err(malformed)?)?;
    let problems = Problems::default();
    let (mut lines, mut n_problems) = (Vec::new(), 0);
    for (place, record) in reader.records().enumerate() {
        if place == MAX_LINES {
            let most = format!("has more than {MAX_LINES} lines of members");
            return Err(ApiError::invalid_field("", most));
        }
        let record = record.map_err(malformed)?;
        match judged(&columns, &record) {
            Ok(line) => lines.push(line),
            Err(mistakes) => {
                n_problems += mistakes.len();
                for FieldProblem { path: field, reason } in mistakes {
                    let at = if field.is_empty() {
                        path(place)
                    } else {
                        format!("{}: {field}", path(place))
                    };
                    problems.add(at, reason);
                }
            }
        }
        if n_problems >= MAX_PROBLEMS {
            break;
        }
    }
    if n_problems == 0 {
        refuse_repetitions(&lines, &problems);
    }
    problems.finish(()).map_err(invalid)?;
    Ok(lines)
}

fn judged(columns: &[&str], record: &StringRecord) -> Result<Line, Vec<FieldProblem>> {
    let (n_fields, n_columns) = (record.len(), columns.len());
    if n_fields != n_columns {
        let fields = if n_fields == 1 { "field" } else { "fields" };
        let reason =
            format!("has {n_fields} {fields}, and the first line names {n_columns} columns");
        return Err(vec![FieldProblem { path: String::new(), reason }]);
    }
    let body = value(columns, record);
    let draft = draft::judge_new(&body)?;
    Ok(Line { draft, says_active: body.get("active").is_some() })
}

/// What spreadsheets write between columns where the comma is in the numbers.
const OTHER_SEPARATORS: [(char, &str); 3] = [(';', "`;`"), ('\t', "a tab"), ('|', "`|`")];

/// What stands between the columns, if it is no comma.
fn other_separator(headers: &StringRecord) -> Option<&'static str> {
    let is_column = |name: &str| {
        let name = name.trim().trim_matches('"');
        COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(name))
    };
    let separates = |separator: char| {
        headers.iter().any(|name| name.contains(separator) && name.split(separator).any(is_column))
    };
    OTHER_SEPARATORS.into_iter().find(|(separator, _)| separates(*separator)).map(|it| it.1)
}

fn columns(headers: &StringRecord) -> Result<Vec<&'static str>, ApiError> {
    if let Some(separator) = other_separator(headers) {
        let reason = format!("has {separator} between its columns: write a comma there");
        return Err(ApiError::invalid_field("line 1", reason));
    }
    let problems = Problems::default();
    let mut columns = Vec::new();
    for name in headers {
        let known = COLUMNS.into_iter().find(|column| column.eq_ignore_ascii_case(name));
        match known {
            Some(column) if columns.contains(&column) => {
                problems.add(column, "is there twice");
            }
            Some(column) => columns.push(column),
            None => {
                let shown: String = name.chars().take(64).collect();
                let expected = format!("is not a column: there are {}", COLUMNS.join(", "));
                problems.add(shown, expected);
            }
        }
    }
    if !columns.contains(&"name") {
        problems.add("name", "is required in the first line, which names the columns");
    }
    problems.finish(columns).map_err(invalid)
}

/// A line as the body of a POST would have it; what is empty is not there.
fn value(columns: &[&str], record: &StringRecord) -> Value {
    let given = columns.iter().zip(record).filter(|(_, text)| !text.is_empty());
    let field = |(column, text): (&&str, &str)| {
        let value = match (*column, text.to_ascii_lowercase().as_str()) {
            ("active", "true" | "yes" | "1") => Value::Bool(true),
            ("active", "false" | "no" | "0") => Value::Bool(false),
            _ => Value::from(text),
        };
        ((*column).to_owned(), value)
    };
    Value::Object(given.map(field).collect::<Map<_, _>>())
}

/// Nobody is there twice.
fn refuse_repetitions(lines: &[Line], problems: &Problems) {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    for (place, Line { draft, .. }) in lines.iter().enumerate() {
        let phone = draft.phone.as_ref().map(|phone| ("phone", phone.key.as_str()));
        let email = draft.email.as_ref().map(|email| ("email", email.key.as_str()));
        let external_id = draft.external_id.as_deref().map(|id| ("external_id", id));
        for (column, key) in [phone, email, external_id].into_iter().flatten() {
            if let Some(first) = seen.insert((column, key), place) {
                let reason = format!("is that of {}", path(first));
                problems.add(format!("{}: {column}", path(place)), reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_table_becomes_members() {
        let table = "\u{feff}Name, EMAIL,phone,active\r\n\
                     \"Silva, Ana\",ana@example.com,,yes\r\nBia,,+5511999990000,0\r\n";
        let lines = read(table).unwrap();
        let [ana, bia] = [&lines[0].draft, &lines[1].draft];
        assert_eq!(ana.name, "Silva, Ana");
        assert_eq!(ana.email.as_ref().unwrap().key, "ana@example.com");
        assert!(ana.active && ana.phone.is_none());
        assert_eq!((bia.name.as_str(), bia.active), ("Bia", false));
        assert!(lines.iter().all(|line| line.says_active));
        let silent = read("name,email,active\nAna,ana@example.com,\n").unwrap();
        assert!(silent[0].draft.active && !silent[0].says_active);
        assert_eq!(read("name,phone\n").unwrap(), []);
    }

    #[test]
    fn mistakes_are_told_by_their_lines() {
        assert!(refused("phone\n+5511999990000\n").starts_with("name: is required"));
        assert!(refused("name,role\nAna,x\n").starts_with("role: is not a column"));
        assert!(refused("name,name\nAna,x\n").starts_with("name: is there twice"));
        assert!(refused("name,phone\nAna,+5511999990000\nBia,x\n").starts_with("line 3: phone"));
        assert!(
            refused("name,email,active\nAna,a@example.com,maybe\n").starts_with("line 2: active")
        );
        assert!(refused("name,email\nAna,a@example.com\nBia,A@EXAMPLE.com\n").contains("line 2"));
        for (separator, shown) in [(";", "`;`"), ("\t", "a tab"), ("|", "`|`")] {
            let told = refused(&"NAME;phone\nAna;+5511999990000\n".replace(';', separator));
            let expected = format!("line 1: has {shown} between its columns: write a comma there");
            assert_eq!(told, expected);
        }
        let ragged = read("name,email\nAna\nBia,b@example.com,1,2\nC,c\n").unwrap_err();
        let fields = ragged.details().unwrap()["fields"].clone();
        assert_eq!(
            fields[0],
            json!({"path": "line 2", "reason": "has 1 field, and the first line names 2 columns"})
        );
        assert_eq!(fields[1]["reason"], "has 4 fields, and the first line names 2 columns");
        assert_eq!(fields[2]["path"], "line 4: email");
        assert_eq!(refused(""), "name: is required in the first line, which names the columns");
        let long = format!("name,external_id\n{}", "x,\n".repeat(MAX_LINES + 1));
        assert!(read(&long).is_err());
    }
}
