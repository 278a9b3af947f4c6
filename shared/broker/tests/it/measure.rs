//! Temporary: how many messages per second.

use std::time::Instant;

use futures_util::future::join_all;
use recado_testkit::vhost;

use crate::support::{Bench, Note, is_up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    for round in 0..4 {
        let started = Instant::now();
        let writing = (0..512u32).map(async |author| {
            for n in 0..50 {
                bench.publisher.publish(&Note { author, n }).await.unwrap();
            }
        });
        join_all(writing).await;
        let rate = 25_600.0 / started.elapsed().as_secs_f64();
        eprintln!("MEASURED round {round}: {rate:.0} msg/s");
    }
    bench.finish().await
}
