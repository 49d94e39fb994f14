use facteur_postgres::migrate::{self, MigrateError};

use crate::ground::{config, ground};

#[tokio::test]
async fn a_new_database_is_brought_up_to_date_once() {
    let test = facteur_testkit::database().await;
    let config = config(&test.url);
    let before = migrate::status(&config).await.unwrap();
    assert_eq!((before.applied, before.pending[0].as_str()), (0, "0001_spine"));
    assert_eq!(before.sentence(), format!("{} pending: run `facteur migrate`", before.pending.len()));

    let first = migrate::run(&config).await.unwrap();
    assert_eq!((first.applied, first.already), (before.pending.clone(), 0));
    let second = migrate::run(&config).await.unwrap();
    assert_eq!((second.applied.len(), second.already), (0, before.pending.len()));
    let after = migrate::status(&config).await.unwrap();
    assert_eq!((after.pending.len(), after.applied), (0, before.pending.len()));
}

#[tokio::test]
async fn many_processes_may_migrate_at_once() {
    let test = facteur_testkit::database().await;
    let config = config(&test.url);
    let reports = futures_util::future::join_all((0..5).map(|_| migrate::run(&config))).await;
    let worked = reports.iter().filter(|report| !report.as_ref().unwrap().applied.is_empty()).count();
    assert_eq!(worked, 1);
}

#[tokio::test]
async fn a_changed_file_is_refused_by_name() {
    let ground = ground().await;
    ground.run("UPDATE facteur.schema_migrations SET checksum = 'another' WHERE version = 1").await;
    let changed = MigrateError::Changed { name: "0001_spine".to_owned() };
    assert_eq!(migrate::run(&ground.config).await.unwrap_err(), changed);
    assert_eq!(migrate::status(&ground.config).await.unwrap_err(), changed);
}

#[tokio::test]
async fn a_newer_schema_is_allowed_and_named() {
    let ground = ground().await;
    ground.run("INSERT INTO facteur.schema_migrations VALUES (9999, '9999_of_tomorrow', 'x')").await;
    let report = migrate::run(&ground.config).await.unwrap();
    assert_eq!((report.applied.len(), report.newer), (0, vec!["9999_of_tomorrow".to_owned()]));
    let status = migrate::status(&ground.config).await.unwrap();
    assert!(status.sentence().contains("newer than this release"), "{}", status.sentence());
}
