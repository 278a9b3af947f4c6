//! What the adapter makes of Meta's requests, rule by rule.

use std::sync::Arc;

use actix_web::http::StatusCode;
use proptest::prelude::*;
use recado_testkit::providers;
use serde_json::json;

use super::super::Says;
use super::super::tampering::{Flip, assert_only_what_was_signed_is_authentic};
use super::super::tests::{Request, adapter_of, messages, notice};
use super::batch::TooMany;
use super::scale::Scale;
use super::*;

fn meta() -> Arc<dyn Channel> {
    let channel = json!({
        "type": "meta_whatsapp", "signing_secret_ref": "APP", "verify_token_ref": "VERIFY",
    });
    adapter_of(&channel, &[("APP", "app-secret"), ("VERIFY", "old-token\nnew-token")])
}

/// A batch with one change of the field `messages`.
fn batch(value: &Value) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}],
    })
}

fn value(contacts: &Value, messages: &Value) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": contacts,
        "messages": messages,
    })
}

fn all_of(payload: &Value) -> Vec<Incoming> {
    messages(&*meta(), &Request::post(payload.to_string()))
}

/// What a message with these fields says, and its description.
fn content(fields: &Value) -> (String, Option<String>) {
    let message = all_of(&batch(&json!({"messages": [fields]}))).remove(0);
    let Says::Text(text) = message.says else { panic!("{message:?}") };
    (text, message.description)
}

fn challenge(channel: &dyn Channel, query: &str) -> Challenge {
    channel.challenge(&Request::post("").query(query).received())
}

#[test]
fn who_knows_the_verify_token_gets_the_challenge_back() {
    let echoed = Answer::new(StatusCode::OK, "text/plain", "1158201444".to_owned());
    for token in ["old-token", "new-token"] {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        assert_eq!(challenge(&*meta(), &query), Challenge::Passed(echoed.clone()));
    }
    let own = adapter_of(&json!({"type": "meta_whatsapp"}), &[]);
    let query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=whs_test";
    assert_eq!(challenge(&*own, query), Challenge::Passed(echoed));
    assert_eq!(challenge(&*meta(), query), Challenge::Failed);
}

#[test]
fn any_other_challenge_fails() {
    let long = "1".repeat(513);
    for query in [
        "",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=new-toke",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=new-token&hub.verify_token=new-token",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=new-token",
        "hub.challenge=1&hub.verify_token=new-token",
        "hub.mode=subscribe&hub.verify_token=new-token",
        "hub.mode=subscribe&hub.challenge=&hub.verify_token=new-token",
        "hub.mode=subscribe&hub.challenge=a%20b&hub.verify_token=new-token",
        "hub.mode=subscribe&hub.challenge=%C3%A9&hub.verify_token=new-token",
        "hub.mode=subscribe&hub.challenge=%ff&hub.verify_token=new-token",
        &format!("hub.mode=subscribe&hub.challenge={long}&hub.verify_token=new-token"),
    ] {
        assert_eq!(challenge(&*meta(), query), Challenge::Failed, "{query}");
    }
}

#[test]
fn without_a_named_secret_the_triggers_own_is_the_key() {
    let own = adapter_of(&json!({"type": "meta_whatsapp"}), &[]);
    let headers = providers::meta(b"{}", "whs_test");
    assert_only_what_was_signed_is_authentic(&*own, b"{}", &headers, 0, Flip::default());
}

#[test]
fn a_batch_is_one_message_for_each_with_its_own_contact() {
    let ana = json!({"wa_id": "5511", "profile": {"name": "Ana"}});
    let rui = json!({"wa_id": "5521", "profile": {"name": "Rui"}});
    let message = |from: &str, id: &str, body: &str| json!({"from": from, "id": id, "timestamp": "1", "type": "text", "text": {"body": body}});
    let (first, second, third) = (
        message("5511", "wamid.1", "Olá"),
        message("5521", "wamid.2", "Oi"),
        message("5511", "wamid.3", "?"),
    );
    let whole = batch(&value(&json!([ana, rui]), &json!([first, second, third])));
    let expected = |contact: &Value, message: &Value| Incoming {
        provider_id: text_at(message, "/id").map(str::to_owned),
        says: Says::Text(text_at(message, "/text/body").unwrap().to_owned()),
        sender: text_at(message, "/from").map(str::to_owned),
        ..Incoming::of(batch(&value(&json!([contact]), &json!([message]))))
    };
    assert_eq!(
        all_of(&whole),
        [expected(&ana, &first), expected(&rui, &second), expected(&ana, &third)]
    );
    assert!(meta().sends_batches());
}

#[test]
fn messages_of_all_entries_and_changes_are_taken_in_order() {
    let change = |id: &str| {
        let message = json!({"id": id, "from": "1", "type": "text", "text": {"body": "x"}});
        json!({"field": "messages", "value": {"messages": [message]}})
    };
    let payload = json!({"entry": [
        {"changes": [change("a"), {"field": "account_update", "value": {"messages": [{}]}}, change("b")]},
        {"changes": "odd"}, "odd", {"changes": [change("c")]},
    ]});
    let ids: Vec<_> =
        all_of(&payload).into_iter().map(|message| message.provider_id.unwrap()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn a_contact_that_is_certain_is_kept_and_no_other() {
    let contacts = |contacts: Value, from: Value| {
        let message = json!({"id": "1", "type": "text", "text": {"body": "x"}});
        let mut message = message.as_object().unwrap().clone();
        message.extend(from.as_object().unwrap().clone());
        let payload = all_of(&batch(&value(&contacts, &json!([message])))).remove(0).payload;
        payload.pointer("/entry/0/changes/0/value/contacts").cloned()
    };
    // Of one message and one contact, however the number is written.
    let ana = json!({"wa_id": "551187654321"});
    assert_eq!(contacts(json!([ana]), json!({"from": "5511987654321"})), Some(json!([ana])));
    // By the id of a person without a number.
    let both = json!([ana, {"user_id": "BR.1"}]);
    assert_eq!(
        contacts(both.clone(), json!({"from_user_id": "BR.1"})),
        Some(json!([{"user_id": "BR.1"}]))
    );
    assert_eq!(contacts(both.clone(), json!({"from": "1"})), None);
    assert_eq!(contacts(json!([{}, {}]), json!({})), None);
}

#[test]
fn reports_and_other_news_are_notices() {
    let statuses = json!({"metadata": {}, "statuses": [{"id": "wamid.1", "status": "delivered"}]});
    let reaction =
        json!({"messages": [{"id": "1", "type": "reaction", "reaction": {"emoji": "x"}}]});
    let system =
        json!({"messages": [{"id": "1", "type": "system", "system": {"body": "new number"}}]});
    let mut other = batch(&json!({"messages": [{"type": "text", "text": {"body": "x"}}]}));
    other["entry"][0]["changes"][0]["field"] = json!("smb_message_echoes");
    for payload in [
        batch(&statuses),
        batch(&reaction),
        batch(&system),
        other,
        batch(&json!({"messages": [{}, 1, {"type": 1}, {"type": "image"}]})),
        json!({"object": "page"}),
        json!([]),
        json!(null),
        json!("x"),
    ] {
        let answer = notice(&*meta(), &Request::post(payload.to_string()));
        assert_eq!(answer, success(), "{payload}");
    }
}

#[test]
fn each_type_says_what_the_person_did() {
    for (fields, said) in [
        (json!({"type": "text", "text": {"body": "Olá"}}), "Olá"),
        (json!({"type": "button", "button": {"text": "Yes", "payload": "y"}}), "Yes"),
        (
            json!({"type": "interactive", "interactive":
            {"type": "button_reply", "button_reply": {"id": "b", "title": "Cancel"}}}),
            "Cancel",
        ),
        (
            json!({"type": "interactive", "interactive":
            {"type": "list_reply", "list_reply": {"id": "r", "title": "Priority"}}}),
            "Priority",
        ),
        (
            json!({"type": "interactive", "interactive":
            {"type": "nfm_reply", "nfm_reply": {"body": "Sent", "response_json": "{}"}}}),
            "Sent",
        ),
        (json!({"type": "interactive", "interactive": {}}), ""),
    ] {
        assert_eq!(content(&fields), (said.to_owned(), None), "{fields}");
    }
}

#[test]
fn what_is_no_text_is_described() {
    for (fields, said, description) in [
        (
            json!({"type": "image", "image": {"id": "1", "mime_type": "image/jpeg", "caption": "look"}}),
            "look",
            "[image/jpeg] media:1",
        ),
        (
            json!({"type": "document", "document":
            {"id": "2", "mime_type": "application/pdf", "filename": "bill.pdf"}}),
            "",
            "[application/pdf] media:2 bill.pdf",
        ),
        (
            json!({"type": "audio", "audio": {"id": "3", "mime_type": "audio/ogg; codecs=opus"}}),
            "",
            "[audio/ogg; codecs=opus] media:3",
        ),
        (json!({"type": "sticker", "sticker": {}}), "", "[sticker]"),
        (
            json!({"type": "location", "location": {"latitude": -23.5614, "longitude": -46.6559,
            "name": "MASP", "address": "Av. Paulista 1578"}}),
            "",
            "[location] -23.5614,-46.6559 MASP, Av. Paulista 1578",
        ),
        (json!({"type": "location", "location": {"latitude": 1}}), "", "[location]"),
        (
            json!({"type": "contacts", "contacts": [
            {"name": {"formatted_name": "Ana Souza"}, "phones": [{"phone": "+5511"}]}, {}]}),
            "",
            "[contact] Ana Souza +5511\n[contact]",
        ),
        (json!({"type": "contacts", "contacts": []}), "", "[contacts]"),
        (json!({"type": "unsupported"}), "", "[unsupported]"),
    ] {
        assert_eq!(content(&fields), (said.to_owned(), Some(description.to_owned())), "{fields}");
    }
}

#[test]
fn a_batch_has_at_most_a_thousand_messages() {
    let of = |n: usize| {
        let messages = vec![json!({"type": "text", "text": {"body": "x"}}); n];
        batch::messages(batch(&json!({"messages": messages}))).map(|messages| messages.len())
    };
    assert_eq!((of(999), of(1_000), of(1_001)), (Ok(999), Ok(1_000), Err(TooMany)));
}

#[test]
fn what_is_heavy_is_not_repeated_around_messages() {
    let payload = |length: usize| {
        let heavy = "x".repeat(length);
        let value = json!({
            "metadata": heavy, "contacts": [{"wa_id": "1", "profile": heavy}],
            "messages": [{"from": "1", "type": "text", "text": {"body": "x"}}],
        });
        all_of(&batch(&value)).remove(0).payload
    };
    let (light, heavy) = (payload(100), payload(scale::MAX_AROUND));
    for name in ["metadata", "contacts", "messages"] {
        let pointer = format!("/entry/0/changes/0/value/{name}");
        assert!(light.pointer(&pointer).is_some(), "{name}");
        assert_eq!(heavy.pointer(&pointer).is_some(), name == "messages", "{name}");
    }
}

/// The messages of a batch, and how many values were looked at to weigh what is around them.
fn weighed(payload: Value) -> (Result<Vec<Incoming>, TooMany>, usize) {
    let mut scale = Scale::default();
    let messages = batch::messages_by(&mut scale, payload);
    (messages, scale.n_looked_at())
}

#[test]
fn a_batch_of_twenty_thousand_changes_is_weighed_once() {
    let changes = |messages: Value| {
        let change = json!({"field": "messages", "value": {"messages": messages}});
        let mut whole = batch(&Value::Null);
        whole["object"] = json!(vec![0; 300_000]);
        assert!(whole["object"].to_string().len() > 600_000);
        whole["entry"][0]["changes"] = vec![change; 20_000].into();
        whole
    };
    // Of the object, as much as there is room for; and the id of the entry.
    let object = 1 + scale::MAX_AROUND / size_of::<Value>();
    let message = json!({"id": "1", "from": "1", "type": "text", "text": {"body": "x"}});
    for (messages, n_messages) in [
        (json!([]), Ok(0)),
        (json!([{"type": "reaction"}]), Ok(0)),
        (json!([{}]), Ok(0)),
        (json!([message]), Err(TooMany)),
    ] {
        let (messages, n_looked_at) = weighed(changes(messages));
        assert_eq!(messages.map(|messages| messages.len()), n_messages);
        assert!(n_looked_at <= object + 1, "{n_looked_at}");
    }
}

#[test]
fn what_is_around_is_weighed_only_where_there_is_a_message() {
    let around = json!({"metadata": {"a": 1}, "contacts": [{"wa_id": "1"}]});
    let changes = |kind: &str| {
        let mut value = around.clone();
        value["messages"] = json!([{"from": "1", "type": kind}]);
        json!({"entry": [{"changes": vec![json!({"field": "messages", "value": value}); 20_000]}]})
    };
    assert_eq!(weighed(changes("reaction")), (Ok(Vec::new()), 0));
    let (messages, n_looked_at) = weighed(changes("unsupported"));
    // The one more is where it turns out that there are too many.
    let values_around_one = 4;
    let most = (batch::MAX_MESSAGES + 1) * values_around_one;
    assert_eq!((messages, n_looked_at), (Err(TooMany), most));
}

#[test]
fn a_thousand_messages_in_one_change_become_as_many_small_payloads() {
    let heavy = "x".repeat(600_000);
    let of = |message: Value, n: usize| {
        let value = json!({"metadata": heavy, "messages": vec![message; n]});
        weighed(batch(&value)).0
    };
    assert_eq!(of(json!({}), 19_900), Ok(Vec::new()));
    assert_eq!(of(json!({"type": "unknown"}), 19_900), Err(TooMany));
    let messages = of(json!({"type": "unknown"}), batch::MAX_MESSAGES).unwrap();
    assert_eq!(messages.len(), batch::MAX_MESSAGES);
    for message in messages {
        assert!(message.payload.to_string().len() < 200, "{message:?}");
    }
}

#[test]
fn a_message_is_the_same_in_another_batch() {
    let message = |text: &str| {
        json!({"from": "5511", "id": "wamid.1", "timestamp": "1", "type": "text",
               "text": {"body": text}})
    };
    let essence = |payload: &Value| {
        let message = all_of(payload).pop().unwrap();
        meta().essence(message.as_sent()).into_owned()
    };
    let contact = |name: &str| json!({"wa_id": "5511", "profile": {"name": name}});
    let first = batch(&value(&json!([contact("Ana")]), &json!([message("Olá")])));
    let another = json!({"from": "5521", "id": "wamid.2", "type": "text", "text": {"body": "Oi"}});
    let mut regrouped =
        batch(&value(&json!([contact("Ana Souza")]), &json!([another, message("Olá")])));
    regrouped["entry"][0]["time"] = json!(1_800_000_000);
    let changed = batch(&value(&json!([contact("Ana")]), &json!([message("Tchau")])));
    assert_eq!(essence(&first), message("Olá"));
    assert_eq!(essence(&regrouped), message("Olá"));
    assert_eq!(essence(&changed), message("Tchau"));
}

proptest! {
    #[test]
    fn exactly_what_was_signed_is_authentic(
        body in prop::collection::vec(any::<u8>(), 0..100), flip in any::<Flip>(),
    ) {
        let headers = providers::meta(&body, "app-secret");
        assert_only_what_was_signed_is_authentic(&*meta(), &body, &headers, 0, flip);
    }
}
