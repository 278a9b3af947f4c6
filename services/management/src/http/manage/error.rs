//! Errors in the words of seed 001: its codes are those of statuses, ours say what exactly.

use recado_http::{ApiError, Problem};
use serde_json::{Map, Value, json};

/// The error as seed 001 documents errors. Its `code` is one of the seed's; `reason` is ours.
pub(crate) fn manage_error(error: ApiError, path: &str, request_id: &str) -> ApiError {
    let problem = error.problem();
    let (code, message) = (code_of(problem), error.message().to_owned());
    let mut document = Map::from_iter([
        ("code".to_owned(), json!(code)),
        ("title".to_owned(), json!(problem.status().canonical_reason().unwrap_or("Error"))),
        ("status".to_owned(), json!(problem.status().as_u16())),
        ("detail".to_owned(), json!(message)),
        ("instance".to_owned(), json!(path)),
        ("requestId".to_owned(), json!(request_id)),
        ("error".to_owned(), json!({ "code": code, "message": message })),
        ("reason".to_owned(), json!(problem.code())),
    ]);
    match error.details().and_then(|details| details.get("fields")) {
        Some(fields) => drop(document.insert("errors".to_owned(), mistakes(fields))),
        None => document.extend(error.details().map(|it| ("details".to_owned(), it.clone()))),
    }
    error.as_problem_document(document)
}

/// The seed's word for it.
fn code_of(problem: Problem) -> &'static str {
    match problem.status().as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 | 412 => "conflict",
        422 => "unprocessable_entity",
        429 => "too_many_requests",
        503 => "service_unavailable",
        500..=599 => "internal_server_error",
        _ => "bad_request",
    }
}

/// What is wrong with a request, mistake by mistake.
fn mistakes(fields: &Value) -> Value {
    let mistake = |field: &Value| {
        let (path, reason) = (field["path"].as_str().unwrap_or_default(), &field["reason"]);
        json!({ "detail": reason, "pointer": pointer(path), "name": path, "reason": reason })
    };
    fields.as_array().into_iter().flatten().map(mistake).collect()
}

/// `headers[0].name` is `/headers/0/name`.
fn pointer(path: &str) -> String {
    let steps = path.split(['.', '[']).filter(|step| !step.is_empty());
    steps.fold(String::new(), |mut pointer, step| {
        pointer.push('/');
        pointer.push_str(&step.trim_end_matches(']').replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// What such an error looks like, in JSON Schema.
pub(crate) fn manage_error_schema() -> Value {
    let codes = [
        "bad_request",
        "unauthorized",
        "forbidden",
        "not_found",
        "conflict",
        "unprocessable_entity",
        "too_many_requests",
        "internal_server_error",
        "service_unavailable",
    ];
    let text = |about: &str| json!({ "type": "string", "description": about });
    let code = json!({ "type": "string", "enum": codes });
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "code": code,
            "title": text("The name of the status."),
            "status": { "type": "integer" },
            "detail": text("What went wrong, for people."),
            "instance": text("The path of the request."),
            "requestId": text("What the request is called in the log."),
            "error": {
                "type": "object",
                "description": "The same once more.",
                "properties": { "code": code, "message": { "type": "string" } },
                "required": ["code", "message"],
            },
            "reason": text("What exactly went wrong, for programs: a code of Recado's."),
            "errors": {
                "type": "array",
                "description": "Of `invalid_input`: every mistake; of `already_exists`: what is taken.",
                "items": {
                    "type": "object",
                    "properties": {
                        "pointer": text("Where, as a JSON Pointer."),
                        "name": text("Where, with dots."),
                        "reason": text("What it has to be."),
                        "detail": text("The same."),
                    },
                    "required": ["detail", "pointer", "name", "reason"],
                },
            },
            "details": { "type": "object", "description": "What else programs may want to know." },
        },
        "required":
            ["code", "title", "status", "detail", "instance", "requestId", "error", "reason"],
    })
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::body::MessageBody;
    use recado_http::problem::FieldReason;

    use super::*;

    fn document(error: ApiError) -> Value {
        let response = manage_error(error, "/manage/x", "r-1").error_response();
        let content_type = response.headers().get("content-type").unwrap();
        assert_eq!(content_type, "application/problem+json");
        serde_json::from_slice(&response.into_body().try_into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn errors_have_the_seeds_shape_and_our_reason() {
        assert_eq!(
            document(Problem::TriggerNotFound.into()),
            json!({
                "code": "not_found", "title": "Not Found", "status": 404,
                "detail": "Trigger not found", "instance": "/manage/x", "requestId": "r-1",
                "error": {"code": "not_found", "message": "Trigger not found"},
                "reason": "trigger_not_found",
            })
        );
        for problem in Problem::ALL {
            let told = document((*problem).into());
            let schema = manage_error_schema();
            let codes = schema["properties"]["code"]["enum"].as_array().unwrap();
            assert!(codes.contains(&told["code"]), "{told}");
            assert_eq!(told["code"], told["error"]["code"]);
            assert_eq!(told["reason"], problem.code());
        }
    }

    #[test]
    fn every_mistake_has_a_pointer() {
        let field = |path: &str| FieldReason { path: path.into(), reason: "is bad".into() };
        let paths = ["name", "authentication.headers[0].value", "inputSchema.a/b", ""];
        let told = document(ApiError::invalid_fields(paths.map(field)));
        assert_eq!(told["reason"], "invalid_input");
        let pointers: Vec<&Value> =
            told["errors"].as_array().unwrap().iter().map(|it| &it["pointer"]).collect();
        assert_eq!(pointers, ["/name", "/authentication/headers/0/value", "/inputSchema/a~1b", ""]);
        assert_eq!(
            told["errors"][0],
            json!({
                "detail": "is bad", "pointer": "/name", "name": "name", "reason": "is bad",
            })
        );
    }
}
