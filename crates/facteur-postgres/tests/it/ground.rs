//! What every test stands on: a migrated database, and rows in it.

use facteur_postgres::{Client, Database, PostgresConfig, connect, migrate};
use facteur_testkit::TestDatabase;
use uuid::Uuid;

pub(crate) struct Ground {
    pub(crate) database: Database,
    pub(crate) config: PostgresConfig,
    // Dropped last: it drops the database itself.
    _test: TestDatabase,
}

pub(crate) fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        url: url.to_owned(),
        pool_size: 4,
        application_name: "facteur test".to_owned(),
        publishes_events: false,
    }
}

pub(crate) async fn ground() -> Ground {
    let test = facteur_testkit::database().await;
    let config = config(&test.url);
    migrate::run(&config).await.unwrap();
    Ground { database: connect(&config).await.unwrap(), config, _test: test }
}

impl Ground {
    pub(crate) async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }

    /// The single value of a query, as text.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let sql = format!("SELECT coalesce(string_agg(row::text, ';'), '') FROM ({sql}) AS row");
        self.client().await.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// A job at turn 3 after two failures, with its message if asked.
    pub(crate) async fn job(&self, status: &str, has_message: bool) -> Uuid {
        let id = Uuid::now_v7();
        self.run(&format!(
            "INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, turn, attempt, failures, parks, \
                 claim_token, due_at, deadline) \
             VALUES ('{id}', '\\x01', 'acme', 'bulk', '{status}', 'retries_exhausted', 3, 2, 2, 1, \
                 gen_random_uuid(), clock_timestamp(), clock_timestamp() + interval '1 hour')"
        ))
        .await;
        if has_message {
            self.run(&format!(
                "INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, \
                     document, headers) \
                 VALUES ('{id}', 'acme', 'bulk', 'marketing', 'sms', '+33612345678', '+33700000000', 'Bonjour', 1, \
                     '{{\"to\":\"+33612345678\"}}', '{{\"traceparent\": \"00-ab\", \"facteur-turn\": 1}}')"
            ))
            .await;
        }
        id
    }

    /// A dead job with its message and its open letter. Returns the job's id and the letter's.
    pub(crate) async fn dead_letter(&self, code: &str) -> (Uuid, Uuid) {
        let job = self.job("dead", true).await;
        self.run(&format!("UPDATE facteur.jobs SET reason = '{code}' WHERE id = '{job}'")).await;
        let letter = Uuid::now_v7();
        self.run(&format!(
            "INSERT INTO facteur.dead_letters (id, job_id, tenant, code, sentence, body, routing_key) \
             VALUES ('{letter}', '{job}', 'acme', '{code}', 'for a test', '{{}}', 'send.bulk')"
        ))
        .await;
        (job, letter)
    }
}
