//! GET `/api/triggers/{id}`.

use actix_web::web::{Data, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers;

use super::{One, Shown, one, parse_id};
use crate::Api;
use crate::access::Caller;
use crate::etag::Tagged;
use crate::failure::store_failed;

pub(in crate::http) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Tagged<One<Shown>>, ApiError> {
    let found = triggers::find(&caller.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?;
    Ok(one(&api, found))
}
