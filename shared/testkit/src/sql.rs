//! The few statements the testkit itself needs, each on a connection of its own.

use futures_util::future::join;
use tokio_postgres::{Client, Error, NoTls};

/// Runs statements, separated by semicolons, whose results nobody needs.
pub async fn execute(url: &str, statements: &str) -> Result<(), Error> {
    connected(url, async |client| client.batch_execute(statements).await).await
}

/// Runs a query for one number.
pub async fn count(url: &str, query: &str) -> Result<i64, Error> {
    connected(url, async |client| client.query_one(query, &[]).await?.try_get(0)).await
}

/// Runs a query for one column of texts.
pub async fn texts(url: &str, query: &str) -> Result<Vec<String>, Error> {
    connected(url, async |client| {
        let rows = client.query(query, &[]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    })
    .await
}

/// Connects, lets `work` use the connection, and closes it.
pub async fn connected<T, E: From<Error>>(
    url: &str,
    work: impl AsyncFnOnce(&Client) -> Result<T, E>,
) -> Result<T, E> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let working = async move {
        // Dropping the client, at the end, is what ends the connection's future.
        work(&client).await
    };
    // An error of the connection is one of the statement it interrupts, too.
    let (done, _) = join(working, connection).await;
    done
}
