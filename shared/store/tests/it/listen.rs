//! What whoever caches configuration gets to hear.

use std::time::Duration;

use recado_store::apps::{self, AppPatch, AppStatus};
use recado_store::listen::{self, Change};
use recado_store::members::{self, Import, Imported, MemberDraft};
use recado_types::{AppId, MemberId};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::fixture::{Fixture, TENANT, now};

const PATIENCE: Duration = Duration::from_secs(20);

async fn heard(changes: &mut Receiver<Change>) -> Change {
    tokio::time::timeout(PATIENCE, changes.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn every_change_of_a_member_or_an_app_is_heard() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let mut changes = listen::changes(store, &tasks, shutdown.clone());
    assert_eq!(heard(&mut changes).await, Change::Reset);

    let id = Uuid::from_u128(50);
    let member = MemberId(id);
    let draft = MemberDraft {
        name: "Ana".into(),
        phone: None,
        email: None,
        external_id: Some("E-7".into()),
        active: true,
    };
    let row = |table: &str| Change::Row { table: table.into(), id, tenant_id: TENANT };
    // Whose they are, and not who.
    let team = || Change::Row { table: "members".into(), id: TENANT.0, tenant_id: TENANT };
    members::create(store, TENANT, member, &draft, now()).await.unwrap();
    assert_eq!(heard(&mut changes).await, team());
    members::replace(store, TENANT, member, now(), &draft, now()).await.unwrap();
    assert_eq!(heard(&mut changes).await, team());
    assert!(members::delete(store, TENANT, member, None).await.unwrap());
    assert_eq!(heard(&mut changes).await, team());
    // Many at once are one piece of news: the next that is heard is another's.
    let import = |n: u128| Import {
        id: MemberId(Uuid::from_u128(100 + n)),
        draft: MemberDraft { external_id: Some(format!("E-{n}")), ..draft.clone() },
        active: None,
    };
    let rows: Vec<Import> = (0..50).map(import).collect();
    let imported = members::import(store, TENANT, &rows, now()).await.unwrap();
    assert!(matches!(imported, Imported::Saved { n_created: 50, .. }), "{imported:?}");
    assert_eq!(heard(&mut changes).await, team());

    let app = AppId(id);
    apps::create(store, TENANT, app, "Sales", AppStatus::Draft, now()).await.unwrap();
    assert_eq!(heard(&mut changes).await, row("apps"));
    let published = AppPatch { status: Some(AppStatus::Published), ..AppPatch::default() };
    apps::change(store, TENANT, app, None, &published, now()).await.unwrap();
    assert_eq!(heard(&mut changes).await, row("apps"));
    apps::delete(store, TENANT, app, None).await.unwrap();
    assert_eq!(heard(&mut changes).await, row("apps"));

    shutdown.cancel();
    tasks.close();
    tokio::time::timeout(PATIENCE, tasks.wait()).await.unwrap();
}
