//! A virtual host per test: its exchanges and queues meet nobody else's.

use url::Url;

use super::{ADMIN_VARIABLE, AMQP_VARIABLE, clean_up, shared_url, unique_name};
use crate::rabbit_admin::RabbitAdmin;

/// A virtual host of one's own. Deleted together with this, with all that is in it.
#[derive(Debug)]
pub struct Vhost {
    admin: RabbitAdmin,
    name: String,
    url: String,
}

impl Vhost {
    /// The URL to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The management API of the server it is on.
    pub fn admin(&self) -> &RabbitAdmin {
        &self.admin
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (admin_url, name) = (shared_url(ADMIN_VARIABLE), self.name.clone());
        clean_up("a test's virtual host", async move {
            // A client of its own: connections belong to the runtime that made them.
            Ok(RabbitAdmin::new(&admin_url)?.delete_vhost(&name).await?)
        });
    }
}

/// A new virtual host.
///
/// # Panics
/// If there is no shared server (see [`AMQP_VARIABLE`]) or it refuses.
pub async fn vhost() -> Vhost {
    let made = make_vhost(unique_name()).await;
    made.unwrap_or_else(|error| panic!("failed to make a test's virtual host: {error:?}"))
}

async fn make_vhost(name: String) -> anyhow::Result<Vhost> {
    let mut url = Url::parse(&shared_url(AMQP_VARIABLE))?;
    url.set_path(&name);
    let admin = RabbitAdmin::new(&shared_url(ADMIN_VARIABLE))?;
    admin.create_vhost(&name).await?;
    Ok(Vhost { admin, name, url: url.into() })
}
