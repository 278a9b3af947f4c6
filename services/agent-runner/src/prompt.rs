//! What the model is told before anything else: who it is, whom it talks to, what happened so far.
//! Of the context, only visible fields.

use recado_store::executions::Claimed;
use recado_types::agent::{PromptTemplate, prompt_sections};

/// The system prompt of a run: the agent's own words, with the context's visible fields in them,
/// then the session, the context and the notes of what was said before.
pub(crate) fn system(claimed: &Claimed, prompt: &PromptTemplate, notes: Option<&str>) -> String {
    let mut text = prompt.render(&claimed.context);
    text.push_str(&prompt_sections(claimed.session_id, &claimed.context));
    if let Some(notes) = notes {
        text.push_str("\n# Earlier in this conversation\n");
        text.push_str(notes);
        text.push('\n');
    }
    text
}
