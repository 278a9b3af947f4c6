//! `RabbitMQ`'s management API, as far as tests need it.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::http_client;

/// A client of one node's management API.
#[derive(Debug, Clone)]
pub struct RabbitAdmin {
    base: Url,
    client: Client,
}

/// Why the management API could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The URL is not one.
    #[error("the management URL is malformed")]
    Url(#[source] url::ParseError),
    /// The request did not come through.
    #[error("failed to ask RabbitMQ's management API")]
    Request(#[from] reqwest::Error),
    /// The API refused.
    #[error("RabbitMQ's management API answered {status} to {path}")]
    Refused {
        /// What it answered.
        status: StatusCode,
        /// What was asked for.
        path: String,
    },
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    /// `null` for a quorum queue.
    exclusive: Option<bool>,
}

impl RabbitAdmin {
    /// A client for the API at `url`, which carries credentials and no path.
    pub fn new(url: &str) -> Result<Self, AdminError> {
        let base = Url::parse(url).map_err(AdminError::Url)?;
        let client = http_client();
        Ok(Self { base, client })
    }

    /// Whether the node accepts connections on `port`.
    pub async fn is_listening(&self, port: u16) -> bool {
        let path = format!("/api/health/checks/port-listener/{port}");
        self.send(self.request(Method::GET, &path), &path).await.is_ok()
    }

    /// Creates a virtual host that `guest` may do everything in.
    pub async fn create_vhost(&self, name: &str) -> Result<(), AdminError> {
        let path = format!("/api/vhosts/{name}");
        self.send(self.request(Method::PUT, &path), &path).await?;
        let path = format!("/api/permissions/{name}/guest");
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.send(self.request(Method::PUT, &path).json(&everything), &path).await?;
        Ok(())
    }

    /// Deletes a virtual host with all that is in it; its connections are closed.
    pub async fn delete_vhost(&self, name: &str) -> Result<(), AdminError> {
        let path = format!("/api/vhosts/{name}");
        self.send(self.request(Method::DELETE, &path), &path).await.map(drop)
    }

    /// The names of the queues of a virtual host (`%2f` is the default one), without those that
    /// belong to one connection.
    pub async fn queues(&self, vhost: &str) -> Result<Vec<String>, AdminError> {
        let queues = self.listed_queues(vhost).await?.into_iter();
        let lasting = queues.filter(|queue| queue.exclusive != Some(true));
        Ok(lasting.map(|queue| queue.name).collect())
    }

    /// The names of all queues of a virtual host.
    pub async fn all_queues(&self, vhost: &str) -> Result<Vec<String>, AdminError> {
        Ok(self.listed_queues(vhost).await?.into_iter().map(|queue| queue.name).collect())
    }

    async fn listed_queues(&self, vhost: &str) -> Result<Vec<Queue>, AdminError> {
        let path = format!("/api/queues/{vhost}");
        let queues = self.send(self.request(Method::GET, &path), &path).await?;
        Ok(queues.json().await?)
    }

    /// Declares what `definitions` hold in a virtual host.
    pub async fn import(&self, vhost: &str, definitions: &Value) -> Result<(), AdminError> {
        let path = format!("/api/definitions/{vhost}");
        self.send(self.request(Method::POST, &path).json(definitions), &path).await.map(drop)
    }

    /// Puts a message into `queue`, which has to be there, as somebody might who is not us.
    pub async fn put(
        &self,
        vhost: &str,
        queue: &str,
        properties: &Value,
        body: &str,
    ) -> Result<(), AdminError> {
        let path = format!("/api/exchanges/{vhost}/amq.default/publish");
        let message = json!({
            "routing_key": queue,
            "properties": properties,
            "payload": body,
            "payload_encoding": "string",
        });
        self.send(self.request(Method::POST, &path).json(&message), &path).await.map(drop)
    }

    /// Everything the API says about the connections of the node.
    pub async fn connections(&self) -> Result<Vec<Value>, AdminError> {
        let path = "/api/connections";
        Ok(self.send(self.request(Method::GET, path), path).await?.json().await?)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.client.request(method, url)
    }

    async fn send(
        &self,
        request: RequestBuilder,
        path: &str,
    ) -> Result<reqwest::Response, AdminError> {
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(AdminError::Refused { status, path: path.to_owned() })
    }
}
