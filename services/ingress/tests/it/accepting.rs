//! What is accepted, what is answered, and what the queue holds then.

use futures_util::future::join_all;
use recado_testkit::twilio::Inbound;
use recado_types::buffer::BufferPolicy;
use recado_types::{ExecutionId, MessageId, SessionId};
use serde_json::{Value, json};

use crate::requests::{TWILIO_SECRET, erp, erp_message, open, whatsapp};
use crate::running::Running;

#[tokio::test]
async fn a_whatsapp_message_is_handed_to_the_buffer_once() {
    let running = Running::start().await;
    running.add_secret("TWILIO_CREDENTIALS", TWILIO_SECRET).await;
    let trigger = running.trigger(whatsapp()).await;
    let queue = running.received();

    let message = Inbound::new("+5511999990000", "Olá, tudo bem?").message_sid("SM1");
    let answer = running.sender(trigger).post_twilio(&message).await;
    let empty = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";
    assert_eq!(answer.essence(), (200, Some("text/xml"), empty));

    let received = queue.wait_for(1).await.remove(0);
    assert_eq!(received.buffer, BufferPolicy::new(3_000, 8, None));
    let message = received.message;
    assert_eq!(message.text, "Olá, tudo bem?");
    assert_eq!(message.id, MessageId::derived(trigger, "SM1"));
    assert_eq!(message.tenant_id, running.tenant);
    let session = SessionId::derived(running.tenant, trigger, &["whatsapp:+5511999990000"]);
    assert_eq!(message.session_id, session);
    assert_eq!(
        Value::Object(message.context),
        json!({
            "_waId": "5511999990000", "_messageSid": "SM1",
            "phoneNumber": "whatsapp:+5511999990000", "profileName": "Maria Silva",
        })
    );
    running.stop().await;
    assert_eq!(queue.all().len(), 1);
}

#[tokio::test]
async fn without_a_buffer_an_execution_is_requested() {
    let running = Running::start().await;
    let trigger = running.trigger(erp()).await;
    let queue = running.requested();

    let answer = running.sender(trigger).post_signed(&erp_message("List contracts")).await;
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
    let requested = queue.wait_for(1).await.remove(0);
    let [message] = requested.messages.as_slice() else { panic!("{requested:?}") };
    assert_eq!(message.text, "List contracts");
    assert_eq!(Value::Object(message.context.clone()), json!({"userId": "u1", "userName": "Ana"}));
    assert_eq!(message.session_id, SessionId::derived(running.tenant, trigger, &["u1", "7"]));
    assert_eq!(
        answer.json(),
        json!({
            "success": true, "status": "accepted", "buffered": false,
            "trigger_id": trigger, "message_id": message.id, "session_id": message.session_id,
            "execution_id": ExecutionId::of_first(message.id),
        })
    );
    running.stop().await;
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_and_is_the_same_message() {
    let running = Running::start().await;
    let trigger = running.trigger(erp()).await;
    let sender = running.sender(trigger);
    let queue = running.requested();

    let body = erp_message("twice").to_string();
    let signature = crate::requests::signature(body.as_bytes());
    let posts = (0..20).map(|_| {
        let request = sender
            .request()
            .header("content-type", "application/json")
            .header("x-webhook-signature", &signature)
            .header("x-event-id", "event-1")
            .body(body.clone());
        crate::requests::answered(request)
    });
    let answers = join_all(posts).await;
    for answer in &answers {
        assert_eq!(answer.essence(), answers[0].essence());
        assert_eq!(answer.status, 202);
    }
    let expected = MessageId::derived(trigger, "event-1");
    for requested in queue.wait_for(20).await {
        assert_eq!(requested.messages[0].id, expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_delivery_report_is_acknowledged_and_starts_nothing() {
    let running = Running::start().await;
    running.add_secret("TWILIO_CREDENTIALS", TWILIO_SECRET).await;
    let trigger = running.trigger(whatsapp()).await;
    let sender = running.sender(trigger);
    let queue = running.received();

    for status in ["sent", "delivered", "read", "failed"] {
        let report = [("MessageSid", "SM9"), ("MessageStatus", status), ("SmsStatus", status)];
        let answer = sender.post_twilio_form(&report).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml")));
    }
    // The queue keeps its order: if a report had been published, it would be the first.
    let picture = [
        ("MessageSid", "SM10"),
        ("SmsStatus", "received"),
        ("From", "whatsapp:+55"),
        ("Body", ""),
        ("NumMedia", "1"),
        ("MediaContentType0", "image/jpeg"),
        ("MediaUrl0", "https://m/0"),
    ];
    assert_eq!(sender.post_twilio_form(&picture).await.status, 200);
    let received = queue.wait_for(1).await;
    assert_eq!(received[0].message.text, "[image/jpeg] https://m/0");
    running.stop().await;
    assert_eq!(queue.all().len(), 1);
}

#[tokio::test]
async fn every_way_to_write_a_body_is_read() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(open()).await);
    let queue = running.requested();
    for (content_type, body, text) in [
        ("application/json", r#""Olá""#, "Olá"),
        ("application/vnd.erp+json; charset=utf-8", r#"{"a":1}"#, r#"{"a":1}"#),
        ("application/x-www-form-urlencoded", "a=1&a=2", r#"{"a":["1","2"]}"#),
        ("text/plain", "Olá", "Olá"),
        ("text/plain; charset=UTF-8", "[1]", "[1]"),
    ] {
        assert_eq!(sender.post(content_type, body).await.status, 202, "{content_type}");
        let requested = queue.wait_for(1).await;
        assert_eq!(requested.last().unwrap().messages[0].text, text);
        queue.clear();
    }
    let untyped = crate::requests::answered(sender.request().body("{}")).await;
    assert_eq!(untyped.status, 202);
    running.stop().await;
}
