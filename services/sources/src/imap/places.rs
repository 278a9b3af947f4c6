//! How much of mails is in memory at a time, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use recado_types::TenantId;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::MAX_MAIL;

/// Two of the largest. With what it takes to read them, that is about half of what the manifest
/// allows (`k8s/base/sources.yaml`).
const ROOM: u32 = 2 * MAX_MAIL;

/// The room for large mails while they are fetched and read, by their bytes. A tenant has one of
/// them there at a time, however many mailboxes it has.
#[derive(Debug)]
pub(crate) struct Places {
    room: Semaphore,
    /// Those of tenants who have a mail there, or wait for it.
    turns: Mutex<HashMap<TenantId, Weak<Turn<()>>>>,
}

/// A place for one mail, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'p> {
    _room: Option<SemaphorePermit<'p>>,
    _turn: OwnedMutexGuard<()>,
}

impl Default for Places {
    fn default() -> Self {
        Self { room: Semaphore::new(ROOM as usize), turns: Mutex::default() }
    }
}

impl Places {
    /// A place for a mail of so many bytes, when it is its tenant's turn and there is room.
    pub(crate) async fn take(&self, tenant: TenantId, bytes: u32) -> Place<'_> {
        let turn = self.turn_of(tenant).lock_owned().await;
        let room = self.room.acquire_many(bytes.min(ROOM)).await;
        Place { _room: room.ok(), _turn: turn }
    }

    fn turn_of(&self, tenant: TenantId) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&tenant).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(tenant, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn now(places: &Places, tenant: u128, bytes: u32) -> Option<Place<'_>> {
        places.take(TenantId(Uuid::from_u128(tenant)), bytes).now_or_never()
    }

    #[test]
    fn a_tenant_has_one_mail_in_memory_and_all_together_two_of_the_largest() {
        let places = Places::default();
        let first = now(&places, 1, 1).unwrap();
        assert!(now(&places, 1, 1).is_none(), "a second one of the same tenant");
        let second = now(&places, 2, MAX_MAIL).unwrap();
        assert!(now(&places, 3, MAX_MAIL).is_none(), "more than there is room for");
        let third = now(&places, 3, MAX_MAIL - 1).unwrap();
        drop(first);
        let first = now(&places, 1, 1).unwrap();
        drop((first, second, third));
        drop(now(&places, 4, u32::MAX).unwrap());
        assert_eq!(places.turns.lock().unwrap().len(), 1, "those who have nothing take no memory");
    }
}
