//! `WhatsApp` by Meta: a challenge by GET, and messages of several people in one request.

use std::collections::BTreeSet;

use recado_testkit::providers;
use recado_types::{MessageId, SessionId};
use serde_json::{Value, json};

use crate::requests::{Answered, Sender};
use crate::running::{Running, WEBHOOK_SECRET};

const APP_SECRET: &str = "app secret of the tests";

/// A trigger that keeps its secrets where Meta's console shows them.
fn whatsapp() -> Value {
    json!({
        "channel": {
            "type": "meta_whatsapp",
            "signing_secret_ref": "META_APP_SECRET",
            "verify_token_ref": "META_VERIFY_TOKEN"
        },
        "context_mapping": {"phone": "$.entry[0].changes[0].value.messages[0].from"},
        "session_strategy": {"mode": "derive", "fields": ["phone"]},
        "execution": {"mode": "async"}
    })
}

async fn start() -> Running {
    let running = Running::start().await;
    running.add_secret("META_APP_SECRET", APP_SECRET).await;
    running.add_secret("META_VERIFY_TOKEN", "verify").await;
    running
}

fn message(id: &str, from: &str, text: &str) -> Value {
    json!({
        "id": id, "from": from, "timestamp": "1664000000", "type": "text", "text": {"body": text},
    })
}

/// A request with one entry for each of `values`.
fn batch(values: &[Value]) -> Value {
    let entries = values
        .iter()
        .map(|value| json!({"id": "1", "changes": [{"field": "messages", "value": value}]}));
    json!({"object": "whatsapp_business_account", "entry": entries.collect::<Value>()})
}

async fn post(sender: &Sender, body: &Value) -> Answered {
    let body = body.to_string();
    sender.post_json_with(&providers::meta(body.as_bytes(), APP_SECRET), body).await
}

#[tokio::test]
async fn who_knows_the_verify_token_is_answered_its_challenge() {
    let running = start().await;
    let named = running.sender(running.trigger(whatsapp()).await);
    let mut config = whatsapp();
    config["channel"] = json!({"type": "meta_whatsapp"});
    let own = running.sender(running.trigger(config).await);
    for (sender, token) in [(&named, "verify"), (&own, WEBHOOK_SECRET)] {
        let query = format!("hub.mode=subscribe&hub.challenge=1158&hub.verify_token={token}");
        assert_eq!(sender.get(&query).await.essence(), (200, Some("text/plain"), "1158"));
    }
    for query in [
        "",
        "hub.mode=subscribe&hub.challenge=1158",
        "hub.mode=subscribe&hub.challenge=1158&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1158&hub.verify_token=Verify",
        "hub.mode=unsubscribe&hub.challenge=1158&hub.verify_token=verify",
        "hub.mode=subscribe&hub.verify_token=verify",
        "hub.mode=subscribe&hub.challenge=%3Cscript%3E%0A&hub.verify_token=verify",
        "hub.mode=subscribe&hub.challenge=1158&hub.verify_token=verify&hub.verify_token=x",
    ] {
        let answer = named.get(query).await;
        assert_eq!((answer.status, answer.error()), (403, "challenge_failed".into()), "{query}");
    }
    running.stop().await;
}

/// Sessions are independent of each other, so there is no order between them.
#[tokio::test]
async fn a_batch_becomes_as_many_messages_in_the_order_of_each_sender() {
    const SENDERS: [&str; 3] = ["5511999990000", "5511999991111", "5511999992222"];
    const N_MESSAGES: usize = 150;
    let running = start().await;
    let trigger = running.trigger(whatsapp()).await;
    let sender = running.sender(trigger);
    let queue = running.requested();
    let id = |n: usize| format!("wamid.{n}");
    let messages: Vec<_> =
        (0..N_MESSAGES).map(|n| message(&id(n), SENDERS[n % 3], &n.to_string())).collect();
    let (some, others) = messages.split_at(100);
    let body = batch(&[
        json!({"messages": some}),
        json!({"statuses": [{"id": "wamid.0", "status": "read"}]}),
        json!({"messages": others}),
    ]);
    let answer = post(&sender, &body).await;
    assert_eq!(answer.essence(), (200, Some("application/json"), r#"{"success":true}"#));
    // Meta sends the whole of it again if it is not sure.
    assert_eq!(post(&sender, &body).await.essence(), answer.essence());

    let published = queue.wait_for(2 * N_MESSAGES).await;
    for (place, phone) in SENDERS.into_iter().enumerate() {
        let session = SessionId::derived(running.tenant, trigger, &[phone]);
        let of_session = published.iter().flat_map(|requested| &requested.messages);
        let of_session = of_session.filter(|message| message.session_id == session);
        let got: Vec<_> = of_session.map(|message| (message.id, message.text.clone())).collect();
        let expected = (place..N_MESSAGES).step_by(3);
        let expected = expected.map(|n| (MessageId::derived(trigger, &id(n)), n.to_string()));
        let once: Vec<_> = expected.collect();
        assert_eq!(got, [once.clone(), once].concat(), "{phone}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_taken_is_left_out_of_its_batch() {
    let running = start().await;
    let mut config = whatsapp();
    config["sender_access"] = json!({"mode": "whitelist", "identifiers": ["+5511999990000"]});
    let sender = running.sender(running.trigger(config).await);
    let queue = running.requested();
    let of_nobody = json!({"id": "wamid.3", "type": "text", "text": {"body": "who am I?"}});
    let body = batch(&[json!({"messages": [
        message("wamid.1", "5511999991111", "denied"),
        message("wamid.2", "5511999990000", "one"),
        of_nobody,
        message("wamid.4", "5511999990000", " "),
        message("wamid.5", "551199990000", "two"),
    ]})]);
    assert_eq!(post(&sender, &body).await.status, 200);
    let set = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let texts = async |n| {
        let published = queue.wait_for(n).await;
        let texts = published.into_iter().map(|it| it.messages[0].text.clone());
        // Of two sessions, so in no order.
        texts.collect::<BTreeSet<_>>()
    };
    assert_eq!(texts(2).await, set(&["one", "two"]));
    // Another content under an id is left out too.
    let body = batch(&[json!({"messages": [
        message("wamid.2", "5511999990000", "another one"),
        message("wamid.6", "5511999990000", "three"),
    ]})]);
    assert_eq!(post(&sender, &body).await.status, 200);
    assert_eq!(texts(3).await, set(&["one", "two", "three"]));
    // Nothing at all could be taken: Meta is not to send that for days.
    let body = batch(&[json!({"messages": [message("wamid.7", "5511999991111", "denied")]})]);
    let answer = post(&sender, &body).await;
    assert_eq!(answer.essence(), (200, Some("application/json"), r#"{"success":true}"#));
    running.stop().await;
    assert_eq!(queue.all().len(), 3);
}

#[tokio::test]
async fn reports_and_forgeries_start_nothing() {
    let running = start().await;
    let sender = running.sender(running.trigger(whatsapp()).await);
    let queue = running.requested();
    for status in ["sent", "delivered", "read", "failed"] {
        let report = json!({"statuses": [{"id": "wamid.0", "status": status}]});
        assert_eq!(post(&sender, &batch(&[report])).await.status, 200);
    }
    let body = batch(&[json!({"messages": [message("wamid.1", "5511999990000", "Olá")]})]);
    let text = body.to_string();
    let signed = providers::meta(text.as_bytes(), APP_SECRET);
    let with_own_secret = providers::meta(text.as_bytes(), WEBHOOK_SECRET);
    for (headers, body) in [
        (&signed[..], text.replace("Olá", "Oi")),
        (&with_own_secret[..], text.clone()),
        (&[], text.clone()),
    ] {
        let answer = sender.post_json_with(headers, body).await;
        assert_eq!((answer.status, answer.error()), (401, "invalid_signature".into()));
    }
    assert_eq!(post(&sender, &body).await.status, 200);
    assert_eq!(queue.wait_for(1).await[0].messages[0].text, "Olá");
    running.stop().await;
    assert_eq!(queue.all().len(), 1);
}
