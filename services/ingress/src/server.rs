//! The HTTP server: its routes, and its patience with slow clients.
//!
//! A head has at most 96 headers and 128 KiB (fixed in actix-http). A client that sends its head
//! or its body too slowly is let go, and so is one that stays idle after its answer. A slow head
//! that is not the first one of its connection is bounded by the number of connections only:
//! actix-http has no timer for it, and a gateway in front reads heads completely.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use recado_clock::Clock;
use recado_http::problem::{method_not_allowed, not_found};
use recado_http::trace::{Callers, RequestSpan};
use recado_http::unread::hang_up_on_unread;
use tokio::net::TcpSocket;

use crate::config::Limits;
use crate::ingress::Ingress;
use crate::surface::{apps, native, run};

/// How many connections the kernel completes for us while we are busy.
const BACKLOG: u32 = 2_048;

/// Longer than the usual idle time of gateways (60 s): the side that closes an idle connection
/// should be the one that sends requests on it.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client that was refused early may go on sending before it is cut off.
const LINGER: Duration = Duration::from_secs(2);

/// How long requests may take to end after the signal to stop. A request takes less, except for
/// one whose body is still on its way.
const DRAIN: Duration = Duration::from_secs(15);

/// Listens on `address`; port 0 picks a free one.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Starts to serve; the server runs while it is polled.
pub(crate) fn start(
    listener: TcpListener,
    ingress: Ingress,
    callers: Callers,
    clock: Arc<dyn Clock>,
) -> io::Result<Server> {
    let Limits { head_timeout, max_connections, .. } = ingress.limits;
    let ingress = Data::new(ingress);
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let server = HttpServer::new(move || {
        let webhook = web::resource(native::PATH)
            .route(web::post().to(native::receive))
            .route(web::get().to(native::challenge))
            .default_service(method_not_allowed("GET, POST"));
        let run = web::resource(run::PATH)
            .route(web::post().to(run::receive))
            .default_service(web::to(run::method_not_allowed));
        let apps = web::resource(apps::PATH)
            .route(web::post().to(apps::receive))
            .default_service(web::to(apps::method_not_allowed));
        App::new()
            .wrap(from_fn(hang_up_on_unread))
            .wrap(RequestSpan::new("ingress", callers, Arc::clone(&clock)))
            .app_data(Data::clone(&ingress))
            .service(webhook)
            .service(run)
            .service(apps)
            .default_service(web::to(not_found))
    })
    .workers(workers)
    .max_connections(max_connections.div_ceil(workers))
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(head_timeout)
    .client_disconnect_timeout(LINGER)
    // Who hangs up while the agent thinks waits for nothing any more.
    .h1_allow_half_closed(false)
    .shutdown_timeout(DRAIN.as_secs())
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}
