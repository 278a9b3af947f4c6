//! The tools that a server says it has, within bounds.

use std::collections::HashSet;
use std::sync::Arc;

use recado_types::tool::ParameterSchema;
use rmcp::model::{ClientRequest, ListToolsRequest, PaginatedRequestParams, ServerResult, Tool};
use rmcp::service::{Peer, RoleClient};
use serde_json::{Value, json};

use super::McpToolInfo;
use super::error::McpError;

/// How many tools of a server are known; more are left out.
const MOST_TOOLS: usize = 256;

/// How many pages of its list are asked for. The shortest pages in use have ten tools.
const MOST_PAGES: usize = 64;

/// What a tool may be called: as much as fits where names are shown.
const NAME_BYTES: usize = 256;

/// The most of a description that is kept. More than a model is shown, because it is not scrubbed
/// yet: other executions, with other things to hide, see the same list.
const DESCRIPTION_BYTES: usize = 16 * 1_024;

/// Asks the server for all pages.
///
/// # Errors
/// When one of them does not come.
pub(super) async fn of(peer: &Peer<RoleClient>) -> Result<Arc<[McpToolInfo]>, McpError> {
    let mut tools = Vec::new();
    let mut names = HashSet::new();
    let mut cursor = None;
    for _page in 0..MOST_PAGES {
        // `Peer::list_tools` would answer from a cache whose times the server sets.
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let request = ListToolsRequest::with_param(params);
        let asked = peer.send_request(ClientRequest::ListToolsRequest(request));
        let ServerResult::ListToolsResult(page) = asked.await.map_err(McpError::of_request)? else {
            return Err(McpError::OtherAnswer);
        };
        for tool in page.tools {
            if tools.len() == MOST_TOOLS {
                tracing::warn!(mcp.tools = MOST_TOOLS, "an MCP server has more tools than we take");
                return Ok(tools.into());
            }
            let is_name = (1..=NAME_BYTES).contains(&tool.name.len());
            if is_name && names.insert(tool.name.to_string()) {
                tools.push(info_of(tool));
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(tools.into());
        }
    }
    tracing::warn!(mcp.pages = MOST_PAGES, "the list of an MCP server's tools has no end");
    Ok(tools.into())
}

fn info_of(tool: Tool) -> McpToolInfo {
    let mut description = tool.description.unwrap_or_default().into_owned();
    let end = description.floor_char_boundary(DESCRIPTION_BYTES);
    let description_was_cut = end < description.len();
    description.truncate(end);
    let name = tool.name.into_owned();
    let input_schema = usable(Value::Object(Arc::unwrap_or_clone(tool.input_schema)));
    McpToolInfo { name, description, description_was_cut, input_schema }
}

/// The schema, if it keeps to the rules of our own tools; otherwise one that lets everything
/// through: what a server checks itself need not be checked here.
fn usable(schema: Value) -> Value {
    match ParameterSchema::compile(&schema) {
        Ok(_) => schema,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a schema is not used");
            json!({"type": "object"})
        }
    }
}
