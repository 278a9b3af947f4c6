//! The names of attributes.
//!
//! OpenTelemetry's are those of its semantic conventions 1.44.0 (HTTP: stable; messaging: in
//! development), and for what agents do those of its `semantic-conventions-genai` (in development),
//! as of 2026-11. They change now and then: this is the one place to follow them in.

// HTTP, 1.44.0.
/// `GET`, `POST`, …; `OTHER` if nobody knows it.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// How often a request was sent before.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// The status.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The route, with its parameters' names.
pub const HTTP_ROUTE: &str = "http.route";
/// The host that a request went to.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// What went wrong: a status, or a code of ours.
pub const ERROR_TYPE: &str = "error.type";

// Messaging, 1.44.0.
/// The value of `messaging.system`.
pub const RABBITMQ: &str = "rabbitmq";
/// Which broker.
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// `send` or `process`, in words of ours.
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
/// `send` or `process`, in words of the convention.
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
/// `{exchange}:{routing key}`, or the queue.
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
/// The routing key.
pub const MESSAGING_ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
/// Which message, where it is one.
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
/// How many, where they are several.
pub const MESSAGING_BATCH_COUNT: &str = "messaging.batch.message_count";

// Generative AI, 2026-11.
/// `chat`, `invoke_agent` or `execute_tool`.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// What the tenant calls the provider.
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The model that was asked.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// Tokens, as the provider counted them.
pub const GEN_AI_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens, as the provider counted them.
pub const GEN_AI_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Why it stopped: a list of one.
pub const GEN_AI_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// The session.
pub const GEN_AI_CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// The agent.
pub const GEN_AI_AGENT_ID: &str = "gen_ai.agent.id";
/// What people call it.
pub const GEN_AI_AGENT_NAME: &str = "gen_ai.agent.name";
/// Which version of it.
pub const GEN_AI_AGENT_VERSION: &str = "gen_ai.agent.version";
/// The tool.
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
/// The call, and its idempotency key.
pub const GEN_AI_TOOL_CALL_ID: &str = "gen_ai.tool.call.id";

// Ours.
/// How an execution ended.
pub const EXECUTION_OUTCOME: &str = "execution.outcome";
/// How often it was claimed.
pub const EXECUTION_ATTEMPT: &str = "execution.attempt";
/// How many messages it answers.
pub const EXECUTION_MESSAGES: &str = "execution.n_messages";
/// What fires by itself: `schedule`, `db_event`, `email`.
pub const SOURCE_KIND: &str = "source.kind";
