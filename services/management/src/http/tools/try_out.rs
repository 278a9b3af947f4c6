//! POST `/api/tools/{id}/try`: does a tool work?

use std::time::Duration;

use actix_web::web::{self, Data, Json, Path};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_toolbox::{SentRequest, Trial, TrialError, Tried};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{ToolCallId, ToolId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{parse_id, schema};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::Found;
use crate::http::operation::{Access, Operation, RequestBody};

/// What can be done there.
pub(super) const OPERATIONS: &[Operation] =
    &[Operation::post("Try a tool", Access::Role(Role::Editor), || web::post().to(try_out))
        .details(
            "Calls the tool once, **for real**, as an agent would: with its credential, its \
             defaults from the context, and the tenant's `allowed_hosts` and \
             `destination_hosts`. What it says is scrubbed and cut as for a model. It takes 30 s \
             at most. That the call fails is an answer too: `status` is `error` then. Of an MCP \
             server, `tool` says which of its tools; MCP servers that are programs and tools that \
             are agents are not tried here.",
        )
        .body(RequestBody::optional_json(schema::trial, schema::trial_example))
        .answers_data::<Outcome>(200)
        .problems(&[Problem::ToolNotFound])];

/// The longest that everything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest name of a tool at an MCP server.
const MAX_NAME: usize = 256;

/// What came of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ToolTrial")]
struct Outcome {
    #[schemars(extend("enum" = ["success", "error"]))]
    status: &'static str,
    /// What a model would be told.
    output: String,
    /// Whether the tool said more.
    truncated: bool,
    /// Why it failed, in a word; see docs/tools.md.
    error_code: Option<&'static str>,
    /// Why it failed, for whoever can mend it.
    error_message: Option<String>,
    /// How long the call took.
    duration_ms: u64,
    /// What was sent; `null` if nothing was, or if an MCP server was asked.
    request: Option<ShownRequest>,
}

/// A request without its secrets.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ShownRequest {
    method: String,
    url: String,
}

impl From<Tried> for Outcome {
    fn from(Tried { outcome, request }: Tried) -> Self {
        let request = request.map(|SentRequest { method, url }| ShownRequest { method, url });
        Self {
            status: if outcome.error.is_some() { "error" } else { "success" },
            output: outcome.output,
            truncated: outcome.truncated,
            error_code: outcome.error_code,
            error_message: outcome.error,
            duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
            request,
        }
    }
}

async fn try_out(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Outcome>>, ApiError> {
    let tool = parse_id(&id)?;
    let body = body.json_if_any().await?.unwrap_or_else(|| json!({}));
    let trial = read(&body, tool, ToolCallId(api.clock.fresh_id()))?;
    let _place = api.trials.enter(caller.tenant)?;
    let tools = api.tools.seen_by(caller.store.clone());
    let tried = Box::pin(tools.try_out(caller.tenant, trial)).await.map_err(not_tried)?;
    Ok(Json(Found::new(tried.into())))
}

fn read(body: &Value, tool: ToolId, key: ToolCallId) -> Result<Trial, ApiError> {
    let problems = Problems::default();
    let trial = ObjectReader::new(body, "", &problems).map(|mut fields| {
        let arguments = object(&mut fields, "arguments");
        let context = object(&mut fields, "context");
        let name = fields.string("tool", 1..=MAX_NAME).map(str::to_owned);
        fields.done();
        Trial { tool, name, arguments, context, key, patience: PATIENCE }
    });
    problems.finish(()).map_err(invalid)?;
    Ok(trial.expect("anything but an object is a problem"))
}

fn object(fields: &mut ObjectReader<'_>, key: &'static str) -> Map<String, Value> {
    match fields.any(key) {
        None => Map::new(),
        Some(Value::Object(object)) => object.clone(),
        Some(_) => {
            fields.refuse(key, "must be an object");
            Map::new()
        }
    }
}

fn not_tried(error: TrialError) -> ApiError {
    let refused = |why: &str| ApiError::new(Problem::InvalidInput, why);
    match error {
        TrialError::Store(error) => store_failed(error),
        TrialError::NotFound => Problem::ToolNotFound.into(),
        TrialError::Agent => {
            refused("the tool is an agent; to try it, send a message to one of its triggers")
        }
        TrialError::Program => refused(
            "the tool is a program, and programs run beside agents only; to try it, send a message \
             to a trigger of an agent that has it",
        ),
        TrialError::NoServer => {
            ApiError::invalid_field("tool", "is for MCP servers; this tool is only one")
        }
        TrialError::WhichTool { offered } if offered.is_empty() => {
            refused("the MCP server offers no tool")
        }
        TrialError::WhichTool { offered } => {
            ApiError::invalid_field("tool", format!("must be one of: {}", offered.join(", ")))
        }
    }
}
