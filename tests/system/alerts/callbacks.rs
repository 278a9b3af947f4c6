//! Receivers that refuse, receivers that are not there, and an event endpoint that is broken.

use std::time::Duration;

use recado_testkit::callback::Sink;
use recado_testkit::receiver::refusing_url;
use recado_testkit::stub::Fault;
use serde_json::json;

use super::{Watched, again_and_again, callback, post, trigger};
use crate::support::{Story, echo, system};

const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn receivers_that_take_nothing_are_told() -> Story {
    let watched = Watched::start("callbacks", system()).await?;
    let agent = echo(&watched).await?;
    let (refusing, broken) = (Sink::start(), Sink::start());
    refusing.fail_always(Fault::status(400));
    broken.fail_always(Fault::status(500));
    let refused = trigger(&watched, &agent, callback(&refusing.url(), 1_000)).await?;
    let gone = trigger(&watched, &agent, callback(&refusing_url(), 1_000)).await?;
    let endpoint = json!({"name": "Broken", "url": broken.url()});
    watched.management().make_event_endpoint(&endpoint).await?;
    watched.is_quiet().await?;

    let told = async {
        watched.fires("RecadoCallbackFailureRatio", &[("severity", "page")]).await?;
        watched.fires("RecadoCallbackFailureRatio", &[("severity", "ticket")]).await?;
        watched.fires("RecadoEventDeliveryFailureRatio", &[]).await?;
        watched.fires("RecadoDestinationsOpen", &[]).await
    };
    let post_both = async |n: usize| {
        post(&watched, &refused, n).await;
        if n.is_multiple_of(10) {
            post(&watched, &gone, n).await;
        }
    };
    again_and_again(PAUSE, post_both, told).await?;
    watched.resolves("RecadoCallbackFailureRatio", &[("severity", "page")]).await?;
    Ok(watched.end()?)
}
