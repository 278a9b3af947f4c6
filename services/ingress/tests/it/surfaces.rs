//! `/run/…`: the same triggers below the path of their agent, always acknowledged at once.

use recado_testkit::http_client;
use recado_types::{AgentId, ExecutionId, ProjectId, SessionId, TenantId, TriggerId};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::requests::{Answered, answered, erp, erp_message, open, signature};
use crate::running::Running;

/// Where a trigger is on this surface.
#[derive(Clone, Copy)]
struct Place {
    tenant: TenantId,
    project: ProjectId,
    agent: AgentId,
    trigger: TriggerId,
}

impl Place {
    fn of(running: &Running, trigger: TriggerId) -> Self {
        let Running { tenant, project, agent, .. } = *running;
        Self { tenant, project, agent, trigger }
    }

    fn path(&self) -> String {
        let Self { tenant, project, agent, trigger } = self;
        format!("/run/tenants/{tenant}/projects/{project}/agents/{agent}/triggers/{trigger}")
    }

    async fn post(&self, running: &Running, body: &Value) -> Answered {
        post_to(running, &self.path(), body).await
    }
}

async fn post_to(running: &Running, path: &str, body: &Value) -> Answered {
    let body = body.to_string();
    let request = http_client().post(format!("{}{path}", running.url));
    let request = request.header("X-Webhook-Signature", signature(body.as_bytes()));
    answered(request.header(CONTENT_TYPE, "application/json").body(body)).await
}

/// A problem document with what seed 001 wants to see in it.
fn assert_problem(answer: &Answered, path: &str, status: u16, code: &str) {
    let shown = (answer.status, answer.header("content-type"));
    assert_eq!(shown, (status, Some("application/problem+json")), "{}", answer.body);
    let document = answer.json();
    assert_eq!(document["status"], status);
    assert_eq!(document["code"], code);
    assert_eq!(document["instance"], path);
    assert!(document["title"].is_string());
    let repeated = json!({"code": code, "message": document["detail"]});
    assert_eq!(document["error"], repeated, "{document}");
}

#[tokio::test]
async fn a_message_is_acknowledged_with_the_ids_of_what_comes_of_it() {
    let running = Running::start().await;
    let queue = running.requested();
    // A sender of this surface never waits, whatever the trigger says.
    let mut waiting = erp();
    waiting["execution"]["mode"] = json!("sync");
    for config in [erp(), waiting] {
        let trigger = running.trigger(config).await;
        let answer = Place::of(&running, trigger).post(&running, &erp_message("Olá")).await;
        let requested = queue.next().await;
        let message = &requested.messages[0];
        let session = SessionId::derived(running.tenant, trigger, &["u1", "7"]);
        assert_eq!((message.text.as_str(), message.session_id), ("Olá", session));
        assert_eq!(requested.reply_to, None);
        assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
        let execution = ExecutionId::of_first(message.id);
        let expected =
            json!({"success": true, "invocationId": execution, "conversationId": session});
        assert_eq!(answer.json(), expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn the_triggers_own_checks_hold_here_too() {
    let running = Running::start().await;
    let mut config = erp();
    config["rate_limit"] = json!({"per_minute": 1});
    let place = Place::of(&running, running.trigger(config).await);
    let path = place.path();
    let url = format!("{}{path}", running.url);
    let unsigned = answered(http_client().post(&url).json(&erp_message("Olá"))).await;
    assert_problem(&unsigned, &path, 401, "invalid_signature");

    let incomplete = place.post(&running, &json!({"userId": "u1", "companyId": 7})).await;
    assert_problem(&incomplete, &path, 400, "invalid_input");
    assert_eq!(incomplete.json()["details"]["fields"][0]["path"], "chatInput");

    let accepted = place.post(&running, &erp_message("Olá")).await;
    assert_eq!((accepted.status, accepted.header("x-ratelimit-remaining")), (202, Some("0")));
    let limited = place.post(&running, &erp_message("Olá")).await;
    assert_problem(&limited, &path, 429, "rate_limited");
    assert!(limited.header("retry-after").is_some());
    running.stop().await;
}

#[tokio::test]
async fn below_another_path_a_trigger_is_not_there() {
    let running = Running::start().await;
    let (stranger, foreign_agent) = running.another_tenant().await;
    let theirs = running.trigger_of(stranger, foreign_agent, open()).await;
    let disabled = running.trigger(open()).await;
    running.set_enabled(disabled, false).await;
    let deleted = running.trigger(open()).await;
    running.delete(deleted).await;

    let here = Place::of(&running, running.trigger(open()).await);
    assert_eq!(here.post(&running, &json!({"a": 1})).await.status, 202);
    let nobody = Uuid::from_u128(1);
    let places = [
        Place { tenant: stranger, ..here },
        Place { tenant: TenantId(nobody), ..here },
        Place { project: ProjectId(nobody), ..here },
        Place { agent: foreign_agent, ..here },
        Place { agent: AgentId(nobody), ..here },
        Place { trigger: TriggerId(nobody), ..here },
        Place { trigger: theirs, ..here },
        Place { trigger: disabled, ..here },
        Place { trigger: deleted, ..here },
    ];
    let mut documents = Vec::new();
    let written_otherwise = here.path().replace(&here.trigger.to_string(), "not-a-uuid");
    let by_name = here.path().replace(&here.agent.to_string(), "nobody");
    let nameless = here.path().replace(&here.project.to_string(), "%00");
    let others = [written_otherwise, by_name, nameless];
    let paths = places.map(|place| place.path()).into_iter().chain(others);
    for path in paths {
        let answer = post_to(&running, &path, &json!({"a": 1})).await;
        assert_problem(&answer, &path, 404, "trigger_not_found");
        let mut document = answer.json();
        document["instance"] = Value::Null;
        documents.push(document);
    }
    // Nothing tells one from another.
    assert!(documents.iter().all(|document| *document == documents[0]), "{documents:?}");
    running.stop().await;
}

#[tokio::test]
async fn ids_may_be_those_that_people_chose() {
    let running = Running::start().await;
    let queue = running.requested();
    running.name_agent("sales desk", "north").await;
    let generic = json!({
        "channel": {"type": "generic", "outputTransform": {"jmespath": "user"}},
        "execution": {"mode": "async"},
    });
    let trigger = running.chosen_trigger("push.v1", generic).await;
    let Running { tenant, project, agent, .. } = running;
    let tenants = [tenant.to_string(), tenant.prefixed().to_string()];
    let projects = [project.to_string(), "north".to_owned()];
    let agents = [agent.to_string(), "sales%20desk".to_owned()];
    let sent = json!({"user": {"name": "Ana"}});
    for (tenant, (project, agent)) in
        tenants.iter().cycle().zip(projects.iter().flat_map(|p| agents.iter().map(move |a| (p, a))))
    {
        for id in [trigger.to_string(), trigger.prefixed().to_string(), "push.v1".to_owned()] {
            let path =
                format!("/run/tenants/{tenant}/projects/{project}/agents/{agent}/triggers/{id}");
            let answer = post_to(&running, &path, &sent).await;
            assert_eq!(answer.status, 202, "{path}: {}", answer.body);
            let requested = queue.next().await;
            let message = &requested.messages[0];
            assert_eq!(message.trigger_id, trigger, "{path}");
            // What came is kept for those who look it up.
            let payload = message.payload.as_ref().unwrap();
            let transformed = Some(json!({"name": "Ana"}));
            assert_eq!((&payload.request, &payload.transformed), (&sent, &transformed));
        }
    }
    let path = format!("/run/tenants/{tenant}/projects/south/agents/sales%20desk/triggers/push.v1");
    assert_problem(&post_to(&running, &path, &sent).await, &path, 404, "trigger_not_found");
    running.stop().await;
}

#[tokio::test]
async fn each_surface_says_which_methods_it_has() {
    let running = Running::start().await;
    let here = Place::of(&running, running.trigger(open()).await);
    let app = format!("/v1/apps/app_{0}/webhooks/appchan_{0}", Uuid::nil().simple());
    for path in [here.path(), app] {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let url = format!("{}{path}", running.url);
            let answer = answered(http_client().request(method.clone(), url)).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
            assert!(answer.body.contains("method_not_allowed"), "{}", answer.body);
        }
    }
    running.stop().await;
}
