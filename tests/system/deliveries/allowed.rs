//! Where a tenant lets requests go at all.

use anyhow::Context;
use recado_testkit::callback::Sink;
use serde_json::json;

use super::{Line, end};
use crate::support::{Story, system};

#[tokio::test]
async fn a_callback_goes_only_where_the_tenant_allows_it() -> Story {
    let app = system().start().await?;
    let sink = Sink::start();
    let line = Line::open(&app, &json!({"url": sink.url()})).await?;
    let another = app.another_tenant().await?;
    let callback = json!({"url": sink.url()});
    let of_another = Line::open_for(&another, &callback, &json!(null)).await?;
    let listed = json!({"destination_hosts": ["*.example.com", "127.0.0.1:1"]});
    app.management().patch("/api/tenant", &listed).await?;

    let outcome = line.outcome(&line.say(&app, "ana", "hello").await?).await?;
    assert_eq!(end(&outcome), ("failed", Some("destination_not_allowed")), "{outcome}");
    assert_eq!(sink.count(), 0);
    of_another.round_trip(&app, "bob").await?;
    assert_eq!(sink.count(), 1, "the list is the tenant's own");

    let address = sink.url().strip_prefix("http://").map(str::to_owned).context("it is HTTP")?;
    let listed = json!({"destination_hosts": ["*.example.com", address]});
    app.management().patch("/api/tenant", &listed).await?;
    let id = outcome["id"].as_str().context("it has an id")?;
    app.management().redeliver(id, "first_failed").await?;
    assert_eq!(end(&line.end_of(id).await?), ("delivered", None));
    Ok(app.finish().await?)
}
