//! Who may write, and what the agent is told about them.

use recado_store::members::{self, Identifier, MemberDraft, MemberRecord, Saved};
use recado_testkit::twilio::Inbound;
use recado_testkit::wait_for;
use recado_types::{MemberId, TenantId, identity};
use serde_json::{Value, json};

use crate::requests::{Answered, Sender, TWILIO_SECRET, open, whatsapp};
use crate::running::{Running, SOON};

const ANA: &str = "+5511999990000";

/// Somebody of the team with this number and this address.
fn draft(name: &str, phone: Option<&str>, email: Option<&str>) -> MemberDraft {
    let identifier = |shown: &str, key: Option<String>| Identifier {
        shown: shown.to_owned(),
        key: key.expect("the test's identifier is one"),
    };
    MemberDraft {
        name: name.into(),
        phone: phone.map(|phone| identifier(phone, identity::phone_key(phone))),
        email: email.map(|email| identifier(email, identity::email_key(email))),
        external_id: None,
        active: true,
    }
}

async fn add(running: &Running, tenant: TenantId, draft: &MemberDraft) -> MemberRecord {
    let id: MemberId = running.fresh_id();
    match members::create(&running.store, tenant, id, draft, running.now()).await.unwrap() {
        Saved::Saved(member) => member,
        refused => panic!("{refused:?}"),
    }
}

async fn replace(running: &Running, record: &MemberRecord, draft: &MemberDraft) -> MemberRecord {
    let (id, read_at, now) = (record.member.id, record.updated_at, running.now());
    match members::replace(&running.store, running.tenant, id, read_at, draft, now).await.unwrap() {
        Saved::Saved(member) => member,
        refused => panic!("{refused:?}"),
    }
}

/// An open trigger with this `sender_access`, whose senders are in `from`.
fn guarded(mut access: Value) -> Value {
    access["identity_field"] = json!("from");
    let mut config = open();
    config["sender_access"] = access;
    config["context_mapping"] =
        json!({"userId": "$.userId", "userName": "$.userName", "topic": "$.topic"});
    config
}

async fn post_from(sender: &Sender, from: &str) -> Answered {
    sender.post("application/json", json!({"from": from, "text": "Olá"}).to_string()).await
}

async fn assert_admitted(sender: &Sender, from: &str) {
    let answer = post_from(sender, from).await;
    assert_eq!(answer.status, 202, "{from}: {}", answer.body);
}

async fn assert_denied(sender: &Sender, from: &str) {
    let answer = post_from(sender, from).await;
    assert_eq!((answer.status, answer.error()), (403, "webhook_sender_denied".into()), "{from}");
}

async fn wait_for_status(sender: &Sender, from: &str, status: u16) {
    let level = async || (post_from(sender, from).await.status == status).then_some(());
    wait_for(&format!("a {status}"), SOON, level).await.unwrap();
}

#[tokio::test]
async fn a_whitelist_lets_in_who_is_on_it_however_it_is_spelled() {
    let running = Running::start().await;
    let identifiers = json!([ANA, "551188887777", "Bia@Recado.test", "partner-7"]);
    let access = json!({"mode": "whitelist", "identifiers": identifiers});
    let sender = running.sender(running.trigger(guarded(access)).await);
    let queue = running.requested();
    let admitted = [
        "whatsapp:+55 (11) 99999-0000",
        "551199990000",
        "+5511988887777",
        "bia@recado.TEST",
        "partner-7",
    ];
    for from in ["+5511999990001", "+551133334444", "bia@recado.tes", "PARTNER-7", "*"] {
        assert_denied(&sender, from).await;
    }
    for from in admitted {
        assert_admitted(&sender, from).await;
    }
    let published = queue.wait_for(admitted.len()).await;
    running.stop().await;
    // The queue keeps its order: what was denied before would be the first.
    assert_eq!(queue.all().len(), published.len());
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_told_where_to_say_it() {
    let running = Running::start().await;
    let access = json!({"mode": "whitelist", "identifiers": [ANA]});
    let sender = running.sender(running.trigger(guarded(access)).await);
    for body in [json!({}), json!({"from": null}), json!({"from": " "}), json!({"from": {}})] {
        let answer = sender.post("application/json", body.to_string()).await;
        assert_eq!((answer.status, answer.error()), (400, "invalid_input".into()), "{body}");
        assert_eq!(answer.json()["details"]["fields"][0]["path"], "from");
    }
    running.stop().await;
}

#[tokio::test]
async fn members_are_known_by_their_number_with_and_without_the_ninth_digit() {
    let running = Running::start().await;
    running.add_secret("TWILIO_CREDENTIALS", TWILIO_SECRET).await;
    add(&running, running.tenant, &draft("Ana", Some(ANA), None)).await;
    add(&running, running.tenant, &draft("Bia", Some("+55 11 8888-7777"), None)).await;
    let sender = running.sender(running.trigger(guarded(json!({"mode": "members"}))).await);
    for from in [ANA, "+551199990000", "5511988887777", "whatsapp:+551188887777"] {
        assert_admitted(&sender, from).await;
    }
    for from in ["+5511999990009", "+5521999990000", "ana@recado.test", "no number"] {
        assert_denied(&sender, from).await;
    }

    // A channel knows who writes by itself.
    let mut config = whatsapp();
    config["sender_access"] = json!({"mode": "members", "match_column": "phone"});
    let twilio = running.sender(running.trigger(config).await);
    assert_eq!(twilio.post_twilio(&Inbound::new("+551199990000", "Olá")).await.status, 200);
    let denied = twilio.post_twilio(&Inbound::new("+551199990009", "Olá")).await;
    assert_eq!((denied.status, denied.error()), (403, "webhook_sender_denied".into()));
    running.stop().await;
}

#[tokio::test]
async fn members_are_known_by_their_address_or_by_what_another_system_calls_them() {
    let running = Running::start().await;
    let ana = MemberDraft {
        external_id: Some("erp-1".into()),
        ..draft("Ana", Some(ANA), Some("Ana@Recado.test"))
    };
    add(&running, running.tenant, &ana).await;
    let by = async |column: &str| {
        let access = json!({"mode": "members", "match_column": column});
        running.sender(running.trigger(guarded(access)).await)
    };
    let (email, external) = (by("email").await, by("external_id").await);
    for from in ["ana@recado.test", " ANA@RECADO.TEST "] {
        assert_admitted(&email, from).await;
    }
    for from in [ANA, "ana@recado.tes", "erp-1"] {
        assert_denied(&email, from).await;
    }
    assert_admitted(&external, "erp-1").await;
    for from in ["ERP-1", "erp-2", ANA] {
        assert_denied(&external, from).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn what_the_directory_says_of_a_member_counts_over_what_the_payload_claims() {
    let running = Running::start().await;
    let ana = add(&running, running.tenant, &draft("Ana", Some(ANA), None)).await;
    let queue = running.requested();
    let claim = json!({
        "from": ANA, "userId": "the boss", "userName": "Root", "topic": "cars", "text": "Olá",
    });
    for (resolves, context) in [
        (true, json!({"userId": ana.member.id, "userName": "Ana", "topic": "cars"})),
        (false, json!({"userId": "the boss", "userName": "Root", "topic": "cars"})),
    ] {
        let access = json!({"mode": "members", "resolve_user": resolves});
        let sender = running.sender(running.trigger(guarded(access)).await);
        assert_eq!(sender.post("application/json", claim.to_string()).await.status, 202);
        let published = queue.next().await.messages.remove(0);
        assert_eq!(Value::Object(published.context), context);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_change_of_the_team_is_noticed_at_once() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(guarded(json!({"mode": "members"}))).await);
    assert_denied(&sender, ANA).await;
    let ana = draft("Ana", Some(ANA), None);
    let added = add(&running, running.tenant, &ana).await;
    wait_for_status(&sender, ANA, 202).await;

    let inactive = MemberDraft { active: false, ..ana.clone() };
    let deactivated = replace(&running, &added, &inactive).await;
    wait_for_status(&sender, ANA, 403).await;
    let moved = draft("Ana", Some("+5511999991111"), None);
    replace(&running, &deactivated, &moved).await;
    wait_for_status(&sender, "+5511999991111", 202).await;
    assert_denied(&sender, ANA).await;

    assert!(members::delete(&running.store, running.tenant, added.member.id, None).await.unwrap());
    wait_for_status(&sender, "+5511999991111", 403).await;
    running.stop().await;
}

#[tokio::test]
async fn a_member_of_another_team_is_nobody() {
    let running = Running::start().await;
    let (stranger, agent) = running.another_tenant().await;
    add(&running, stranger, &draft("Ana", Some(ANA), None)).await;
    let theirs = running.trigger_of(stranger, agent, guarded(json!({"mode": "members"}))).await;
    let ours = running.trigger(guarded(json!({"mode": "members"}))).await;
    assert_admitted(&running.sender(theirs), ANA).await;
    assert_denied(&running.sender(ours), ANA).await;
    running.stop().await;
}
