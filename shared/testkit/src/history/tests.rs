//! The checker finds each kind of violation, and none where there is none.

use proptest::prelude::*;

use super::*;
use crate::http_client;
use crate::model::{Asked, Model};
use crate::stub::Fault;
use crate::twilio::Messages;

const A: &str = "tenant-1/alice";
const B: &str = "tenant-2/bob";

/// Alice posts three messages, one after the other; all are acknowledged.
fn three_posts() -> History {
    post_three(History::new())
}

fn post_three(history: History) -> History {
    for n in 1..=3 {
        history.posted(A, &format!("SM{n}"), &token(1, n), true);
    }
    history
}

fn violations(history: &History) -> Vec<Violation> {
    history.check().expect_err("there is a violation").found
}

fn texts(history: &History) -> Vec<String> {
    violations(history).iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_history_is_summed_up() {
    let history = three_posts();
    history.posted(B, "SM9", &token(2, 1), false);
    assert_eq!(history.n_outstanding(), 3);
    history.model_asked(A, "e1", "s1-m0001\ns1-m0002");
    history.called_back(A, "k1", "you said s1-m0001 and s1-m0002");
    history.model_asked(A, "e2", "s1-m0003");
    history.called_back(A, "k2", "s1-m0003");
    assert_eq!(history.n_outstanding(), 0);
    let summary = history.check().unwrap();
    assert_eq!(
        summary.to_string(),
        "4 messages posted, 3 acknowledged, 3 executed in 2 inputs (0 repeated), \
         2 callbacks (0 repeated), 0 reordered"
    );
}

#[test]
fn what_is_in_doubt_may_be_repeated_under_its_key() {
    let history = three_posts();
    for _ in 0..2 {
        history.model_asked(A, "e1", "s1-m0001 s1-m0002 s1-m0003");
        history.called_back(A, "k1", "s1-m0001 s1-m0002 s1-m0003");
    }
    let summary = history.check().unwrap();
    assert_eq!((summary.n_repeated_inputs, summary.n_repeated_callbacks), (1, 1));
}

#[test]
fn a_message_without_an_acknowledgement_may_be_executed_once_or_not_at_all() {
    let history = History::of_echo();
    history.posted(A, "SM1", "s1-m0001", false);
    history.posted(A, "SM2", "s1-m0002", false);
    history.called_back(A, "k1", "s1-m0002");
    history.check().unwrap();
    history.called_back(A, "k2", "s1-m0002");
    assert_eq!(texts(&history), ["twice: s1-m0002 of tenant-1/alice is in the inputs k1 and k2"]);
}

#[test]
fn a_retry_is_the_same_message() {
    let history = History::of_echo();
    history.posted(A, "SM1", "s1-m0001", false);
    history.posted(A, "SM1", "s1-m0001", true);
    history.called_back(A, "k1", "s1-m0001");
    assert_eq!(history.check().unwrap().n_posted, 1);
}

#[test]
fn a_lost_message_is_found() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "s1-m0001 s1-m0003");
    assert_eq!(
        texts(&history),
        ["lost: s1-m0002 (SM2) of tenant-1/alice was acknowledged, but is in no input"]
    );
}

#[test]
fn a_missing_callback_is_found() {
    let history = three_posts();
    history.model_asked(A, "e1", "s1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k1", "s1-m0001 s1-m0002");
    let [Violation::Lost { place: Place::Callback, message, .. }] = &violations(&history)[..]
    else {
        panic!("{:?}", history.check());
    };
    assert_eq!(message, "s1-m0003");
}

#[test]
fn a_message_in_two_executions_is_found() {
    let history = three_posts();
    history.model_asked(A, "e1", "s1-m0001 s1-m0002");
    history.model_asked(A, "e2", "s1-m0002 s1-m0003");
    history.called_back(A, "k1", "s1-m0001 s1-m0002 s1-m0003");
    assert_eq!(texts(&history), ["twice: s1-m0002 of tenant-1/alice is in the inputs e1 and e2"]);
}

#[test]
fn a_message_that_is_twice_in_one_input_is_found() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "s1-m0001 s1-m0001 s1-m0002 s1-m0003");
    assert_eq!(texts(&history), ["twice: s1-m0001 of tenant-1/alice is in the inputs k1 and k1"]);
}

#[test]
fn a_callback_under_two_keys_is_found() {
    let history = three_posts();
    history.model_asked(A, "e1", "s1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k1", "s1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k2", "s1-m0003");
    let expected = "twice: s1-m0003 of tenant-1/alice is in the callbacks k1 and k2";
    assert_eq!(texts(&history), [expected]);
}

#[test]
fn two_callbacks_under_one_key_are_found() {
    let history = three_posts();
    history.model_asked(A, "e1", "s1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k1", "s1-m0001");
    history.called_back(A, "k1", "s1-m0002 s1-m0003");
    assert!(matches!(&violations(&history)[..], [Violation::KeyReused { .. }]));
}

#[test]
fn an_invented_message_is_found() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "s1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k2", "s1-m0004");
    history.called_back(A, "k3", "an internal error occurred");
    let found = violations(&history);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|found| matches!(found, Violation::Invented { .. })));
}

#[test]
fn a_message_in_a_stranger_s_session_is_found() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "s1-m0001 s1-m0002");
    history.called_back(B, "k2", "s1-m0003");
    let expected = "mixed: s1-m0003 of tenant-1/alice is in an input of tenant-2/bob";
    assert_eq!(texts(&history), [expected]);
}

#[test]
fn a_message_that_overtook_another_is_found_within_an_input_and_between_inputs() {
    for inputs in [&["s1-m0002 s1-m0001 s1-m0003"][..], &["s1-m0002", "s1-m0001", "s1-m0003"]] {
        let history = post_three(History::of_echo());
        for (n, input) in inputs.iter().enumerate() {
            history.called_back(A, &format!("k{n}"), input);
        }
        let expected = "reordered: in the inputs of tenant-1/alice, s1-m0001 comes after s1-m0002";
        assert_eq!(texts(&history), [expected]);
    }
}

#[test]
fn callbacks_that_come_in_another_order_than_they_were_posted_are_found() {
    let history = three_posts();
    history.model_asked(A, "e1", "s1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k2", "s1-m0003");
    history.called_back(A, "k1", "s1-m0001 s1-m0002");
    let found = violations(&history);
    assert!(found.iter().all(|found| {
        matches!(found, Violation::Reordered { place: Place::Callback, second, .. }
            if second == "s1-m0003")
    }));
    assert_eq!(found.len(), 2);
}

#[test]
fn redelivery_may_excuse_the_order_and_nothing_else() {
    let history = post_three(History::of_echo().where_redelivery_reorders());
    history.called_back(A, "k1", "s1-m0002");
    history.called_back(A, "k2", "s1-m0001");
    history.called_back(A, "k3", "s1-m0003");
    assert_eq!(history.check().unwrap().n_reordered, 1);
    history.called_back(A, "k1", "s1-m0002");
    assert!(matches!(&violations(&history)[..], [Violation::RepeatedLate { .. }]));
}

#[test]
fn messages_that_were_under_way_together_have_no_order() {
    let history = History::of_echo();
    history.posting(A, "SM1", "s1-m0001");
    history.posting(A, "SM2", "s1-m0002");
    history.acknowledged("s1-m0001");
    history.acknowledged("s1-m0002");
    history.called_back(A, "k1", "s1-m0002 s1-m0001");
    history.check().unwrap();
}

#[test]
fn a_callback_that_comes_again_after_the_next_is_found() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "s1-m0001 s1-m0002");
    history.called_back(A, "k2", "s1-m0003");
    history.called_back(A, "k1", "s1-m0001 s1-m0002");
    let expected = "repeated late: callback k1 of tenant-1/alice came again after the next";
    assert_eq!(texts(&history), [expected]);
}

#[test]
fn chunks_out_of_order_are_found() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "(1/3)\ns1-m0001");
    history.called_back(A, "k3", "(3/3)\ns1-m0002 s1-m0003");
    let expected = "chunks broken: callback k3 of tenant-1/alice is (3/3) after (1/3)";
    assert_eq!(texts(&history), [expected]);
}

#[test]
fn chunks_in_order_are_fine_even_if_the_later_ones_hold_no_token() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "(1/2)\ns1-m0001 s1-m0002 s1-m0003");
    history.called_back(A, "k2", "(2/2)\nand so on");
    history.called_back(A, "k2", "(2/2)\nand so on");
    history.check().unwrap();
}

#[test]
fn the_report_tells_what_happened() {
    let history = post_three(History::of_echo());
    history.called_back(A, "k1", "s1-m0001 s1-m0003");
    let report = history.check().unwrap_err().to_string();
    for line in [
        "1 violations:",
        "what happened in tenant-1/alice:",
        "posted s1-m0002 (SM2)",
        "acknowledged s1-m0002",
        "callback k1 [s1-m0001 s1-m0003]",
    ] {
        assert!(report.contains(line), "{line:?} is missing in:\n{report}");
    }
}

#[test]
fn tokens_are_found_between_other_words() {
    assert_eq!(tokens("(1/2)\ns1-m0001,s22-m3! s-m1 s1-m xs1-m1 s1-m1x"), ["s1-m0001", "s22-m3"]);
}

#[tokio::test]
async fn what_a_stub_refused_is_no_callback_and_nothing_is_observed_twice() {
    let twilio = Messages::start("AC1", "secret");
    let history = History::of_echo();
    history.posted("whatsapp:+1", "SM1", &token(1, 1), true);
    twilio.fail_next(1, &Fault::status(503));
    for _ in 0..2 {
        let form = [("To", "whatsapp:+1"), ("From", "whatsapp:+2"), ("Body", "s1-m0001")];
        let request = http_client().post(twilio.messages_url()).basic_auth("AC1", Some("secret"));
        request.header("Idempotency-Key", "k1").form(&form).send().await.unwrap();
        history.observe_callbacks(&twilio);
        history.observe_callbacks(&twilio);
    }
    assert_eq!(history.check().unwrap().n_callbacks, 1);
}

#[tokio::test]
async fn what_a_model_was_asked_is_an_input() {
    let model = Model::start();
    let history = History::new();
    history.posted(A, "SM1", &token(1, 1), true);
    let chat = serde_json::json!({
        "model": "m",
        "messages": [{"role": "user", "content": "s1-m0001"}],
    });
    let url = format!("{}/chat/completions", model.base_url());
    let request = http_client().post(url).header("Idempotency-Key", "e1").json(&chat);
    request.send().await.unwrap();
    let origin = |asked: &Asked| (A.to_owned(), asked.idempotency_key.clone().unwrap());
    history.observe_inputs(&model, origin);
    history.observe_inputs(&model, origin);
    history.called_back(A, "k1", "s1-m0001");
    assert_eq!(history.check().unwrap().n_inputs, 1);
}

proptest! {
    /// Whatever is dropped from, or doubled in, a right history of executions is noticed.
    #[test]
    fn one_wrong_execution_among_many_is_noticed(
        sizes in prop::collection::vec(1_usize..5, 1..20),
        at in any::<prop::sample::Index>(),
        doubled in any::<bool>(),
    ) {
        let history = History::of_echo();
        let wrong = at.index(sizes.len());
        let mut message = 0;
        for (n, size) in sizes.iter().enumerate() {
            let batch: Vec<_> = (message..message + size).map(|m| token(1, m)).collect();
            message += size;
            for text in &batch {
                history.posted(A, text, text, true);
            }
            if n != wrong {
                history.called_back(A, &format!("k{n}"), &batch.join("\n"));
            } else if doubled {
                history.called_back(A, &format!("k{n}"), &batch.join("\n"));
                history.called_back(A, &format!("k{n}-again"), &batch.join("\n"));
            }
        }
        prop_assert_eq!(violations(&history).len(), sizes[wrong]);
    }
}
