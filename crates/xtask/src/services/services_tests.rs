use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use super::state::{Paths, Process, State};
use super::{Foreign, clean, down, rabbit, up_beside};

/// A checkout of its own, as a clean clone in another directory is.
fn checkout() -> std::path::PathBuf {
    let root =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or_else(|| unreachable!());
    root.join("target").join(format!("services-test-{}", Uuid::new_v4().simple()))
}

fn processes(state: &State) -> Vec<Process> {
    [&state.broker, &state.database]
        .into_iter()
        .flatten()
        .flat_map(|instance| instance.processes.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn private_services_come_up_once_replace_what_died_and_leave_nothing_behind() {
    let root = checkout();
    // As under /root: where PostgreSQL runs as another user, it must find a place elsewhere.
    std::fs::create_dir_all(&root).unwrap();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).unwrap();
    let paths = Paths::of(&root);
    let up = || {
        let root = root.clone();
        tokio::spawn(async move { up_beside(&root, Foreign::default()).await.unwrap() })
    };

    let (one, other) = (up(), up());
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert!(one.broker != other.broker, "exactly one of two calls at once starts the broker");
    assert!(one.database != other.database);
    let first = State::load(&paths);
    assert!(processes(&first).iter().all(Process::is_alive));

    let beam =
        first.broker.as_ref().unwrap().processes.iter().find(|process| process.name == "beam").unwrap();
    kill_process(Pid::from_raw(beam.pid).unwrap(), Signal::KILL).unwrap();
    let again = up().await.unwrap();
    assert!(again.broker && !again.database, "only what died is started");
    let second = State::load(&paths);
    assert_ne!(first.amqp_url, second.amqp_url);
    assert_eq!(first.database_url, second.database_url);
    rabbit::check(second.amqp_url.as_ref().unwrap()).await.unwrap();

    let foreign = Foreign { amqp_url: second.amqp_url.clone(), database_url: second.database_url.clone() };
    let beside = up_beside(&root.join("elsewhere"), foreign).await.unwrap();
    assert!(!beside.broker && !beside.database, "services of others are used, not started");
    down(&root.join("elsewhere")).await.unwrap();
    assert!(processes(&second).iter().all(Process::is_alive), "and not stopped");

    down(&root).await.unwrap();
    for process in processes(&first).iter().chain(&processes(&second)) {
        assert!(!process.is_alive(), "{} is still there", process.name);
    }
    let data = second.database.unwrap().directory;
    assert_eq!(data.starts_with(&root), !rustix::process::getuid().is_root(), "{}", data.display());
    assert!(!data.exists(), "{} is still there", data.display());
    clean(&root).await.unwrap();
    assert!(!paths.directory.exists());
    std::fs::remove_dir_all(&root).unwrap();
}

#[tokio::test]
async fn a_foreign_service_that_does_not_answer_is_named() {
    let root = checkout();
    let foreign = Foreign { amqp_url: Some("amqp://127.0.0.1:1/%2f".to_owned()), database_url: None };
    let error = up_beside(&root, foreign).await.unwrap_err();
    assert!(format!("{error:#}").contains("AMQP_URL"), "{error:#}");
    std::fs::remove_dir_all(&root).unwrap();
}
