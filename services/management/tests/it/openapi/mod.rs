//! The OpenAPI document: that it is one, that it agrees with itself, that nothing is missing, and
//! that the server does what it says.

mod served;

use std::collections::BTreeSet;

use jsonschema::Validator;
use recado_management::http::operation::{Method, Operation, Resource};
use recado_management::http::resources;
use recado_management::openapi::document;
use serde_json::{Map, Value, json};

const PUBLIC_URL: &str = "https://recado.example.com";

/// The schema that the OpenAPI initiative publishes for documents (Apache-2.0).
const OPENAPI_SCHEMA: &str = include_str!("openapi-3.1-schema.json");

/// Asserts that a list of complaints is empty, and shows all of it if not.
fn nothing_in(complaints: &[String], what: &str) {
    assert!(complaints.is_empty(), "{} {what}:\n{}", complaints.len(), complaints.join("\n"));
}

/// Every operation of a document with its method and path.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        let operations = methods.filter(|(name, _)| METHODS.contains(&name.as_str()));
        operations.map(|(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Calls `see` with every value of a document and its JSON pointer.
fn walk<'a>(value: &'a Value, at: &str, see: &mut impl FnMut(&'a Value, &str)) {
    see(value, at);
    let below = |step: &str| format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| walk(field, &below(name), see));
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(index, item)| walk(item, &below(&index.to_string()), see));
        }
        _ => {}
    }
}

#[test]
fn it_is_an_openapi_document() {
    let document = document(PUBLIC_URL);
    let schema: Value = serde_json::from_str(OPENAPI_SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors = validator.iter_errors(&document);
    let errors = errors.map(|error| format!("{}: {error}", error.instance_path()));
    nothing_in(&errors.collect::<Vec<_>>(), "mistakes of the document");

    // That schema takes anything for a schema.
    let mut mistakes = Vec::new();
    walk(&document, "", &mut |value, at| {
        let schemas = ["/schema", "/components/schemas/"];
        let is_schema = at.ends_with(schemas[0])
            || at.strip_prefix(schemas[1]).is_some_and(|name| !name.contains('/'));
        if is_schema && let Err(error) = jsonschema::draft202012::meta::validate(value) {
            mistakes.push(format!("{at}: {error}"));
        }
    });
    nothing_in(&mistakes, "schemas that are none");
}

#[test]
fn it_is_always_the_same() {
    assert_eq!(document(PUBLIC_URL).to_string(), document(PUBLIC_URL).to_string());
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document(PUBLIC_URL);
    let mut lost = Vec::new();
    walk(&document, "", &mut |value, at| {
        let Some(target) = value.get("$ref").and_then(Value::as_str) else { return };
        let found = target.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        if found.is_none() {
            lost.push(format!("{at}: {target}"));
        }
    });
    nothing_in(&lost, "references to nothing");
}

#[test]
fn every_example_is_one() {
    let document = document(PUBLIC_URL);
    let mut wrong = Vec::new();
    let mut n_examples = 0;
    walk(&document, "", &mut |value, at| {
        let Some(schema) = value.get("schema").filter(|_| !at.contains("/schemas/")) else {
            return;
        };
        let single = value.get("example");
        let named = value.get("examples").and_then(Value::as_object);
        let named = named.into_iter().flat_map(Map::values).map(|example| &example["value"]);
        let examples: Vec<&Value> = single.into_iter().chain(named).collect();
        if examples.is_empty() {
            return;
        }
        let validator = validator(&document, schema);
        for example in examples {
            n_examples += 1;
            let errors = validator.iter_errors(example);
            wrong.extend(errors.map(|error| format!("{at}{}: {error}", error.instance_path())));
        }
    });
    nothing_in(&wrong, "mistakes of examples");
    assert!(n_examples > resources().count());
}

/// A judge of values by a schema of the document. It is given no more of it than it needs: the
/// whole document for each of hundreds of schemas takes half a minute.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut needed = Map::new();
    gather(document, schema, &mut needed);
    let whole = json!({ "allOf": [schema], "components": { "schemas": needed } });
    jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap()
}

/// Adds the schemas that a schema refers to, and those that these refer to.
fn gather(document: &Value, schema: &Value, needed: &mut Map<String, Value>) {
    let mut names = BTreeSet::new();
    walk(schema, "", &mut |value, _| {
        let target = value.get("$ref").and_then(Value::as_str);
        names.extend(target.and_then(|target| target.strip_prefix("#/components/schemas/")));
    });
    for name in names {
        if !needed.contains_key(name) {
            let found = &document["components"]["schemas"][name];
            needed.insert(name.to_owned(), found.clone());
            gather(document, found, needed);
        }
    }
}

#[test]
fn names_are_unique_and_tags_are_explained() {
    let document = document(PUBLIC_URL);
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    let mut complaints = Vec::new();
    let tags = document["tags"].as_array().unwrap().iter();
    let tags: BTreeSet<&str> = tags.map(|tag| tag["name"].as_str().unwrap()).collect();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        if !ids.insert(id) || !id.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            complaints.push(format!("{method} {path}: the name {id} is taken, or none"));
        }
        let tag = operation["tags"][0].as_str().unwrap();
        used.insert(tag);
        if !tags.contains(tag) {
            complaints
                .push(format!("{method} {path}: openapi/about.rs does not know the tag {tag}"));
        }
    }
    complaints.extend(tags.difference(&used).map(|tag| format!("nothing has the tag {tag}")));
    // `Foo2` is what becomes of a second, different `Foo`.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        if stem != name && schemas.contains_key(stem) {
            complaints.push(format!("{name}: there is another {stem}; rename one of them"));
        }
    }
    nothing_in(&complaints, "names");
}

#[test]
fn nothing_is_missing() {
    let all = resources().flat_map(|at| at.operations.iter().map(move |operation| (at, operation)));
    let missing: Vec<String> = all.flat_map(|(at, operation)| gaps(at, operation)).collect();
    nothing_in(&missing, "gaps");
}

/// What an operation does not say about itself.
fn gaps(at: &Resource, operation: &Operation) -> Vec<String> {
    let Operation { method, summary, answer, body, problems, .. } = operation;
    let statuses: Vec<u16> = problems.iter().map(|problem| problem.status().as_u16()).collect();
    let is_written = matches!(method, Method::Put | Method::Patch);
    let makes = *method == Method::Post && answer.status == 201;
    let is_list = *method == Method::Get && summary.starts_with("List");
    let checks = [
        (summary.is_empty() || summary.ends_with('.'), "a summary without a full stop"),
        (answer.schema.is_none() && answer.status != 204, "what it answers"),
        (body.is_none() && (is_written || makes), "the body that it takes"),
        (at.path.contains('{') && !statuses.contains(&404), "which 404 it answers"),
        (
            is_list
                && at.path.starts_with("/api/")
                && operation.query.is_empty()
                && !IS_WHOLE.contains(&at.path),
            "the parameters of its list",
        ),
    ];
    let gaps = checks.into_iter().filter(|(is_gap, _)| *is_gap);
    gaps.map(|(_, what)| format!("{} {}: {what}", method.name(), at.path)).collect()
}

/// Lists that are always shown as a whole.
const IS_WHOLE: [&str; 1] = ["/api/triggers/types"];
