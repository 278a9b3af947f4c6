//! What is done from time to time, by the role itself.

use recado_testkit::wait_for;

use crate::running::{SOON, System};

#[tokio::test]
async fn what_is_executed_is_counted() {
    let system = System::start().await;
    system.ask(1).await;
    let counted = async || Some(system.used_today().await).filter(|n_executions| *n_executions > 0);
    assert_eq!(wait_for("the execution to be counted", SOON, counted).await.unwrap(), 1);
    system.stop().await;
}
