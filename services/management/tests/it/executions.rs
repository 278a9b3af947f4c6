//! What happened, in the shape that seed 000 prints.

use serde_json::{Value, json};

use crate::server::Server;

pub(crate) const EXECUTION: &str = "01930000-0000-7000-8000-00000000e001";
/// One that was made.
pub(crate) const TOOL_CALL: &str = "01930000-0000-7000-8000-00000000b001";
pub(crate) const DELIVERY: &str = "01930000-0000-7000-8000-00000000d001";
pub(crate) const SESSION: &str = "01930000-0000-7000-8000-00000000a001";

/// An execution of two buffered messages, delivered in two chunks, the first at the second attempt.
pub(crate) async fn insert_execution(server: &Server, trigger: &str, agent: &str) {
    let ours = server.ours;
    let statements = format!(
        r#"
        INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at) VALUES
            ('{SESSION}', '{ours}', '{trigger}', '{agent}', '2026-02-18T14:00:00Z');
        INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id, text,
                              context, accepted_at, recorded_at) VALUES
            ('01930000-0000-7000-8000-00000000c001', '{ours}', '{trigger}', '{SESSION}',
             '{EXECUTION}', 'List active', '{{"userId": "123"}}',
             '2026-02-18T14:29:50Z', '2026-02-18T14:29:50.1Z'),
            ('01930000-0000-7000-8000-00000000c002', '{ours}', '{trigger}', '{SESSION}',
             '{EXECUTION}', 'contracts',
             '{{"userId": "123", "_waId": "55", "token": "t0ken", "host": "https://h.example"}}',
             '2026-02-18T14:29:52Z', '2026-02-18T14:29:52.1Z');
        INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq, message_ids,
                                separator, status, attempt_count, created_at, started_at,
                                finished_at, normalized_query, agent_response, tokens_used,
                                cost_usd, agent_version, agent_variation) VALUES
            ('{EXECUTION}', '{ours}', '{trigger}', '{agent}', '{SESSION}', 1,
             ARRAY['01930000-0000-7000-8000-00000000c001',
                   '01930000-0000-7000-8000-00000000c002']::uuid[],
             ' ', 'success', 1, '2026-02-18T14:29:55Z', '2026-02-18T14:30:00Z',
             '2026-02-18T14:30:12.34Z', 'List active contracts', 'Found 5 active contracts...',
             2250, 0.018, 1, 'default');
        INSERT INTO llm_calls (id, tenant_id, execution_id, number, purpose, iteration,
                               window_sequence, provider, model, input_tokens, output_tokens,
                               cached_input_tokens, cost_usd, response_time_ms, finish_reason,
                               created_at) VALUES
            ('01930000-0000-7000-8000-00000000f001', '{ours}', '{EXECUTION}', 1, 'turn', 1, 2,
             'openai', 'gpt-4.1', 850, 400, 200, 0.0125, 3200, 'tool_calls',
             '2026-02-18T14:30:02Z'),
            ('01930000-0000-7000-8000-00000000f002', '{ours}', '{EXECUTION}', 2, 'turn', 2, 2,
             'openai', 'gpt-4.1', 900, 100, NULL, 0.0055, 2400, 'stop', '2026-02-18T14:30:09Z');
        INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index,
                                provider_call_id, tool_name, input, status, output, error_message,
                                duration_ms, approval_expires_at, decided_at, decided_by, memo,
                                created_at, finished_at) VALUES
            ('01930000-0000-7000-8000-00000000b001', '{ours}', '{EXECUTION}', 1, 0, 'call_abc123',
             'search_contracts', '{{"status": "active", "limit": 10}}', 'success',
             E'{{\n  "count": 5\n}}', NULL, 450, NULL, NULL, NULL, NULL,
             '2026-02-18T14:30:05Z', '2026-02-18T14:30:06Z'),
            ('01930000-0000-7000-8000-00000000b002', '{ours}', '{EXECUTION}', 1, 1, 'call_abc124',
             'cancel_contract', '{{"id": 7}}', 'denied', NULL, NULL, NULL,
             '2026-02-19T14:30:05Z', '2026-02-18T14:30:08Z', 'ana', 'not this one',
             '2026-02-18T14:30:05Z', NULL);
        INSERT INTO context_windows (id, tenant_id, session_id, sequence, execution_id, from_seq,
                                     summary, strategies, n_messages, prompt_tokens,
                                     completion_tokens, created_at) VALUES
            ('01930000-0000-7000-8000-00000000b101', '{ours}', '{SESSION}', 2, '{EXECUTION}', 1,
             'They like lists.', '{{summarise}}', 12, 30000, 900, '2026-02-18T14:30:01Z');
        INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq, status,
                                chunk_count, created_at, requested_at, finished_at) VALUES
            ('{DELIVERY}', '{ours}', '{EXECUTION}', '{trigger}',
             '{SESSION}', 1, 'delivered', 2, '2026-02-18T14:30:12.34Z', '2026-02-18T14:30:12.34Z',
             '2026-02-18T14:30:15Z');
        INSERT INTO chunks (delivery_id, chunk_index, body, status, attempt_count, sent_at,
                            provider_id) VALUES
            ('{DELIVERY}', 0, '(1/2)', 'sent', 2,
             '2026-02-18T14:30:14Z', 'SM1'),
            ('{DELIVERY}', 1, '(2/2)', 'sent', 1,
             '2026-02-18T14:30:15Z', 'SM2');
        INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, round, attempt, started_at,
                              duration_ms, status_code, error_code, response_body) VALUES
            (gen_random_uuid(), '{ours}', '{DELIVERY}', 0, 1, 1,
             '2026-02-18T14:30:12.4Z', 15, 503, 'http_503', 'busy'),
            (gen_random_uuid(), '{ours}', '{DELIVERY}', 0, 1, 2,
             '2026-02-18T14:30:13.9Z', 20, 201, NULL, ''),
            (gen_random_uuid(), '{ours}', '{DELIVERY}', 1, 1, 1,
             '2026-02-18T14:30:14.9Z', 21, 201, NULL, '');
        "#
    );
    server.execute(&statements).await;
}

/// Ids that differ from run to run.
fn with_names(body: &Value, trigger: &str, agent: &str) -> Value {
    let text = body.to_string().replace(trigger, "<trigger>").replace(agent, "<agent>");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_execution_is_shown_with_everything_that_belongs_to_it() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;

    let detail = server.get(&format!("/api/triggers/{trigger}/executions/{EXECUTION}")).await;
    assert_eq!(detail.status, 200, "{detail:?}");
    insta::assert_json_snapshot!("detail", with_names(&detail.body, &trigger, &agent));
    assert!(!detail.text.contains("t0ken") && !detail.text.contains("h.example"));

    let list = server.get(&format!("/api/triggers/{trigger}/executions")).await;
    insta::assert_json_snapshot!("list", with_names(&list.body, &trigger, &agent));
}

#[tokio::test]
async fn the_fields_of_the_seed_are_all_there() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    let detail = server.get(&format!("/api/triggers/{trigger}/executions/{EXECUTION}")).await.body;
    let promised = json!({
        "success": [], "tool_calls": [],
        "execution": ["id", "trigger_id", "status", "started_at", "finished_at",
                      "execution_time_ms", "normalized_query", "agent_response",
                      "response_channel", "tokens_used", "session_id", "webhook_context"],
        "session": ["session_id", "agent_id", "agent_name", "status", "created_at", "updated_at",
                    "message_count"],
        "metrics": ["total_calls", "total_tokens", "total_cost_usd", "avg_latency_ms",
                    "models_used", "providers_used"],
    });
    for (part, fields) in promised.as_object().unwrap() {
        assert!(!detail[part].is_null(), "{part}");
        for field in fields.as_array().unwrap() {
            assert!(!detail[part][field.as_str().unwrap()].is_null(), "{part}.{field}");
        }
    }
    let call = detail["llm_calls"][0].as_object().unwrap();
    for field in [
        "model",
        "provider",
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
        "cost_usd",
        "response_time_ms",
        "tools_executed",
        "finish_reason",
        "timestamp",
    ] {
        assert!(call.contains_key(field), "llm_calls.{field}");
    }
    let call = detail["tool_calls"][0].as_object().unwrap();
    for field in [
        "id",
        "tool_name",
        "tool_call_id",
        "tool_input",
        "tool_output",
        "output_preview",
        "success",
        "duration_ms",
        "error_message",
        "iteration",
        "call_index",
        "execution_id",
        "created_at",
    ] {
        assert!(call.contains_key(field), "tool_calls.{field}");
    }
    assert_eq!(detail["llm_calls"][0]["tools_executed"], json!(["search_contracts"]));
    assert_eq!(call["output_preview"], "{ \"count\": 5 }");
}

#[tokio::test]
async fn before_it_ran_an_execution_shows_what_it_will_ask() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    server
        .execute(
            "UPDATE executions SET status = 'queued', normalized_query = NULL, started_at = NULL,
                    finished_at = NULL, agent_response = NULL",
        )
        .await;
    let detail = server.get(&format!("/api/triggers/{trigger}/executions/{EXECUTION}")).await;
    let execution = &detail.body["execution"];
    assert_eq!(execution["normalized_query"], "List active contracts");
    assert_eq!(execution["execution_time_ms"], json!(null));
    assert_eq!(execution["webhook_context"]["_buffered_messages"], 2);
    assert_eq!(detail.body["session"]["message_count"], 2);
}

#[tokio::test]
async fn an_answer_that_a_sender_waited_for_went_back_through_its_webhook() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    let path = format!("/api/triggers/{trigger}/executions/{EXECUTION}");
    let channel = async || server.get(&path).await.body["execution"]["response_channel"].clone();
    assert_eq!(channel().await, "webhook_async");
    server.execute("UPDATE executions SET reply_to = '{replies.1}'").await;
    assert_eq!(channel().await, "webhook_sync");
}

#[tokio::test]
async fn a_sub_agents_execution_is_found_by_its_id_and_in_no_list() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    let parent = server.get(&format!("/api/executions/{EXECUTION}")).await;
    let through_its_trigger = format!("/api/triggers/{trigger}/executions/{EXECUTION}");
    assert_eq!(parent.body, server.get(&through_its_trigger).await.body);

    let child = "01930000-0000-7000-8000-00000000e002";
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id,
                                     parent_execution_id, parent_tool_call_id, depth, input,
                                     context_from, seq, message_ids, separator, status, created_at)
             VALUES ('{child}', '{ours}', '{trigger}', '{agent}', gen_random_uuid(), '{EXECUTION}',
                     '01930000-0000-7000-8000-00000000b001', 1, 'Count them.',
                     '01930000-0000-7000-8000-00000000c002', 1, '{{}}', '', 'waiting', now())"
        ))
        .await;
    let shown = server.get(&format!("/api/executions/{child}")).await;
    let execution = &shown.body["execution"];
    assert_eq!(execution["parent_execution_id"], EXECUTION);
    assert_eq!(execution["normalized_query"], "Count them.");
    assert_eq!(execution["response_channel"], "sub_agent");
    assert_eq!(execution["webhook_context"]["userId"], "123");
    assert!(!shown.text.contains("t0ken"), "{shown:?}");
    let list = server.get(&format!("/api/triggers/{trigger}/executions")).await;
    assert_eq!(list.data(200).as_array().unwrap().len(), 1);
    let waiting = server.get(&format!("/api/triggers/{trigger}/executions?status=waiting")).await;
    assert_eq!(waiting.data(200), &json!([]));
    let stats = server.get("/api/triggers/stats").await;
    assert_eq!(stats.data(200)["executions"]["total"], 1);
}

#[tokio::test]
async fn what_is_too_large_to_show_is_told_of() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    server
        .execute(
            "UPDATE tool_calls SET output = repeat('0123456789', 500000) WHERE call_index = 0;
             UPDATE tool_calls SET output = repeat('x', 5000000) WHERE call_index = 1",
        )
        .await;
    let detail = server.get(&format!("/api/executions/{EXECUTION}")).await;
    let [first, second] = [0, 1].map(|place| &detail.body["tool_calls"][place]);
    assert_eq!(first["tool_output"].as_str().unwrap().len(), 5_000_000);
    assert_eq!(first["omitted"], false);
    assert_eq!((&second["tool_output"], &second["omitted"]), (&json!(null), &json!(true)));
    assert_eq!(second["output_preview"], "x".repeat(200));
}

#[tokio::test]
async fn an_execution_is_found_through_its_own_trigger_only() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let (trigger, other) = (server.trigger(&agent).await, server.trigger(&agent).await);
    insert_execution(&server, &trigger, &agent).await;
    let answer = server.get(&format!("/api/triggers/{other}/executions/{EXECUTION}")).await;
    assert_eq!((answer.status, answer.code()), (404, "execution_not_found"));
    let answer = server.get(&format!("/api/triggers/{trigger}/executions/{trigger}")).await;
    assert_eq!((answer.status, answer.code()), (404, "execution_not_found"));
}

#[tokio::test]
async fn a_session_leads_back_to_its_trigger_and_first_execution() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    let path = format!("/api/v1/sessions/{SESSION}/trigger-context");
    let found = server.get(&path).await;
    insta::assert_json_snapshot!("trigger_context", with_names(&found.body, &trigger, &agent));
    let detail = found.body["navigation"]["execution_detail"].as_str().unwrap();
    assert_eq!(server.get(detail).await.status, 200);

    server.delete(&format!("/api/triggers/{trigger}")).await.data(200);
    let found = server.get(&path).await;
    assert_eq!(found.body["trigger"]["enabled"], false);
    assert_eq!(server.get(detail).await.status, 200, "history outlives the trigger");
}

#[tokio::test]
async fn a_session_whose_first_message_waits_has_a_trigger_and_no_execution() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
             VALUES ('{SESSION}', '{ours}', '{trigger}', '{agent}', now())"
        ))
        .await;
    let found = server.get(&format!("/api/v1/sessions/{SESSION}/trigger-context")).await;
    assert_eq!((found.status, &found.body["has_trigger"]), (200, &json!(true)));
    assert!(found.body.get("execution").is_none() && found.body.get("navigation").is_none());
}
