//! What a long answer in Markdown looks like on a phone.

use recado_testkit::model::Model;
use serde_json::json;

use crate::support::{ANA, Story, WhatsApp, chunk_statuses, ended, system, thinker};

/// The most that Twilio takes, in UTF-16 code units.
const TWILIO_TAKES: usize = 1_600;

const MARKDOWN: &str = "## Contracts\n\n**Two** of them *expire soon*, and ~~three~~ one does not; \
                        see [the list](https://example.com/a_b_c) and `2 * 3 * 4`.";

#[tokio::test]
async fn a_long_answer_arrives_in_whatsapps_marks_and_within_twilios_limit() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    let paragraph = "A **clause** that nobody reads 🙂 but everybody signs, all of it. ".repeat(15);
    let answer = format!("{MARKDOWN}\n\n{}", [paragraph.as_str(); 5].join("\n\n"));
    model.answer(&answer);
    let agent = thinker(&app, &model).await?;
    let whatsapp = WhatsApp::connect(&app, &agent, |config| {
        config["execution"]["callback"]["response_transform"] = json!({"to_whatsapp": true});
    })
    .await?;
    whatsapp.say(ANA, "And the contracts?").await?;

    let detail = ended(&app, &whatsapp.trigger_id, 1).await?.remove(0);
    let bodies = whatsapp.received_by(ANA);
    assert!(bodies.len() >= 4, "{} chunks", bodies.len());
    assert_eq!(chunk_statuses(&detail), vec!["sent"; bodies.len()]);
    assert_eq!(whatsapp.twilio.count(), bodies.len(), "Twilio took each at once");
    for body in &bodies {
        let units = body.encode_utf16().count();
        assert!((1..=TWILIO_TAKES).contains(&units), "{units} units");
        assert_eq!(body.matches('*').count() % 2, 0, "no mark is cut in two: {body}");
        assert!(!body.contains("**"), "{body}");
    }
    let first = &bodies[0];
    for shown in [
        "*Contracts*",
        "*Two* of them _expire soon_, and ~three~ one",
        "https://example.com/a_b_c",
        "2 * 3 * 4",
    ] {
        assert!(first.contains(shown), "no {shown} in {first}");
    }
    Ok(app.finish().await?)
}
