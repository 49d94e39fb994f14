//! Processes that tell of each other.

use facteur_core::peers::SharedSettings;
use facteur_postgres::workers::{Peer, beat, database_time, leave, live};
use uuid::Uuid;

use crate::ground::ground;

fn peer(number: u128, rate: &str) -> Peer {
    Peer {
        id: Uuid::from_u128(number),
        role: "worker".to_owned(),
        version: "1".to_owned(),
        settings: SharedSettings::from([("rate".to_owned(), rate.to_owned())]),
    }
}

#[tokio::test]
async fn the_living_hear_of_each_other_and_of_nobody_else() {
    let ground = ground().await;
    let (one, other) = (peer(1, "10"), peer(2, "20"));
    assert_eq!(beat(&ground.database, &one).await.unwrap(), []);
    assert_eq!(beat(&ground.database, &other).await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(beat(&ground.database, &one).await.unwrap(), std::slice::from_ref(&other));
    assert_eq!(live(&ground.database, None).await.unwrap(), [one.clone(), other.clone()]);
    let silent = |seconds| {
        format!(
            "UPDATE facteur.workers SET seen_at = clock_timestamp() - interval '{seconds} seconds' WHERE id = '{}'",
            other.id
        )
    };
    ground.run(&silent(61)).await;
    assert_eq!(beat(&ground.database, &one).await.unwrap(), [], "a minute of silence");
    assert_eq!(ground.text("SELECT count(*) FROM facteur.workers").await, "(2)");
    ground.run(&silent(86_401)).await;
    beat(&ground.database, &one).await.unwrap();
    assert_eq!(ground.text("SELECT count(*) FROM facteur.workers").await, "(1)", "a day of silence");
    leave(&ground.database, one.id).await.unwrap();
    assert_eq!(live(&ground.database, None).await.unwrap(), []);
}

#[tokio::test]
async fn settings_of_another_release_are_no_reason_to_fail() {
    let ground = ground().await;
    ground
        .run(
            "INSERT INTO facteur.workers (id, role, version, settings) VALUES \
             (gen_random_uuid(), 'worker', '9', '{\"rate\": {\"of\": [1, 2]}}'), (gen_random_uuid(), 'oracle', '9', '7')",
        )
        .await;
    let others = beat(&ground.database, &peer(1, "10")).await.unwrap();
    assert_eq!(others.len(), 2);
    assert!(others.iter().all(|other| other.settings.is_empty()));
}

#[tokio::test]
async fn the_databases_clock_is_the_databases() {
    let ground = ground().await;
    let time = database_time(&ground.database).await.unwrap();
    let is_near = format!("SELECT abs(extract(epoch FROM clock_timestamp() - '{time}'::timestamptz)) < 60");
    assert_eq!(ground.text(&is_near).await, "(t)");
}
