//! Each role as a process: how it starts, waits, drains, and says what is wrong.

use std::process::Output;
use std::time::Duration;

use anyhow::Context;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{ANA, RECADO, SOON, Story, WhatsApp, echo, ended, system, thinker};

/// Far below the grace period: there is nothing to finish.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_role_ends_in_good_order_when_it_is_told_to() -> Story {
    let mut app = system().start().await?;
    for role in Role::ALL {
        let (status, report) = app.ask(role, 0, "/health/ready").await?;
        assert_eq!(status, 200, "{role}: {report}");
        let exit = app.terminate(role, 0).await?;
        assert_eq!(exit.code, Some(0), "{role}");
        assert!(exit.took < AT_ONCE, "{role} took {:?}", exit.took);
    }
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_runner_finishes_what_it_has_begun_before_it_ends() -> Story {
    let mut app = system().start().await?;
    let model = Model::start();
    model.fail_next(1, &Fault::Delay(Duration::from_secs(3)));
    let whatsapp = WhatsApp::connect(&app, &thinker(&app, &model).await?, |_| {}).await?;
    whatsapp.say(ANA, "a difficult question").await?;
    wait_for("the question", SOON, async || (model.count() == 1).then_some(())).await?;
    let exit = app.terminate(Role::AgentRunner, 0).await?;
    assert_eq!(exit.code, Some(0));

    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(details[0]["execution"]["status"], "success");
    assert_eq!(details[0]["execution"]["attempt_count"], 1);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["a difficult question"]);
    assert_eq!(model.count(), 1);
    Ok(())
}

#[tokio::test]
async fn roles_wait_for_their_servers_and_say_so() -> Story {
    let mut app = system().private_servers().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |_| {}).await?;
    for role in Role::ALL {
        app.kill(role, 0)?;
    }
    app.servers().postgres.kill()?;
    app.servers().rabbitmq.kill()?;
    app.servers().redis.kill()?;
    for role in Role::ALL {
        app.launch(role, 0)?;
    }
    for role in Role::ALL {
        let away = unready_components(&app, role).await?;
        assert!(!away.is_empty(), "{role} is ready for what?");
        assert_eq!(app.ask(role, 0, "/health/live").await?.0, 200, "{role} is alive");
    }
    let pids: Vec<u32> =
        Role::ALL.iter().map(|role| app.pid(*role, 0)).collect::<Result<_, _>>()?;

    let servers = app.servers();
    let (postgres, rabbitmq, redis) =
        (&mut servers.postgres, &mut servers.rabbitmq, &mut servers.redis);
    tokio::try_join!(postgres.restart(), rabbitmq.restart(), redis.restart())?;
    for role in Role::ALL {
        app.until_ready(role, 0).await?;
    }
    let after: Vec<u32> =
        Role::ALL.iter().map(|role| app.pid(*role, 0)).collect::<Result<_, _>>()?;
    assert_eq!(after, pids, "nobody was restarted");
    whatsapp.say(ANA, "are you back?").await?;
    whatsapp.delivered(1).await?;
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["are you back?"]);
    Ok(())
}

/// Waits until a role answers its operators that it is not ready, and which parts of it are not.
async fn unready_components(app: &TestApp, role: Role) -> anyhow::Result<Vec<Value>> {
    let report = wait_for(&format!("{role} to say that it is not ready"), SOON, async || {
        let (status, body) = app.ask(role, 0, "/health/ready").await.ok()?;
        (status == 503).then_some(body)
    })
    .await?;
    let mut report: Value = serde_json::from_str(&report)?;
    assert_eq!(report["ready"], false);
    let components = report["components"].take();
    let components = components.as_array().context("a report lists components")?;
    Ok(components.iter().filter(|component| component["ready"] == false).cloned().collect())
}

async fn run(role: Role, environment: &[(&str, &str)]) -> anyhow::Result<Output> {
    let mut recado = Command::new(RECADO);
    recado.arg(role.as_str()).env_clear().envs(environment.iter().copied()).kill_on_drop(true);
    let ended = tokio::time::timeout(SOON, recado.output()).await;
    Ok(ended.with_context(|| format!("{role} runs in spite of its environment"))??)
}

#[tokio::test]
async fn a_broken_environment_is_told_in_one_go() -> Story {
    let environment = [
        ("RECADO_DATABASE_URL", "mysql://recado:s3cret@db/recado"),
        ("RECADO_SECRET_KEYS", "s3cret"),
        ("RECADO_METRICS_LISTEN", "nowhere"),
        ("RECADO_GRACE_MS", "soon"),
        ("RECADO_LAESE_MS", "2000"),
    ];
    for role in Role::ALL {
        let output = run(role, &environment).await?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(78), "{role}: {told}");
        let mistake = |name: &str| told.lines().any(|line| line.trim().starts_with(name));
        for (name, _) in environment {
            assert!(mistake(name), "{role} does not name {name}:\n{told}");
        }
        assert!(told.contains("did you mean RECADO_LEASE_MS?"), "{told}");
        assert!(!told.contains("s3cret"), "{role} shows a value:\n{told}");
        assert!(mistake("RECADO_AMQP_URL"), "{role}:\n{told}");
        let needs_redis = [Role::Ingress, Role::Buffer].contains(&role);
        assert_eq!(mistake("RECADO_REDIS_URL"), needs_redis, "{role}:\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_and_no_hanging() -> Story {
    let mut app = system().start().await?;
    let taken = app.url(Role::Ingress, 0, "ingress_url")?.replace("http://", "");
    let (database, amqp, redis) = (app.database_url(), app.amqp_url(), app.redis().url());
    let environment = [
        ("RECADO_DATABASE_URL", database.as_str()),
        ("RECADO_AMQP_URL", amqp.as_str()),
        ("RECADO_REDIS_URL", redis.as_str()),
        ("RECADO_SECRET_KEYS", "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("RECADO_METRICS_LISTEN", "127.0.0.1:0"),
        ("RECADO_INGRESS_LISTEN", taken.as_str()),
    ];
    let output = run(Role::Ingress, &environment).await?;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8([output.stdout, output.stderr].concat())?;
    assert!(told.contains(&taken), "{told}");
    Ok(app.finish().await?)
}

/// Named here because nothing else keeps the list of roles and the command line together.
#[tokio::test]
async fn help_knows_every_role() -> Story {
    let help = Command::new(RECADO).arg("--help").env_clear().output().await?;
    let help = String::from_utf8(help.stdout)?;
    for word in Role::ALL.map(Role::as_str).iter().chain(&["dev", "demo", "migrate", "token"]) {
        assert!(help.contains(word), "{word}");
    }
    Ok(())
}
