//! Sessions: each is one conversation, in order, one execution at a time; among themselves they
//! are strangers.

use std::time::Duration;

use recado_testkit::app::Role;
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use crate::load::{Load, Order, Talk};
use crate::support::{ANA, BOB, SOON, Story, WhatsApp, answered_at, echo, ended};
use crate::support::{system, texts, thinker};

#[tokio::test]
async fn two_who_write_at_a_time_are_answered_apart() -> Story {
    let app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |config| {
        config["execution"]["message_buffer"]["window_ms"] = json!(1_500);
    })
    .await?;
    for n in 1..=3 {
        whatsapp.say(ANA, &format!("Ana {n}")).await?;
        whatsapp.say(BOB, &format!("Bob {n}")).await?;
    }
    whatsapp.delivered(2).await?;
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["Ana 1\nAna 2\nAna 3"]);
    assert_eq!(whatsapp.received_by(BOB), ["Bob 1\nBob 2\nBob 3"]);
    assert_eq!(whatsapp.twilio.sent().len(), 2);
    Ok(())
}

fn without_buffer(config: &mut Value) {
    config["execution"]["message_buffer"]["enabled"] = json!(false);
}

#[tokio::test]
async fn what_comes_while_the_agent_thinks_waits_for_the_next_turn() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.answer_with(|chat| format!("You said {:?}.", chat.input()));
    model.fail_at(1, Fault::Delay(Duration::from_millis(1_500)));
    let whatsapp = WhatsApp::connect(&app, &thinker(&app, &model).await?, without_buffer).await?;

    whatsapp.say(ANA, "first").await?;
    wait_for("a question", SOON, async || (model.count() == 1).then_some(())).await?;
    whatsapp.say(ANA, "second").await?;
    // Another session does not wait.
    whatsapp.say(BOB, "me too").await?;
    let sent = whatsapp.delivered(3).await?;
    assert_eq!(sent[0].body, r#"You said "me too"."#);

    let questions = model.asked();
    let second = questions.iter().find(|asked| asked.chat.input() == "second");
    let second = second.expect("it was delivered");
    assert!(second.at >= answered_at(&model.received()[0])?, "never two at a time");
    let said: Vec<(&str, &str)> = second.chat.messages[1..]
        .iter()
        .map(|message| (message.role.as_str(), message.content.as_deref().unwrap_or_default()))
        .collect();
    let history = [("user", "first"), ("assistant", r#"You said "first"."#), ("user", "second")];
    assert_eq!(said, history);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), [r#"You said "first"."#, r#"You said "second"."#]);
    Ok(())
}

#[tokio::test]
async fn several_that_wait_for_their_turn_keep_their_order() -> Story {
    let app = system().instances(Role::AgentRunner, 2).start().await?;
    let model = Model::start();
    model.fail_always(Fault::Delay(Duration::from_millis(200)));
    let whatsapp = WhatsApp::connect(&app, &thinker(&app, &model).await?, without_buffer).await?;
    let messages: Vec<String> = (1..=5).map(|n| format!("message {n}")).collect();
    for text in &messages {
        whatsapp.say(ANA, text).await?;
    }
    let details = ended(&app, &whatsapp.trigger_id, 5).await?;
    assert_eq!(details.iter().flat_map(texts).collect::<Vec<_>>(), messages);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), messages);
    let turns = model.received();
    for pair in turns.windows(2) {
        assert!(pair[1].at >= answered_at(&pair[0])?, "never two at a time");
    }
    Ok(())
}

#[tokio::test]
async fn two_instances_of_everything_share_twenty_sessions() -> Story {
    let app = system()
        .instances(Role::Ingress, 2)
        .instances(Role::Buffer, 2)
        .instances(Role::AgentRunner, 2)
        .instances(Role::Delivery, 2)
        .start()
        .await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |_| {}).await?;
    let load = Load::new(&whatsapp, None, Order::IsKept, Talk { sessions: 20, messages: Some(8) });
    load.run_to_its_end().await?;
    load.settle().await?;
    app.finish().await?;
    let summary = load.check()?;
    assert_eq!((summary.n_acknowledged, summary.n_executed), (160, 160));
    assert_eq!((summary.n_repeated_callbacks, summary.n_reordered), (0, 0), "nobody died");
    Ok(())
}
