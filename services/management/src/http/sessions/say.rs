//! POST `/api/sessions/{id}/messages`: what a person says to the user in the agent's place.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::manual_messages::{self, ManualMessage, Saying};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{DeliveryId, ExecutionId, SessionId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::parse_id;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::operation::RequestBody;
use crate::http::{Found, schema};

/// The longest text, in characters.
const MAX_TEXT: usize = 20_000;

/// What is said.
pub(super) const MESSAGE: RequestBody = RequestBody::json(
    || {
        let text = schema::about(schema::text(1, MAX_TEXT), "What is said to the user.");
        schema::object(&["text"], [("text", text)])
    },
    || json!({ "text": "This is Ana. I have looked at your contract." }),
);

/// What was said, on its way.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ManualMessage")]
pub(in crate::http) struct Said {
    session_id: SessionId,
    /// It is shown as an execution that ended well.
    execution_id: ExecutionId,
    /// How it travels.
    delivery_id: DeliveryId,
    #[schemars(extend("const" = "pending"))]
    delivery_status: &'static str,
    text: String,
    /// The subject of the token.
    author: String,
    created_at: DateTime<Utc>,
}

pub(in crate::http) async fn say(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let session_id = parse_id(&id)?;
    let text = read_text(&body.json().await?)?;
    let (execution_id, now) = (ExecutionId(api.clock.fresh_id()), api.clock.now());
    let author = caller.subject.as_str();
    let message = ManualMessage { id: execution_id, text: &text, author };
    let (store, tenant) = (&caller.store, caller.tenant);
    match manual_messages::say(store, tenant, session_id, &message, now)
        .await
        .map_err(store_failed)?
    {
        Saying::Queued { delivery_id } => {
            let said = Said {
                session_id,
                execution_id,
                delivery_id,
                delivery_status: "pending",
                author: author.to_owned(),
                text,
                created_at: now,
            };
            Ok(HttpResponse::Accepted().json(Found::new(said)))
        }
        Saying::TriggerDeleted => Err(Problem::TriggerDeleted.into()),
        Saying::NoCallback => Err(Problem::NoCallback.into()),
        Saying::Removed => Err(Problem::ContentRemoved.into()),
        Saying::NotFound => Err(Problem::SessionNotFound.into()),
    }
}

fn read_text(body: &Value) -> Result<String, ApiError> {
    let problems = Problems::default();
    let text = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let text = fields.required_string("text", 1..=MAX_TEXT).map(str::to_owned);
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            fields.refuse("text", "must not be blank");
        }
        fields.done();
        text
    });
    problems.finish(()).map_err(invalid)?;
    Ok(text.expect("what is missing is a problem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_has_a_beginning_and_an_end() {
        let longest = "é".repeat(MAX_TEXT);
        assert_eq!(read_text(&json!({ "text": longest })).unwrap(), longest);
        for bad in [
            json!({}),
            json!({"text": ""}),
            json!({"text": " \n"}),
            json!({"text": null}),
            json!({"text": "a".repeat(MAX_TEXT + 1)}),
            json!({"text": "a", "to": "b"}),
            json!("a"),
        ] {
            assert_eq!(read_text(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
