//! Triggers in the words of seed 001, and the same triggers in ours.

use recado_http::auth::Role;
use recado_store::webhooks;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

/// An agent of ours, its triggers' address, and that of one of them.
struct Place {
    agent: String,
    triggers: String,
}

impl Place {
    async fn of(server: &Server) -> Self {
        let agent = server.agent().await;
        let home = server.home_of(&agent).await;
        Self::named(&home, &agent)
    }

    fn named(project: &str, agent: &str) -> Self {
        let triggers =
            format!("/manage/tenants/{{tenantId}}/projects/{project}/agents/{agent}/triggers");
        Self { agent: agent.to_owned(), triggers }
    }

    fn at(&self, id: &str) -> String {
        format!("{}/{id}", self.triggers)
    }
}

/// `data`, of an answer with this status.
fn data(answer: &Answer, status: u16) -> &Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.body.get("success").is_none(), "{answer:?}");
    &answer.body["data"]
}

async fn secret(server: &Server, name: &str) -> Option<String> {
    webhooks::secret(&server.store, server.ours, name).await.unwrap()
}

/// The signature of seed 001's examples.
fn signature() -> Value {
    json!({
        "algorithm": "sha256",
        "encoding": "hex",
        "signature": {"source": "header", "key": "X-Sig", "prefix": "v1=", "regex": "^([0-9a-f]+)"},
        "signedComponents": [
            {"source": "header", "key": "X-Time", "required": false},
            {"source": "body"},
        ],
        "componentJoin": {"strategy": "concatenate", "separator": "."},
    })
}

#[tokio::test]
async fn what_the_seed_says_is_kept_and_told_again() {
    let server = Server::start().await;
    let place = Place::of(&server).await;
    server.post("/api/secrets", &json!({"name": "SIGNING", "value": "v"})).await.data(201);

    // The shortest one: nothing says how requests are checked, so ours is, and its key is told.
    let created = server.post(&place.triggers, &json!({"name": " GitHub "})).await;
    let shown = data(&created, 201);
    let id = shown["id"].as_str().unwrap();
    let location = place.at(id).replace("{tenantId}", &server.ours.to_string());
    assert_eq!(created.headers["location"], location.as_str());
    assert_eq!(created.headers["etag"], "\"1\"");
    assert!(shown["webhookSecret"].as_str().unwrap().starts_with("whs_"));
    assert_eq!(
        shown["webhookUrl"],
        format!("https://recado.example.com{}", location.replacen("/manage/", "/run/", 1))
    );
    let (name, enabled, description) = (&shown["name"], &shown["enabled"], &shown["description"]);
    assert_eq!((name, enabled, description), (&json!("GitHub"), &json!(true), &json!("")));
    for absent in [
        "authentication",
        "inputSchema",
        "messageTemplate",
        "outputTransform",
        "signatureVerification",
        "signingSecretCredentialReferenceId",
    ] {
        assert_eq!(shown[absent], Value::Null, "{absent}");
    }
    let native = server.get(&format!("/api/triggers/{id}")).await;
    let config = json!({"channel": {"type": "generic"}, "execution": {"mode": "async"}});
    assert_eq!(native.data(200)["trigger_config"], config);

    // Everything, as a whole and again as it is shown.
    let path = place.at(id);
    let everything = json!({
        "name": "Push", "description": "of the repository", "enabled": false,
        "authentication": null,
        "inputSchema": {"type": "object", "required": ["id"]},
        "messageTemplate": "{{who}}",
        "outputTransform": {"objectTransformation": {"who": "user.name"}},
        "signatureVerification": signature(),
        "signingSecretCredentialReferenceId": "SIGNING",
    });
    let patched = server.patch(&path, &everything).await;
    let shown = data(&patched, 200).clone();
    let mut expected = everything.clone();
    expected["signatureVerification"]["validation"] = json!({
        "headerCaseSensitive": false, "allowEmptyBody": true, "normalizeUnicode": false,
    });
    expected["signatureVerification"]["signedComponents"][1]["required"] = json!(true);
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(shown[field], *value, "{field}");
    }
    assert_eq!(shown.get("webhookSecret"), None);
    let again = server.patch(&path, &shown).await;
    let mut unchanged = data(&again, 200).clone();
    unchanged["updatedAt"] = shown["updatedAt"].clone();
    assert_eq!(unchanged, shown);

    // A field is replaced as a whole, and taken away by null.
    let change = json!({
        "outputTransform": {"jmespath": "user"}, "messageTemplate": null, "description": null,
        "signatureVerification": null, "signingSecretCredentialReferenceId": null,
    });
    let changed = server.patch(&path, &change).await;
    let shown = data(&changed, 200);
    assert_eq!(shown["outputTransform"], json!({"jmespath": "user"}));
    assert_eq!(shown["messageTemplate"], Value::Null);
    assert_eq!(shown["signatureVerification"], Value::Null);
    assert_eq!((&shown["description"], &shown["enabled"]), (&json!(""), &json!(false)));

    // Versions are those of the same row.
    let etag = changed.headers["etag"].to_str().unwrap().to_owned();
    let owner = format!("Bearer {}", server.token(server.ours, Role::Owner));
    let believing = |etag| [("authorization", owner.as_str()), ("if-match", etag)];
    let rename = json!({"name": "other"});
    let stale = server.send("PATCH", &path, &believing("\"1\""), Some(&rename)).await;
    assert_eq!((stale.status, stale.code()), (412, "precondition_failed"));
    assert_eq!(server.send("DELETE", &path, &believing("\"1\""), None).await.status, 412);
    let deleted = server.send("DELETE", &path, &believing(&etag), None).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert_eq!(server.get(&path).await.code(), "trigger_not_found");
    assert_eq!(server.delete(&path).await.code(), "trigger_not_found");
}

#[tokio::test]
async fn mistakes_are_told_in_the_seeds_words() {
    let server = Server::start().await;
    let place = Place::of(&server).await;
    let wrong = json!({
        "id": "new", "name": " ", "description": 7, "enabled": "yes", "typo": 1,
        "tenantId": "somebody", "agentId": place.agent, "projectId": "elsewhere",
        "authentication": {"headers": [
            {"name": "X Token", "value": "s3cret-canary"},
            {"name": "X-A"},
            {"name": "X-B", "keepExisting": true},
            {"name": "X-C", "value": "two\nlines"},
        ]},
        "inputSchema": {"type": "nothing"},
        "messageTemplate": "",
        "outputTransform": {},
        "signatureVerification": {"algorithm": "sha3"},
        "signingSecretCredentialReferenceId": "NOWHERE",
    });
    let refused = server.post(&place.triggers, &wrong).await;
    assert!(!refused.text.contains("s3cret-canary"), "{}", refused.text);
    let mut paths = refused.paths();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(
        paths,
        [
            "authentication.headers[0].name",
            "authentication.headers[1].value",
            "authentication.headers[2].keepExisting",
            "authentication.headers[3].value",
            "description",
            "enabled",
            "id",
            "inputSchema",
            "messageTemplate",
            "name",
            "outputTransform.jmespath",
            "projectId",
            "signatureVerification.algorithm",
            "signatureVerification.componentJoin",
            "signatureVerification.encoding",
            "signatureVerification.signature",
            "signatureVerification.signedComponents",
            "tenantId",
            "typo",
        ]
    );
    let code = &refused.body["code"];
    assert_eq!((code, &refused.body["title"]), (&json!("bad_request"), &json!("Bad Request")));
    let pointers = refused.body["errors"].as_array().unwrap().iter().map(|it| &it["pointer"]);
    assert!(pointers.into_iter().any(|it| it == "/authentication/headers/0/name"));

    // One half of a signature, and a secret that is not there.
    let half = json!({"name": "x", "signatureVerification": signature()});
    let refused = server.post(&place.triggers, &half).await;
    assert_eq!(refused.paths(), ["signingSecretCredentialReferenceId"]);
    let mut whole = half.clone();
    whole["signingSecretCredentialReferenceId"] = json!("NOWHERE");
    let refused = server.post(&place.triggers, &whole).await;
    assert_eq!(refused.paths(), ["signingSecretCredentialReferenceId"]);

    let created = server.post(&place.triggers, &json!({"id": "push", "name": "x"})).await;
    let updated_at = data(&created, 201)["updatedAt"].clone();
    let path = place.at("push");
    for nothing in [json!({}), json!({"id": "push"}), json!({"updatedAt": updated_at})] {
        let refused = server.patch(&path, &nothing).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_input"));
        assert_eq!(refused.body["detail"], "No fields to update");
    }
    let read_only = json!({
        "name": null, "enabled": null, "id": "pull", "createdAt": "2020-01-01T00:00:00Z",
        "webhookUrl": "https://example.com/",
    });
    let refused = server.patch(&path, &read_only).await;
    assert_eq!(refused.paths(), ["name", "enabled", "id", "webhookUrl", "createdAt"]);
    assert_eq!(server.patch(&path, &json!([])).await.paths(), [""]);

    // What is wrong with the request and not with the trigger.
    for query in ["page=0", "limit=101", "limit=x", "cursor=x", "page=1&page=2"] {
        let refused = server.get(&format!("{}?{query}", place.triggers)).await;
        assert_eq!(refused.paths().len(), 1, "{query}");
    }
    let strangers = server.theirs.to_string();
    let theirs = place.triggers.replace("{tenantId}", &strangers);
    for path in [theirs.as_str(), &theirs.replace(&strangers, "nobody")] {
        let refused = server.get(path).await;
        assert_eq!((refused.status, refused.code()), (403, "tenant_mismatch"), "{path}");
        assert_eq!(refused.body["code"], "forbidden");
    }
    let nobody = server.send("GET", &path, &[], None).await;
    assert_eq!(
        (nobody.code(), &nobody.body["code"]),
        ("authentication_required", &json!("unauthorized"))
    );
    let viewer = (server.ours, Role::Viewer);
    let refused = server.call_as(viewer, "DELETE", &path, None).await;
    assert_eq!(refused.code(), "insufficient_permissions");
    let put = server.call_as(viewer, "PUT", &path, Some(&json!({}))).await;
    assert_eq!((put.status, put.code()), (405, "method_not_allowed"));
    assert_eq!(put.headers["allow"], "GET, HEAD, PATCH, DELETE");
    let owner = format!("Bearer {}", server.token(server.ours, Role::Owner));
    let headers = [("authorization", owner.as_str()), ("if-match", "7")];
    let refused = server.send("PATCH", &path, &headers, Some(&json!({"name": "y"}))).await;
    assert_eq!(refused.paths(), ["If-Match"]);
}

#[tokio::test]
async fn an_id_may_be_chosen_and_leads_to_its_agents_trigger_only() {
    let server = Server::start().await;
    let project = json!({"name": "North", "external_id": "north"});
    let project = server.post("/api/projects", &project).await.id();
    let agent = |name: &str| {
        json!({"name": name, "model": "builtin.echo", "system_prompt": "", "external_id": name,
               "project_id": project})
    };
    server.post("/api/agents", &agent("sales desk")).await.data(201);
    let other = server.post("/api/agents", &agent("support")).await.id();
    let place = Place::named("north", "sales%20desk");
    let push = json!({"id": "push.v1", "name": "Push"});
    let created = server.post(&place.triggers, &push).await;
    let shown = data(&created, 201).clone();
    assert_eq!(shown["id"], "push.v1");
    let url = shown["webhookUrl"].as_str().unwrap();
    let ours = server.ours;
    assert_eq!(
        url,
        format!(
            "https://recado.example.com/run/tenants/{ours}/projects/north/agents/sales%20desk\
                 /triggers/push.v1"
        )
    );
    let again = server.post(&place.triggers, &push).await;
    assert_eq!((again.status, again.code()), (409, "already_exists"));
    assert_eq!(again.body["code"], "conflict");
    assert_eq!(again.body["errors"][0]["name"], "id");

    // The other agent may call one of its own the same; each sees its own.
    let others = Place::named(&project, "support");
    assert_eq!(server.get(&others.at("push.v1")).await.code(), "trigger_not_found");
    data(&server.post(&others.triggers, &json!({"id": "push.v1", "name": "Theirs"})).await, 201);
    assert_eq!(data(&server.get(&place.at("push.v1")).await, 200)["name"], "Push");
    let native = server.get("/api/triggers?name=Push").await;
    let native = &native.data(200)[0];
    let uuid = native["id"].as_str().unwrap();
    assert_eq!(native["external_id"], "push.v1");
    assert_eq!(data(&server.get(&place.at(uuid)).await, 200)["id"], "push.v1");
    for nowhere in [
        others.at(uuid),
        Place::named("south", "sales%20desk").at("push.v1"),
        Place::named("north", "nobody%00").at("push.v1"),
        Place::named(&server.home_of(&server.agent().await).await, "support").at("push.v1"),
        place.at("push..v1"),
        place.at("..%2Fpush.v1"),
    ] {
        let answer = server.get(&nowhere).await;
        assert_eq!(answer.body["code"], "not_found", "{nowhere}: {answer:?}");
    }

    // It stays with its agent, natively as well, and comes back when it is made again.
    let native_path = format!("/api/triggers/{uuid}");
    let moved = server.patch(&native_path, &json!({"agent_id": other})).await;
    assert_eq!(moved.paths(), ["agent_id"]);
    assert_eq!(server.delete(&place.at("push.v1")).await.status, 204);
    let revived = server.post(&place.triggers, &json!({"id": "push.v1", "name": "Again"})).await;
    assert_ne!(data(&revived, 201)["webhookSecret"], shown["webhookSecret"]);
    let native = server.get(&native_path).await;
    assert_eq!(
        (&native.data(200)["name"], &native.data(200)["version"]),
        (&json!("Again"), &json!(3))
    );
    let created = json!({
        "agent_id": other, "external_id": "push.v1", "name": "x", "trigger_type": "webhook",
        "trigger_config": {},
    });
    let taken = server.post("/api/triggers", &created).await;
    assert_eq!(taken.code(), "already_exists");
    assert_eq!(taken.body["details"]["fields"][0]["path"], "external_id");

    // Pages are those of one agent.
    for n in 0..11 {
        let name = json!({"name": format!("t{n}")});
        data(&server.post(&place.triggers, &name).await, 201);
    }
    let first = server.get(&place.triggers).await;
    let pagination = json!({"page": 1, "limit": 10, "total": 12, "pages": 2});
    assert_eq!(first.body["pagination"], pagination);
    assert_eq!(first.body["data"].as_array().unwrap().len(), 10);
    assert_eq!(first.body["data"][0]["name"], "t10");
    let last = server.get(&format!("{}?page=3&limit=5", place.triggers)).await;
    let names: Vec<&Value> =
        last.body["data"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["t0", "Again"]);
    let beyond = server.get(&format!("{}?page=9", place.triggers)).await;
    assert_eq!(
        (&beyond.body["data"], &beyond.body["pagination"]["total"]),
        (&json!([]), &json!(12))
    );
}

#[tokio::test]
async fn values_of_headers_are_kept_as_secrets_that_come_and_go_with_the_trigger() {
    let server = Server::start().await;
    let place = Place::of(&server).await;
    server.post("/api/secrets", &json!({"name": "SHARED", "value": "v"})).await.data(201);
    let headers = json!({"headers": [
        {"name": "X-Token", "value": "first-canary"}, {"name": "X-Other", "secret_ref": "SHARED"},
    ]});
    let body = json!({"id": "push", "name": "x", "authentication": headers});
    let created = server.post(&place.triggers, &body).await;
    let shown = data(&created, 201);
    assert_eq!(shown.get("webhookSecret"), None, "the headers are what is checked");
    let own = shown["authentication"]["headers"][0]["secret_ref"].as_str().unwrap().to_owned();
    assert!(own.starts_with("trigger-") && own.ends_with("-x-token"), "{own}");
    let expected = json!({"headers": [
        {"name": "X-Token", "secret_ref": own}, {"name": "X-Other", "secret_ref": "SHARED"},
    ]});
    assert_eq!(shown["authentication"], expected);
    assert_eq!(secret(&server, &own).await.as_deref(), Some("first-canary"));
    assert!(!created.text.contains("first-canary"));

    // Kept, replaced, and gone with its header.
    let path = place.at("push");
    let kept = json!({"headers": [{"name": "x-token", "keepExisting": true}]});
    let patched = server.patch(&path, &json!({"authentication": kept})).await;
    let shown = &data(&patched, 200)["authentication"];
    assert_eq!(*shown, json!({"headers": [{"name": "x-token", "secret_ref": own}]}));
    assert_eq!(secret(&server, &own).await.as_deref(), Some("first-canary"));
    let replaced = json!({"headers": [{"name": "X-Token", "value": "second-canary"}]});
    let patched = server.patch(&path, &json!({"authentication": replaced})).await;
    assert!(!patched.text.contains("canary"), "{}", patched.text);
    assert_eq!(secret(&server, &own).await.as_deref(), Some("second-canary"));
    // A body that is refused changes no secret.
    let third = json!({"headers": [{"name": "X-Token", "value": "third-canary"}]});
    let refused = json!({"authentication": third, "signingSecretCredentialReferenceId": "NO",
                         "signatureVerification": signature()});
    let refused = server.patch(&path, &refused).await;
    assert_eq!(refused.paths(), ["signingSecretCredentialReferenceId"]);
    assert_eq!(secret(&server, &own).await.as_deref(), Some("second-canary"));
    let without = server.patch(&path, &json!({"authentication": {"headers": []}})).await;
    assert_eq!(data(&without, 200)["authentication"], Value::Null);
    assert_eq!(secret(&server, &own).await, None);
    assert_eq!(secret(&server, "SHARED").await.as_deref(), Some("v"));

    // One that something else names stays until that lets go of it.
    server.patch(&path, &json!({"authentication": replaced})).await;
    let other = json!({"name": "y", "authentication": {"headers": [
        {"name": "X-Same", "secret_ref": own},
    ]}});
    let other = server.post(&place.triggers, &other).await;
    let other = place.at(data(&other, 201)["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).await.status, 204);
    assert_eq!(secret(&server, &own).await.as_deref(), Some("second-canary"));
    assert_eq!(server.delete(&other).await.status, 204);

    // A trigger of another channel is shown, and its name can change here.
    let native = server.trigger(&place.agent).await;
    let path = place.at(&native);
    let shown = server.get(&path).await;
    assert_eq!(data(&shown, 200)["authentication"], Value::Null);
    let renamed = server.patch(&path, &json!({"name": "ERP", "enabled": false})).await;
    assert_eq!(data(&renamed, 200)["name"], "ERP");
    let refused = server.patch(&path, &json!({"messageTemplate": "{{a}}"})).await;
    assert_eq!(refused.paths(), ["messageTemplate"]);
    let config = server.get(&format!("/api/triggers/{native}")).await;
    assert_eq!(config.data(200)["trigger_config"]["auth"], json!({"type": "api_key"}));
}
