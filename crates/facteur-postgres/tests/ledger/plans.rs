//! Plans are made once, perhaps while the tables are empty: none may read a table by anything but a key, or a batch
//! would cost more the more jobs there are.

use std::time::Duration;

use facteur_core::ids::Turn;
use facteur_core::ledger::{Claim, ClaimRequest, Settlement};
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_postgres::{PostgresConfig, Store, connect};

use crate::fixture::{ACCOUNT, Fixture, accepted, again_in, finish, record, refused, row, token};

const TABLES: [&str; 5] = ["jobs", "messages", "attempts", "dead_letters", "suppressions"];

/// The lines of a plan that read a table without a condition on one of its indexes.
fn read_whole(plan: &[String]) -> Vec<String> {
    let reads = |line: &str| TABLES.iter().any(|table| line.contains(&format!(" on {table} ")));
    let next = plan.iter().skip(1).map(String::as_str).chain([""]);
    let whole = plan.iter().zip(next).filter(|(line, next)| {
        line.contains(" Scan ")
            && reads(line)
            && !next.contains("Index Cond:")
            && !next.contains("Recheck Cond:")
    });
    whole.map(|(line, _)| line.trim().to_owned()).collect()
}

#[tokio::test]
async fn claims_records_and_settlements_that_were_planned_on_empty_tables_reach_their_rows_by_key() {
    let fixture = Fixture::new().await;
    fixture.sql("VACUUM ANALYZE").await;
    // One connection, so that its prepared statements can be asked for.
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let store = Store::start(database.clone(), ACCOUNT);
    let (first, second) = (row(), row());
    let mut numbers = Vec::new();
    for (row, number) in [(&first, 1), (&second, 2), (&second, 2)] {
        let request = ClaimRequest { row: row.clone(), token: token(number) };
        let Claim::Yours(attempt) = store.claim(request).await.unwrap() else { panic!("not ours") };
        numbers.push(attempt.number);
    }
    let next = again_in(Duration::from_secs(5), true);
    store.record(record(&first, 1, numbers[0], (refused(1), next))).await.unwrap();
    store.record(record(&second, 2, numbers[1], accepted(1))).await.unwrap();
    let dead = finish(Status::Dead, ReasonCode::Uncertain);
    store.record(record(&second, 2, numbers[1], (refused(1), dead))).await.unwrap();
    let mut third = row();
    for turn in [0, 1] {
        third.turn = Turn(turn);
        let next = again_in(Duration::from_secs(5), false);
        store.settle(Settlement { row: third.clone(), next }).await.unwrap();
    }

    let client = database.client().await.unwrap();
    let query = "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements \
                 WHERE statement LIKE 'WITH input%'";
    let prepared = client.query(query, &[]).await.unwrap();
    assert_eq!(prepared.len(), 5, "claims and settlements of new and of known jobs, and records");
    for statement in prepared {
        let (name, text, parameters): (String, String, i32) =
            (statement.get(0), statement.get(1), statement.get(2));
        let nulls = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
        let plan = client.query(&format!("EXPLAIN EXECUTE {name}({nulls})"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        assert_eq!(read_whole(&plan), Vec::<String>::new(), "{text}\n{}", plan.join("\n"));
    }
}
