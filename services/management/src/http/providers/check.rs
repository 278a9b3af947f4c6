//! POST `/api/providers/{id}/check`: is a provider there, and does it take our key?

use std::time::Duration;

use actix_web::web::{self, Data, Json, Path};
use recado_http::auth::Role;
use recado_http::guard::{Answer, SendError};
use recado_http::provider::{InvalidProvider, request};
use recado_http::{ApiError, Problem};
use recado_store::webhooks::{self, ProviderAccess, ProviderKey};
use recado_types::hidden::Redactor;
use recado_types::provider::ProviderKind;
use recado_types::shape::{ObjectReader, Problems};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{find, parse_id};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::Found;
use crate::http::operation::{Access, Operation, RequestBody};
use crate::http::schema::{about, object, text};

/// What can be done there.
pub(super) const OPERATIONS: &[Operation] =
    &[Operation::post("Check a provider", Access::Role(Role::Editor), || web::post().to(check))
        .details(
            "Asks the provider which models it has (`GET {base_url}/models`), which costs no \
             tokens. The status is 200 whatever the provider says. `authorized` is `null` where \
             that cannot be told: not every provider lists its models.",
        )
        .body(RequestBody::optional_json(schema, example))
        .answers_data::<Checked>(200)
        .problems(&[Problem::ProviderNotFound])];

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much of its list is read: some offer hundreds of models, and describe each at length.
const MAX_LIST_BYTES: usize = 1 << 20;
/// How many models are shown.
const MAX_SHOWN: usize = 100;
/// The longest name of a model that is taken for one.
const MAX_MODEL: usize = 200;

/// What was found.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "ProviderCheck")]
struct Checked {
    /// Whether anything answered.
    reachable: bool,
    /// Whether the key was accepted; `null` if that cannot be told.
    authorized: Option<bool>,
    status_code: Option<u16>,
    latency_ms: u64,
    /// The first 100 models that it lists.
    models: Vec<String>,
    /// Whether it lists the model of the request; `null` if there is none in the request, or no
    /// complete list.
    model_listed: Option<bool>,
    error_code: Option<&'static str>,
    error_message: Option<String>,
}

/// The list of models, which is alike everywhere.
#[derive(Deserialize)]
struct Listed {
    data: Vec<Model>,
    #[serde(default)]
    has_more: Option<bool>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

fn schema() -> Value {
    let model = about(text(1, MAX_MODEL), "Without the provider's name: `gpt-4.1`.");
    object(&[], [("model", model)])
}

fn example() -> Value {
    json!({ "model": "gpt-4.1" })
}

async fn check(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Checked>>, ApiError> {
    let id = parse_id(&id)?;
    let model = read(&body.json_if_any().await?.unwrap_or_else(|| json!({})))?;
    let provider = find(&caller, id).await?;
    let access = webhooks::provider(&caller.store, caller.tenant, &provider.name).await;
    let access = access.map_err(store_failed)?.ok_or(Problem::ProviderNotFound)?;
    let _place = api.trials.enter(caller.tenant)?;
    let checked = ask(&api, &access, model.as_deref()).await;
    Ok(Json(Found::new(checked)))
}

fn read(body: &Value) -> Result<Option<String>, ApiError> {
    let problems = Problems::default();
    let model = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let model = fields.string("model", 1..=MAX_MODEL).map(str::to_owned);
        fields.done();
        model
    });
    problems.finish(model).map_err(invalid)
}

async fn ask(api: &Api, provider: &ProviderAccess, model: Option<&str>) -> Checked {
    let key = match &provider.key {
        ProviderKey::None => None,
        ProviderKey::Value(key) => Some(key.as_str()),
        ProviderKey::Missing => {
            return Checked::failed("missing_secret", "the provider's secret does not exist");
        }
    };
    let (kind, base_url) = (provider.kind, provider.base_url.as_str());
    let mut request = match request(kind, Method::GET, base_url, &["models"], key) {
        Ok(request) => request.timeout(PATIENCE).max_body_bytes(MAX_LIST_BYTES),
        Err(error @ InvalidProvider::Address) => {
            return Checked::failed("invalid_address", &error.to_string());
        }
        Err(error @ InvalidProvider::Key(_)) => {
            return Checked::failed("unusable_secret", &error.to_string());
        }
    };
    if kind == ProviderKind::Anthropic {
        // It says 20 at a time otherwise.
        request.url.query_pairs_mut().append_pair("limit", "1000");
    }
    let started = Instant::now();
    let answered = api.outbound.send(request).await;
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let checked = match answered {
        Ok(answer) => Checked::of(&answer, model, &Redactor::of(&Map::new(), key)),
        Err(error) => Checked::unanswered(&error),
    };
    Checked { latency_ms, ..checked }
}

impl Checked {
    fn failed(code: &'static str, message: &str) -> Self {
        let (error_code, error_message) = (Some(code), Some(message.to_owned()));
        Self { error_code, error_message, ..Self::default() }
    }

    fn unanswered(error: &SendError) -> Self {
        let status_code = error.begun_status().map(|status| status.as_u16());
        let reachable = status_code.is_some();
        Self { reachable, status_code, ..Self::failed(error.code(), &error.to_string()) }
    }

    /// What an answer tells. Of what the provider says, only the names of models are shown: in an
    /// error it may repeat the key, or a part of it.
    fn of(answer: &Answer, model: Option<&str>, redactor: &Redactor) -> Self {
        let status = answer.status;
        let told = |authorized, code, message: &str| Self {
            reachable: true,
            authorized,
            status_code: Some(status.as_u16()),
            ..Self::failed(code, message)
        };
        match status.as_u16() {
            200..=299 => {}
            401 | 403 => {
                return told(Some(false), "not_authorized", "the provider does not take the key");
            }
            404 | 405 | 501 => {
                let message =
                    "the provider does not list its models, so nothing is known of the key";
                return told(None, "no_model_list", message);
            }
            300..=399 => {
                return told(None, "redirect", "the provider redirects, which is not followed");
            }
            code => {
                let message = format!("the provider answered with status {code}");
                return told(None, "unexpected_status", &message);
            }
        }
        if answer.truncated {
            let message = "the provider's list of models is longer than the 1 MiB that is read";
            return told(None, "no_model_list", message);
        }
        let Ok(listed) = serde_json::from_slice::<Listed>(&answer.body) else {
            let message = "the provider's answer is no list of models; is `base_url` right?";
            return told(None, "no_model_list", message);
        };
        let is_complete = listed.has_more != Some(true);
        let is_listed = |model: &str| listed.data.iter().any(|listed| listed.id == model);
        let model_listed = model.map(is_listed).filter(|is_listed| *is_listed || is_complete);
        let names = listed.data.iter().map(|model| model.id.as_str());
        let names = names.filter(|name| name.chars().count() <= MAX_MODEL).take(MAX_SHOWN);
        Self {
            reachable: true,
            authorized: Some(true),
            status_code: Some(status.as_u16()),
            models: names.map(|name| redactor.redact(name).into_owned()).collect(),
            model_listed,
            ..Self::default()
        }
    }
}
