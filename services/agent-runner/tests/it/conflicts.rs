//! Another content under a known id is not run, and not lost either.

use std::time::Duration;

use lapin::options::BasicGetOptions;
use recado_broker::topology::EXECUTIONS;
use recado_messages::ExecutionRequested;
use recado_testkit::wait_for;
use tokio::time::timeout;

use crate::running::{SOON, System, execution};

#[tokio::test]
async fn another_content_under_a_known_id_is_dead_lettered_and_its_neighbours_run() {
    let system = System::start().await;
    let mut news: Vec<_> = (1..=3).map(|n| system.replies.wait_for(execution(n))).collect();
    system.ask_together(&[system.request_saying(1, "a coffee")]).await;
    timeout(SOON, news[0].news()).await.expect("it runs");

    let other = system.request_saying(1, "a piano");
    let neighbours = [2, 3].map(|n| system.request_saying(n, "a coffee"));
    let batch = [neighbours[0].clone(), other.clone(), neighbours[1].clone()];
    system.ask_together(&batch).await;
    for neighbour in &mut news[1..] {
        timeout(SOON, neighbour.news()).await.expect("a neighbour runs");
    }

    let connection = system.amqp().await;
    let channel = connection.create_channel().await.unwrap();
    let queue = EXECUTIONS.dead_letter_queue();
    let dead = async || {
        let options = BasicGetOptions { no_ack: true };
        channel.basic_get(queue.as_str().into(), options).await.unwrap()
    };
    // It waits in every retry queue first.
    let within = EXECUTIONS.retry_delays.iter().sum::<Duration>() + SOON;
    let dead = wait_for("a dead letter", within, dead).await.unwrap();
    let body: ExecutionRequested = serde_json::from_slice(&dead.data).unwrap();
    assert_eq!(body.messages, other.messages);
    let headers = dead.properties.headers().as_ref().unwrap().inner();
    let text = |name| headers.get(name).and_then(|value| value.as_long_string()).unwrap();
    assert_eq!(text("recado-reason").to_string(), "failed");
    let error = format!("message {} is known with another content", other.messages[0].id);
    assert_eq!(text("recado-error").to_string(), error);

    assert_eq!(system.model.count(), 3, "what it says was not run");
    connection.close(200, "done".into()).await.unwrap();
    drop(news);
    system.stop().await;
}
