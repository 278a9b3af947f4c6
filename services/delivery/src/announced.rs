//! Hears of new deliveries.

use std::convert::Infallible;

use recado_broker::{Handler, OnError, Received};
use recado_messages::DeliveryRequested;
use recado_service::lanes::Wake;

/// The handler of `delivery.requests`. The row is the truth and this is only the news of it, so
/// all there is to do is to look.
pub(crate) struct DeliveryAnnounced {
    pub(crate) wake: Wake,
}

impl Handler for DeliveryAnnounced {
    type Message = DeliveryRequested;
    type Error = Infallible;

    async fn handle(&self, _news: Vec<Received<DeliveryRequested>>) -> Result<(), Infallible> {
        self.wake.wake();
        Ok(())
    }

    fn on_error(&self, error: &Infallible) -> OnError {
        match *error {}
    }
}
