//! `PostgreSQL` and `RabbitMQ` are killed and come back, and `RabbitMQ` runs out of disk.

use std::time::Duration;

use recado_testkit::app::TestApp;
use recado_testkit::twilio::Inbound;
use recado_testkit::wait_for;

use super::{AWAY, Trial, wait};
use crate::load::{Load, Order};
use crate::support::{ANA, SOON, Story, WhatsApp, echo, ended, system};

#[tokio::test]
async fn a_killed_rabbitmq_keeps_what_was_acknowledged() -> Story {
    let trial = Trial::of("kill -9 RabbitMQ", system().private_servers()).await;
    let happen = async |app: &mut TestApp, _: &Load<'_>| {
        app.servers().rabbitmq.kill()?;
        wait(AWAY).await;
        Ok(app.servers().rabbitmq.restart().await?)
    };
    trial.under_load(Order::MayChangeByRedelivery, happen).await;
    Ok(())
}

#[tokio::test]
async fn a_killed_postgres_is_waited_for() -> Story {
    let trial = Trial::of_thinking("kill -9 PostgreSQL", system().private_servers()).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        for _ in 0..2 {
            app.servers().postgres.kill()?;
            wait(AWAY).await;
            app.servers().postgres.restart().await?;
            load.acknowledges(20).await?;
        }
        Ok(())
    };
    trial.under_load(Order::IsKept, happen).await;
    Ok(())
}

/// Full disk: nothing is acknowledged that cannot be written.
#[tokio::test]
async fn a_blocked_rabbitmq_is_a_503_and_never_a_false_2xx() -> Story {
    let trial = Trial::of("RabbitMQ's disk alarm", system().private_servers()).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        app.servers().rabbitmq.set_disk_free_limit(u64::MAX >> 1).await?;
        let refused = async || (load.n_refused() > 0).then_some(());
        wait_for("a refusal", SOON, refused).await?;
        // Those under way when the alarm was raised have been answered by now.
        wait(AWAY).await;
        let (n_acknowledged, n_refused) = (load.n_acknowledged(), load.n_refused());
        wait(Duration::from_secs(2)).await;
        assert_eq!(load.n_acknowledged(), n_acknowledged, "a false 2xx");
        assert!(load.n_refused() > n_refused, "senders are told to come back");
        Ok(app.servers().rabbitmq.set_disk_free_limit(0).await?)
    };
    trial.under_load(Order::MayChangeByRedelivery, happen).await;
    Ok(())
}

#[tokio::test]
async fn a_frozen_rabbitmq_is_a_503_within_bounds() -> Story {
    let trial = Trial::of("SIGSTOP RabbitMQ", system().private_servers()).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        app.servers().rabbitmq.stop()?;
        // `Load` objects to a refusal that takes too long.
        let refused = async || (load.n_refused() >= load.n_sessions()).then_some(());
        wait_for("refusals for everybody", SOON, refused).await?;
        Ok(app.servers().rabbitmq.cont()?)
    };
    trial.under_load(Order::MayChangeByRedelivery, happen).await;
    Ok(())
}

/// Everything that is known of triggers is remembered, so even without a database webhooks are
/// acknowledged, and executed when it is back.
#[tokio::test]
async fn without_postgres_webhooks_are_still_taken() -> Story {
    let mut app = system().private_servers().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |_| {}).await?;
    whatsapp.say(ANA, "before").await?;
    ended(&app, &whatsapp.trigger_id, 1).await?;
    app.servers().postgres.kill()?;
    let answer = whatsapp.send(&Inbound::new(ANA, "meanwhile")).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    wait(AWAY).await;
    assert_eq!(whatsapp.received_by(ANA), ["before"]);
    app.servers().postgres.restart().await?;
    whatsapp.delivered(2).await?;
    assert_eq!(whatsapp.received_by(ANA), ["before", "meanwhile"]);
    Ok(app.finish().await?)
}
