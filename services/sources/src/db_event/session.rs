//! One connection to a tenant's database, in which nothing can be written.

use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;

use recado_http::guard::Service;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Notification, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::meter::{Meter, Metered};
use super::{Way, failure};
use crate::held::SourceError;

/// How long the server may take for one thing. Its own limit, below, is shorter.
const SILENCE: Duration = Duration::from_secs(20);

/// After how long of silence the connection is tried.
const IDLE: Duration = Duration::from_secs(30);

/// What holds for every statement. Times and days are written the same way on every server, since
/// ids are made of them.
const SETTINGS: &str = "\
-- db_event.settings
SET default_transaction_read_only = on;
SET statement_timeout = 10000;
SET lock_timeout = 5000;
SET idle_in_transaction_session_timeout = 10000;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres'";

const BEGIN: &str = "\
-- db_event.begin
START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

type Stream = Metered<TcpStream>;
type Tls = <MakeRustlsConnect as MakeTlsConnect<Stream>>::Stream;

/// A connection, and what is heard on it.
pub(super) struct Session {
    client: Client,
    meter: Meter,
    heard: mpsc::Receiver<Notification>,
}

/// What has to be polled for the session to do anything.
pub(super) struct Driver {
    connection: Connection<Stream, Tls>,
    meter: Meter,
    heard: mpsc::Sender<Notification>,
}

impl Session {
    /// Logs in. `queue` is how many notifications wait at most.
    pub(super) async fn connect(
        address: &Address,
        way: &Way<'_>,
        queue: usize,
    ) -> Result<(Self, Driver), SourceError> {
        let Address { host, port, config } = address;
        let dialled = way.client.dial(Service::Postgres, host, *port, way.destinations).await;
        let (stream, _) = dialled.map_err(|error| failure::of_dialling(&error))?;
        let _ = stream.set_nodelay(true);
        let meter = Meter::new();
        let stream = Metered::new(stream, meter.clone());
        let mut tls = MakeRustlsConnect::new((*way.client.tls_config()).clone());
        // It is the name that the certificate has to be for, without the brackets of an address.
        let name = host.to_string();
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let tls = MakeTlsConnect::<Stream>::make_tls_connect(&mut tls, name);
        let tls = tls.map_err(|_never| failure::of_silence())?;
        let logging_in = timeout(SILENCE, Box::pin(config.connect_raw(stream, tls))).await;
        let (client, connection) = logging_in
            .map_err(|_elapsed| failure::of_silence())?
            .map_err(|error| failure::of_logging_in(&error))?;
        let (sender, receiver) = mpsc::channel(queue);
        let mut driver = Driver { connection, meter: meter.clone(), heard: sender };
        let session = Self { client, meter, heard: receiver };
        let set = tokio::select! {
            set = session.execute(SETTINGS) => set,
            lost = driver.drive(false) => lost.map(|never| match never {}),
        };
        set?;
        Ok((session, driver))
    }

    /// Runs statements without results.
    pub(super) async fn execute(&self, statements: &str) -> Result<(), SourceError> {
        self.meter.allow_message();
        answered(self.client.batch_execute(statements)).await
    }

    /// Waits for notifications, up to `limit`, and answers how many there are: none if there will
    /// never be any. While nothing is said, the connection is tried now and then.
    pub(super) async fn hear(
        &mut self,
        heard: &mut Vec<Notification>,
        limit: usize,
    ) -> Result<usize, SourceError> {
        let Self { client, meter, heard: ears } = self;
        // It is given up when something is heard: that says that the connection is there, and an
        // answer may wait behind more of it than the queue holds.
        let keeping_alive = async {
            loop {
                sleep(IDLE).await;
                meter.allow_message();
                if let Err(error) = answered(client.batch_execute("")).await {
                    return error;
                }
            }
        };
        tokio::select! {
            biased;
            n_heard = ears.recv_many(heard, limit) => Ok(n_heard),
            error = keeping_alive => Err(error),
        }
    }

    /// Begins a transaction that only reads, and sees one state of the database.
    pub(super) async fn snapshot(&mut self) -> Result<Snapshot<'_>, SourceError> {
        self.execute(BEGIN).await?;
        Ok(Snapshot { session: self })
    }
}

/// A transaction that only reads.
pub(super) struct Snapshot<'s> {
    session: &'s mut Session,
}

impl Snapshot<'_> {
    /// What the columns of a statement's result are.
    ///
    /// The driver asks for each type that it does not know, and for those of which that one
    /// consists, and so on: the meter ends it.
    pub(super) async fn prepare(&self, statement: &str) -> Result<Statement, SourceError> {
        self.session.meter.allow_description();
        answered(self.session.client.prepare(statement)).await
    }

    pub(super) async fn rows(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceError> {
        let statement = self.prepare(statement).await?;
        self.session.meter.allow_page();
        answered(self.session.client.query(&statement, parameters)).await
    }

    /// Ends it. If it is dropped instead, something has failed and the connection ends, too.
    pub(super) async fn end(self) -> Result<(), SourceError> {
        self.session.execute("ROLLBACK").await
    }
}

async fn answered<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SourceError> {
    let answer = timeout(SILENCE, answer).await.map_err(|_elapsed| failure::of_silence())?;
    answer.map_err(|error| failure::of_statement(&error))
}

impl Driver {
    /// Drives the connection until it is lost, and hands on every notification: while nobody takes
    /// them, nothing more is read.
    pub(super) async fn hand_on_all(mut self) -> Result<Infallible, SourceError> {
        self.drive(true).await
    }

    /// The same, but a notification is dropped while others wait.
    pub(super) async fn hand_on_some(mut self) -> Result<Infallible, SourceError> {
        self.drive(false).await
    }

    async fn drive(&mut self, waits: bool) -> Result<Infallible, SourceError> {
        loop {
            let message = poll_fn(|cx| self.connection.poll_message(cx)).await;
            self.meter.heard();
            match message {
                Some(Ok(AsyncMessage::Notification(it))) if waits => {
                    // If nobody takes it, whoever did is about to end this.
                    let _ = self.heard.send(it).await;
                }
                Some(Ok(AsyncMessage::Notification(it))) => {
                    let _ = self.heard.try_send(it);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(failure::of_statement(&error)),
                None => return Err(failure::of_lost_connection()),
            }
        }
    }
}
