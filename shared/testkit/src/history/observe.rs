//! Takes over what the stubs have seen.

use crate::model::{Asked, Model};
use crate::twilio::Messages;

use super::History;

impl History {
    /// Writes down the callbacks that `twilio` has seen since the last call. A session's name is
    /// its recipient, as in `whatsapp:+5511999990000`.
    ///
    /// What Twilio refused did not reach anybody; what it did not answer may have.
    pub fn observe_callbacks(&self, twilio: &Messages) {
        let mut log = self.log();
        for sent in twilio.sent_after(log.n_callbacks_observed) {
            log.n_callbacks_observed = sent.seq;
            if !sent.was_refused() {
                let key = sent.idempotency_key.as_deref().unwrap_or_default();
                let sighting = log.sight(&sent.to, key, &sent.body);
                log.callbacks.push(sighting);
            }
        }
    }

    /// Writes down what `model` was asked since the last call. `origin` tells session and
    /// execution of a request, as [`History::model_asked`] takes them.
    ///
    /// Of a run that calls tools this is its first turn: the others repeat the input.
    pub fn observe_inputs(&self, model: &Model, origin: impl Fn(&Asked) -> (String, String)) {
        let mut log = self.log();
        for asked in model.asked_after(log.n_inputs_observed) {
            log.n_inputs_observed = asked.seq;
            if asked.chat.turn() > 0 {
                continue;
            }
            let (session, execution) = origin(&asked);
            let sighting = log.sight(&session, &execution, asked.chat.input());
            log.inputs.push(sighting);
        }
    }
}
