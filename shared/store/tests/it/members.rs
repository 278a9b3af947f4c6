//! Members: found by what identifies them, and nobody twice.

use recado_store::members::{self, Identifier, MemberDraft, Saved};
use recado_types::trigger::MatchColumn;
use recado_types::{MemberId, TenantId};
use uuid::Uuid;

use crate::fixture::{Fixture, TENANT, now};

const ELSEWHERE: TenantId = TenantId(Uuid::from_u128(9));

fn id(n: u128) -> MemberId {
    MemberId(Uuid::from_u128(50 + n))
}

fn identifier(shown: &str, key: &str) -> Identifier {
    Identifier { shown: shown.into(), key: key.into() }
}

fn ana() -> MemberDraft {
    MemberDraft {
        name: "Ana".into(),
        phone: Some(identifier("+55 11 99999-0000", "P")),
        email: Some(identifier("Ana@Example.com", "E")),
        external_id: Some("X".into()),
        active: true,
    }
}

#[tokio::test]
async fn an_active_member_is_found_by_each_key_in_their_own_tenant() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    members::create(store, TENANT, id(1), &ana(), now()).await.unwrap();
    let keys =
        [(MatchColumn::Phone, "P"), (MatchColumn::Email, "E"), (MatchColumn::ExternalId, "X")];
    for (column, key) in keys {
        let found = members::find(store, TENANT, column, key).await.unwrap().unwrap();
        assert_eq!((found.id, found.name.as_str()), (id(1), "Ana"));
        assert_eq!(found.phone.as_deref(), Some("+55 11 99999-0000"));
        assert_eq!(members::find(store, ELSEWHERE, column, key).await.unwrap(), None);
        assert_eq!(members::find(store, TENANT, column, "other").await.unwrap(), None);
    }
    // A key is good in its own column only.
    assert_eq!(members::find(store, TENANT, MatchColumn::Email, "P").await.unwrap(), None);

    let inactive = MemberDraft { active: false, ..ana() };
    members::replace(store, TENANT, id(1), now(), &inactive, now()).await.unwrap();
    for (column, key) in keys {
        assert_eq!(members::find(store, TENANT, column, key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn everything_that_is_taken_is_told() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    members::create(store, TENANT, id(1), &ana(), now()).await.unwrap();
    let all = [MatchColumn::Phone, MatchColumn::Email, MatchColumn::ExternalId];
    let twice = members::create(store, TENANT, id(2), &ana(), now()).await.unwrap();
    assert_eq!(twice, Saved::Taken(all.into()));

    let other = MemberDraft { phone: None, email: None, external_id: Some("Y".into()), ..ana() };
    members::create(store, TENANT, id(2), &other, now()).await.unwrap();
    let nearly = MemberDraft { external_id: Some("Y".into()), phone: None, ..ana() };
    let replaced = members::replace(store, TENANT, id(2), now(), &nearly, now()).await.unwrap();
    assert_eq!(replaced, Saved::Taken(vec![MatchColumn::Email]));
}

#[tokio::test]
async fn a_change_moves_the_time_that_the_next_one_is_judged_by() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    members::create(store, TENANT, id(1), &ana(), now()).await.unwrap();
    let change = async |read_at| {
        members::replace(store, TENANT, id(1), read_at, &ana(), now()).await.unwrap()
    };
    let Saved::Saved(first) = change(now()).await else { panic!("it is not saved") };
    assert!(first.updated_at > now());
    assert_eq!(change(now()).await, Saved::Stale);
    assert!(matches!(change(first.updated_at).await, Saved::Saved(_)));
    let elsewhere = members::replace(store, ELSEWHERE, id(1), now(), &ana(), now()).await.unwrap();
    assert_eq!(elsewhere, Saved::Stale);
    assert!(!members::delete(store, ELSEWHERE, id(1), None).await.unwrap());
}
