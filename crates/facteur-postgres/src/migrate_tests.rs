use super::*;

fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        url: url.to_owned(),
        pool_size: 1,
        application_name: "test".to_owned(),
        publishes_events: false,
    }
}

#[test]
fn versions_are_numbered_in_order_and_names_begin_with_them() {
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        assert_eq!(usize::try_from(migration.version).unwrap(), index + 1);
        assert!(migration.name.starts_with(&format!("{:04}_", migration.version)), "{}", migration.name);
    }
}

#[tokio::test]
async fn a_file_that_fails_is_rolled_back_whole_and_named() {
    let test = facteur_testkit::database().await;
    let good = Migration { version: 1, name: "0001_good", sql: "CREATE TABLE facteur.good (id integer)" };
    let sql = "CREATE TABLE facteur.half (id integer); CREATE TABLE facteur.good (id integer)";
    let bad = Migration { version: 2, name: "0002_bad", sql };
    let error = apply(&config(&test.url), &[good, bad]).await.unwrap_err();
    let sentence =
        "migration 0002_bad failed and was rolled back: relation \"good\" already exists (SQLSTATE 42P07)";
    assert_eq!(error.to_string(), sentence);

    let client = pool::connect_alone(&config(&test.url)).await.unwrap();
    let row = client.query_one(
        "SELECT to_regclass('facteur.half') IS NULL, to_regclass('facteur.good') IS NOT NULL",
        &[],
    );
    let row = row.await.unwrap();
    assert!(row.get::<_, bool>(0) && row.get::<_, bool>(1));
    assert_eq!(applied(&client).await.unwrap().keys().copied().collect::<Vec<_>>(), [1]);
}
