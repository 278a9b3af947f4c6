//! Apps, and the triggers that are their webhook channels.

use serde_json::{Value, json};

use crate::server::{Server, new_trigger};

#[tokio::test]
async fn an_app_lives_from_draft_to_archive() {
    let server = Server::start().await;
    let created = server.post("/api/apps", &json!({"name": "Sales"})).await;
    let path = format!("/api/apps/{}", created.id());
    assert_eq!(created.headers["location"], path.as_str());
    assert_eq!(created.data(201)["status"], "draft");
    assert_eq!(server.get(&path).await.data(200), created.data(201));

    let published = server.patch(&path, &json!({"status": "published"})).await;
    assert_eq!(published.data(200)["status"], "published");
    assert_eq!(published.data(200)["name"], "Sales");
    let renamed = server.patch(&path, &json!({"name": "Deals", "status": "archived"})).await;
    assert_eq!(renamed.data(200)["name"], "Deals");
    assert_eq!(server.get("/api/apps").await.data(200), &json!([renamed.data(200)]));

    let at_once = json!({"name": "Help", "status": "published"});
    assert_eq!(server.post("/api/apps", &at_once).await.data(201)["status"], "published");
    for (wrong, paths) in [
        (json!({"status": "live"}), vec!["name", "status"]),
        (json!({"name": "x", "status": "archived", "channels": []}), vec!["status", "channels"]),
    ] {
        assert_eq!(server.post("/api/apps", &wrong).await.paths(), paths, "{wrong}");
    }

    assert_eq!(server.delete(&path).await.body, json!({"success": true}));
    for gone in [
        server.get(&path).await,
        server.patch(&path, &json!({"name": "x"})).await,
        server.delete(&path).await,
    ] {
        assert_eq!((gone.status, gone.code()), (404, "app_not_found"));
    }
}

#[tokio::test]
async fn a_trigger_joins_an_app_and_leaves_it() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let app = server.post("/api/apps", &json!({"name": "Sales"})).await.id();
    let mut channel = new_trigger(&agent);
    channel["app_id"] = json!(app);
    let created = server.post("/api/triggers", &channel).await;
    let id = created.id();
    let hex = |id: &str| id.replace('-', "");
    let url = format!(
        "https://recado.example.com/v1/apps/app_{}/webhooks/appchan_{}",
        hex(&app),
        hex(&id)
    );
    assert_eq!(created.data(201)["app_id"], json!(app));
    assert_eq!(created.data(201)["app_webhook_url"], json!(url));
    let path = format!("/api/triggers/{id}");
    assert_eq!(server.get(&path).await.data(200)["app_webhook_url"], json!(url));
    assert_eq!(server.get("/api/triggers").await.data(200)[0]["app_id"], json!(app));

    // Other changes leave it where it is.
    let renamed = server.patch(&path, &json!({"name": "other"})).await;
    assert_eq!(renamed.data(200)["app_id"], json!(app));
    let kept = server.delete(&format!("/api/apps/{app}")).await;
    assert_eq!((kept.status, kept.code()), (409, "conflict"));
    let user = json!({"type": "trigger", "id": id, "name": "other"});
    assert_eq!(kept.body["details"]["used_by"], json!([user]));

    let left = server.patch(&path, &json!({"app_id": null})).await;
    assert_eq!(left.data(200)["app_id"], Value::Null);
    assert_eq!(left.data(200).get("app_webhook_url"), None);
    server.patch(&path, &json!({"app_id": app})).await.data(200);

    // A deleted trigger needs no app.
    server.delete(&path).await.data(200);
    server.delete(&format!("/api/apps/{app}")).await.data(200);
    assert_eq!(server.post("/api/triggers", &channel).await.paths(), ["app_id"]);
}

#[tokio::test]
async fn joining_an_app_and_deleting_it_never_both_succeed() {
    let server = Server::start().await;
    let agent = server.agent().await;
    for _ in 0..8 {
        let app = server.post("/api/apps", &json!({"name": "Sales"})).await.id();
        let mut channel = new_trigger(&agent);
        channel["app_id"] = json!(app);
        let path = format!("/api/apps/{app}");
        let (created, deleted) =
            tokio::join!(server.post("/api/triggers", &channel), server.delete(&path));
        let outcome = (created.status, deleted.status);
        assert!(matches!(outcome, (201, 409) | (400, 200)), "{created:?} {deleted:?}");
    }
}

#[tokio::test]
async fn ingress_is_told_the_app_of_a_trigger() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    let found = async || {
        let id = trigger.parse().unwrap();
        recado_store::webhooks::trigger(&server.store, id).await.unwrap().unwrap()
    };
    let alone = found().await;
    assert_eq!((alone.agent_id.to_string(), alone.app), (agent, None));

    let app = server.post("/api/apps", &json!({"name": "Sales"})).await.id();
    let path = format!("/api/triggers/{trigger}");
    let shown = server.patch(&path, &json!({"app_id": app})).await;
    let channel = found().await;
    let of = channel.app.unwrap();
    assert_eq!((of.id.to_string(), of.status.as_str()), (app.clone(), "draft"));
    assert_eq!(shown.data(200)["project_id"], json!(channel.project_id));
    let published = json!({"status": "published"});
    server.patch(&format!("/api/apps/{app}"), &published).await.data(200);
    assert_eq!(found().await.app.unwrap().status.as_str(), "published");
}
