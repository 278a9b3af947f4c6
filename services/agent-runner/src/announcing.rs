//! Lets delivery know that there is something to deliver.
//!
//! The rows are the truth and this is only the news of them: whoever hears it looks for all there
//! is. So what is announced while news is on its way goes together, and if none gets through,
//! delivery finds the rows by itself.

use futures_util::future::join_all;
use recado_broker::Publisher;
use recado_messages::DeliveryRequested;
use recado_store::executions::Claimed;
use recado_types::DeliveryId;
use tokio::sync::mpsc;

/// How many deliveries wait at most to be announced; more find their way without.
const MOST_WAITING: usize = 1_024;
/// How many deliveries are announced by one message at most: each wakes one instance of delivery,
/// so that many of them wake several.
const TOGETHER: usize = 32;

/// Where deliveries are announced.
#[derive(Clone, Debug)]
pub(crate) struct Announcing(mpsc::Sender<DeliveryRequested>);

impl Announcing {
    /// Where deliveries are announced, and what sends the news: it ends when nobody is left who
    /// could announce anything.
    pub(crate) fn open(publisher: Publisher) -> (Self, impl Future<Output = ()> + Send) {
        let (announced, news) = mpsc::channel(MOST_WAITING);
        (Self(announced), send(publisher, news))
    }

    /// The delivery of what was claimed has been requested.
    pub(crate) fn announce(&self, claimed: &Claimed) {
        // If there is no room, there is news enough.
        let _ = self.0.try_send(DeliveryRequested {
            tenant_id: claimed.tenant_id,
            session_id: claimed.session_id,
            delivery_id: DeliveryId::of(claimed.execution_id),
        });
    }
}

async fn send(publisher: Publisher, mut news: mpsc::Receiver<DeliveryRequested>) {
    let mut announced = Vec::with_capacity(MOST_WAITING);
    while news.recv_many(&mut announced, MOST_WAITING).await > 0 {
        let some = announced.iter().step_by(TOGETHER).map(|news| publisher.publish(news));
        for error in join_all(some).await.into_iter().filter_map(Result::err) {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "delivery will find the responses by itself");
        }
        announced.clear();
    }
}
