//! Programs that a test starts.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use facteur_testkit::process::Spawned;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn lines_of_both_streams_and_the_environment_are_seen() {
    let mut shell = Spawned::start("sh", &["-c", "echo \"out $WORD\"; echo err >&2"], &[("WORD", "facteur")]);
    assert_eq!(shell.wait_for_line("out ", PATIENCE).await, "out facteur");
    assert_eq!(shell.wait_for_line("err", PATIENCE).await, "err");
    assert!(shell.wait(PATIENCE).await.success());
}

#[tokio::test]
async fn a_program_can_be_asked_to_end_and_can_be_killed() {
    let script = "echo ready; exec tail -f /dev/null";
    let mut asked = Spawned::start::<&str>("sh", &["-c", script], &[]);
    asked.wait_for_line("ready", PATIENCE).await;
    assert!(asked.pid().is_some());
    assert_eq!(asked.terminate(PATIENCE).await.signal(), Some(15));

    let mut killed = Spawned::start::<&str>("sh", &["-c", script], &[]);
    killed.wait_for_line("ready", PATIENCE).await;
    killed.freeze();
    assert_eq!(killed.kill_9().await.signal(), Some(9));
}
