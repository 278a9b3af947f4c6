//! Is this process ready for work? Each component says so for itself.
//!
//! Ready means that every registered component is ready and that the process is not shutting
//! down. Alive means only that the runtime still runs tasks: a lost database must make a process
//! unready, never have it restarted.

mod listener;
pub(crate) mod metrics;

pub use listener::Listener;

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// Why a component is not ready before it has said anything.
const STARTING: &str = "starting";

/// The health of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<watch::Sender<State>>,
    /// Put before the names of components, where several roles share a process.
    role: Option<&'static str>,
}

#[derive(Debug, Default)]
struct State {
    shutting_down: bool,
    components: Vec<ComponentReport>,
}

/// What `/health/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the process can take on work.
    pub ready: bool,
    /// Whether it has been told to stop.
    pub shutting_down: bool,
    /// Its components, in the order of their registration.
    pub components: Vec<ComponentReport>,
}

/// One line of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Its name, after that of its role where several share the process.
    pub name: String,
    /// Whether it works.
    pub ready: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::default()), role: None }
    }
}

impl Health {
    /// Registers a component, which is not ready until it says so.
    pub fn component(&self, name: &str) -> Component {
        let name = self.role.map_or_else(|| name.to_owned(), |role| format!("{role}.{name}"));
        let mut index = 0;
        self.state.send_modify(|state| {
            index = state.components.len();
            state.components.push(ComponentReport {
                name,
                ready: false,
                reason: Some(STARTING.into()),
            });
        });
        Component { state: Arc::clone(&self.state), index }
    }

    /// The same health, for one of several roles: its components are named after it.
    #[must_use]
    pub fn of_role(&self, role: &'static str) -> Self {
        Self { state: Arc::clone(&self.state), role: Some(role) }
    }

    /// How things are now.
    pub fn report(&self) -> Report {
        let state = self.state.borrow();
        Report {
            ready: state.is_ready(),
            shutting_down: state.shutting_down,
            components: state.components.clone(),
        }
    }

    /// Whether the process can take on work.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_ready()
    }

    /// Returns once the process is ready.
    pub async fn ready(&self) {
        let mut state = self.state.subscribe();
        // It fails only when the sender is gone, and `self` holds it.
        let _ = state.wait_for(State::is_ready).await;
    }

    /// From now on the process is not ready, whatever its components say.
    pub fn shut_down(&self) {
        self.state.send_modify(|state| state.shutting_down = true);
    }
}

impl State {
    fn is_ready(&self) -> bool {
        let all_ready = self.components.iter().all(|component| component.ready);
        !self.shutting_down && !self.components.is_empty() && all_ready
    }
}

/// A component's way of saying how it is. Clones speak for the same component.
#[derive(Debug, Clone)]
pub struct Component {
    state: Arc<watch::Sender<State>>,
    index: usize,
}

impl Component {
    /// It works.
    pub fn ready(&self) {
        self.set(None);
    }

    /// It does not work, and why. The reason is shown to whoever can reach the listener.
    pub fn not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(Some(reason.into()));
    }

    /// Wakes those who wait only if something changes: components may repeat themselves.
    fn set(&self, reason: Option<Cow<'static, str>>) {
        self.state.send_if_modified(|state| {
            let component = &mut state.components[self.index];
            let changed = component.reason != reason;
            component.ready = reason.is_none();
            component.reason = reason;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_components_is_not_ready() {
        assert!(!Health::default().is_ready());
    }

    #[test]
    fn a_process_is_ready_when_all_its_components_are() {
        let health = Health::default();
        let (broker, store) = (health.component("broker"), health.component("store"));
        broker.ready();
        assert!(!health.is_ready());
        store.ready();
        assert!(health.is_ready());
        broker.not_ready("connection lost");
        let report = health.report();
        assert!(!report.ready);
        assert_eq!(report.components[0].reason.as_deref(), Some("connection lost"));
        assert_eq!(report.components[1].reason, None);
    }

    #[test]
    fn a_process_that_shuts_down_is_not_ready_again() {
        let health = Health::default();
        let store = health.component("store");
        store.ready();
        health.shut_down();
        store.ready();
        assert!(!health.is_ready());
        assert!(health.report().shutting_down);
    }

    #[test]
    fn components_of_several_roles_keep_apart() {
        let health = Health::default();
        health.of_role("ingress").component("broker").ready();
        health.of_role("buffer").component("broker");
        let names: Vec<_> = health.report().components.into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["ingress.broker", "buffer.broker"]);
        assert!(!health.is_ready());
    }

    #[tokio::test]
    async fn readiness_can_be_waited_for() {
        let health = Health::default();
        let store = health.component("store");
        let waiting = tokio::join!(health.ready(), async { store.ready() });
        assert_eq!(waiting, ((), ()));
    }
}
