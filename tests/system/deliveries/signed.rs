//! One Recado's answer is another's message.

use recado_testkit::wait_for;
use serde_json::json;

use super::{Line, end};
use crate::support::{SOON, Story, system};

#[tokio::test]
async fn a_trigger_takes_what_a_callback_has_signed_with_its_secret() -> Story {
    let app = system().start().await?;
    let management = app.management();
    let agent = management.create_agent("Echo", "builtin.echo", "").await?;
    let config = json!({
        "auth": {"type": "signature"},
        "query_extraction": {"mode": "field", "field": "text"},
        "session_strategy": {"mode": "ephemeral"},
        "execution": {"mode": "async"},
    });
    let strict = management.create_trigger(&agent, "Strict", &config).await?;
    let request = app.webhook(0, &strict.id)?.build()?;
    for (name, secret, expected) in [
        ("ITS_SECRET", strict.webhook_secret.clone(), ("delivered", None)),
        ("NO_SECRET", format!("{}x", strict.webhook_secret), ("failed", Some("http_401"))),
    ] {
        management.create_secret(name, &secret).await?;
        let auth = json!({"type": "hmac", "secret_ref": name, "format": "sha256"});
        let callback = json!({"url": request.url().as_str(), "auth": auth});
        let line = Line::open(&app, &callback).await?;
        let outcome = line.outcome(&line.say(&app, "ana", "hello").await?).await?;
        assert_eq!(end(&outcome), expected, "{outcome}");
    }
    let executions = wait_for("the message that was signed rightly", SOON, async || {
        let executions = management.executions(&strict.id).await.ok()?;
        (!executions.is_empty()).then_some(executions)
    });
    assert_eq!(executions.await?.len(), 1);
    Ok(app.finish().await?)
}
