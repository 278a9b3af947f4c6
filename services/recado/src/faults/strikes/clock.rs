//! One process whose wall clock jumps.

use recado_testkit::app::Role;
use recado_testkit::skew::SkewedClock;

use super::Stage;

const TEN_MINUTES: i64 = 600;

/// Ten minutes ahead, back, and ten minutes behind, as often as there is time for it.
pub(super) async fn jump(stage: &mut Stage<'_>, role: Role) -> anyhow::Result<()> {
    let directory = stage.app.directory().to_owned();
    let clock = SkewedClock::new(&directory, role.as_str())?;
    stage.app.terminate(role, 0).await?;
    stage.app.add_to_environment(role, 0, clock.environment())?;
    stage.app.restart(role, 0).await?;
    stage.until = std::time::Instant::now() + stage.lasting;
    loop {
        for seconds in [TEN_MINUTES, 0, -TEN_MINUTES, 0] {
            clock.set(seconds)?;
            stage.moment(1_300..2_200).await;
        }
        if !stage.goes_on() {
            break;
        }
    }
    stage.app.terminate(role, 0).await?;
    stage.app.add_to_environment(role, 0, Vec::new())?;
    stage.app.restart(role, 0).await
}
