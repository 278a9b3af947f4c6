//! Processes of ours that are killed, frozen, or restarted one after the other.

use std::time::Duration;

use recado_testkit::app::{Role, TestApp};

use super::{AWAY, Trial, wait};
use crate::load::{Load, Order};
use crate::support::{Story, system};

/// Kills instances in turn, and lets each come back after a moment.
async fn kill_in_turn(app: &mut TestApp, role: Role, load: &Load<'_>) -> anyhow::Result<()> {
    for index in [0, 1, 0] {
        app.kill(role, index)?;
        wait(Duration::from_secs(1)).await;
        app.restart(role, index).await?;
        load.acknowledges(20).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_runner_leaves_its_sessions_to_the_other() -> Story {
    let trial =
        Trial::of_thinking("kill -9 agent-runner", system().instances(Role::AgentRunner, 2)).await;
    let happen =
        async |app: &mut TestApp, load: &Load<'_>| kill_in_turn(app, Role::AgentRunner, load).await;
    trial.under_load(Order::MayChangeByRedelivery, happen).await;
    Ok(())
}

#[tokio::test]
async fn a_killed_management_is_missed_by_nobody_who_writes() -> Story {
    let trial = Trial::of("kill -9 management", system()).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        app.kill(Role::Management, 0)?;
        load.acknowledges(40).await?;
        app.restart(Role::Management, 0).await
    };
    trial.under_load(Order::IsKept, happen).await;
    Ok(())
}

#[tokio::test]
async fn all_roles_killed_at_once_come_back_to_where_they_were() -> Story {
    let trial = Trial::of_thinking("kill -9 all roles", system()).await;
    let happen = async |app: &mut TestApp, _: &Load<'_>| {
        for role in Role::ALL {
            app.kill(role, 0)?;
        }
        wait(Duration::from_secs(1)).await;
        for role in Role::ALL {
            app.restart(role, 0).await?;
        }
        Ok(())
    };
    trial.under_load(Order::MayChangeByRedelivery, happen).await;
    Ok(())
}

/// To the others it is dead, to itself it is not: its leases are taken over, and what it still
/// writes afterwards is refused.
#[tokio::test]
async fn a_frozen_runner_that_comes_back_does_no_harm() -> Story {
    let trial =
        Trial::of_thinking("SIGSTOP agent-runner", system().instances(Role::AgentRunner, 2)).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        for index in [0, 1] {
            app.stop(Role::AgentRunner, index)?;
            wait(AWAY).await;
            app.cont(Role::AgentRunner, index)?;
            load.acknowledges(20).await?;
        }
        Ok(())
    };
    trial.under_load(Order::MayChangeByRedelivery, happen).await;
    Ok(())
}

#[tokio::test]
async fn a_rolling_restart_goes_unnoticed() -> Story {
    let twice = Role::ALL.into_iter().fold(system(), |system, role| system.instances(role, 2));
    let trial = Trial::of("rolling restart", twice).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        for role in Role::ALL {
            for index in [0, 1] {
                let exit = app.terminate(role, index).await?;
                assert_eq!(exit.code, Some(0), "{role} {index}");
                app.restart(role, index).await?;
            }
        }
        assert_eq!(load.n_refused(), 0, "somebody was refused");
        Ok(())
    };
    let summary = trial.under_load(Order::IsKept, happen).await;
    assert_eq!(summary.n_repeated_callbacks, 0, "everybody finished what it had begun");
    Ok(())
}
