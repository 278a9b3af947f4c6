//! Whoever waits for an execution is told of its end, however it ends.

use recado_testkit::stub::Fault;
use tokio::time::timeout;

use crate::running::{SOON, System, execution};

/// Asks for the execution of message `n`, waits for the news, and answers how it ended.
async fn ask_and_wait(system: &System, n: u128) -> String {
    let mut waiter = system.replies.wait_for(execution(n));
    system.ask(n).await;
    timeout(SOON, waiter.news()).await.expect("news");
    system.outcome(execution(n)).await.expect("news comes after the end").status
}

#[tokio::test]
async fn every_end_is_told() {
    let system = System::start().await;
    assert_eq!(ask_and_wait(&system, 1).await, "success");
    system.model.fail_next(1, &Fault::status(400));
    assert_eq!(ask_and_wait(&system, 2).await, "failed");
    system.model.fail_next(1, &Fault::Hang);
    assert_eq!(ask_and_wait(&system, 3).await, "timeout");
    system.stop().await;
}

#[tokio::test]
async fn who_asks_again_after_the_end_is_told_at_once_and_nothing_runs_again() {
    let system = System::start().await;
    assert_eq!(ask_and_wait(&system, 1).await, "success");
    assert_eq!(ask_and_wait(&system, 1).await, "success");
    assert_eq!(system.model.count(), 1);
    system.stop().await;
}

#[tokio::test]
async fn who_asks_again_meanwhile_is_told_of_the_same_end() {
    let system = System::start().await;
    // Held until its time is up, so that the second request comes while it runs.
    system.model.fail_next(1, &Fault::Hang);
    let mut waiter = system.replies.wait_for(execution(1));
    system.ask(1).await;
    let asked = async || (system.model.count() == 1).then_some(());
    recado_testkit::wait_for("the model to be asked", SOON, asked).await.unwrap();
    assert_eq!(ask_and_wait(&system, 1).await, "timeout");
    timeout(SOON, waiter.news()).await.expect("both are told");
    drop(waiter);
    assert_eq!(system.model.count(), 1);
    system.stop().await;
}
