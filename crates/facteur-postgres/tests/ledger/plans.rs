//! Plans are made once, perhaps while the tables are empty: none may read a table by anything but a key, or a batch
//! would cost more the more jobs there are.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::hold::Hold;
use facteur_core::ids::Tenant;
use facteur_core::ids::{AttemptNumber, Turn};
use facteur_core::ledger::{Claim, ClaimRequest, JobRow, Settlement};
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::receipt::{Receipt, ReceiptSource, ReceiptStatus};
use facteur_core::sender::Sender;
use facteur_core::status::{Status, TwilioStatus};
use facteur_postgres::accept::{self, ACCEPTED_TURN, Acceptances, NewMessage};
use facteur_postgres::listing::{self, MessageFilter};
use facteur_postgres::receipts::LookLater;
use facteur_postgres::tenants::TenantChange;
use facteur_postgres::{
    Callbacks, Database, Outbox, PostgresConfig, Store, budgets, bulks, cancels, connect, lines, messages,
    receipts, reconciliations, sweep, tail, tenants, windows,
};

use crate::fixture::{
    ACCOUNT, Fixture, accepted, again_in, finish, in_s, record, refused, row, sid, token, via,
};

const TABLES: [&str; 16] = [
    "bulk_recipients",
    "idempotency_keys",
    "jobs",
    "messages",
    "attempts",
    "dead_letters",
    "suppressions",
    "status_events",
    "reconciliations",
    "missing_receipts",
    "tenant_usage",
    "conversation_windows",
    "contacts",
    "conversations",
    "inbound_messages",
    "media",
];

/// The lines of a plan that read a table without a condition on one of its indexes.
fn read_whole(plan: &[String]) -> Vec<String> {
    let reads = |line: &str| TABLES.iter().any(|table| line.contains(&format!(" on {table} ")));
    let next = plan.iter().skip(1).map(String::as_str).chain([""]);
    let whole = plan
        .iter()
        .zip(next)
        .filter(|(line, next)| line.contains(" Scan ") && reads(line) && !is_narrow(next));
    whole.map(|(line, _)| line.trim().to_owned()).collect()
}

/// Whether a condition leaves rows out: all that an index holds of a column that may be NULL is `IS NOT NULL`.
fn is_narrow(line: &str) -> bool {
    let condition =
        ["Index Cond:", "Recheck Cond:", "TID Cond:"].iter().find_map(|cond| line.split_once(cond));
    condition.is_some_and(|(_, condition)| !condition.trim().ends_with(" IS NOT NULL)"))
}

/// The statements that one connection has prepared, and what each plan reads whole.
pub(crate) async fn whole_reads(database: &Database, when: &str) -> (usize, Vec<String>) {
    let client = database.client().await.unwrap();
    let query = "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements \
                 WHERE statement LIKE '%facteur.%' AND statement NOT LIKE '%pg_prepared%'";
    let prepared = client.query(query, &[]).await.unwrap();
    let mut found = Vec::new();
    for statement in &prepared {
        let (name, text, parameters): (String, String, i32) =
            (statement.get(0), statement.get(1), statement.get(2));
        let nulls = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
        let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
        let plan = client.query(&format!("EXPLAIN EXECUTE {name}{arguments}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        let reads = read_whole(&plan);
        if !reads.is_empty() {
            found.push(format!("{when}: {reads:?} by {text}\n{}", plan.join("\n")));
        }
    }
    (prepared.len(), found)
}

/// Jobs of all kinds, most of them ended, some of them in a line whose deadline is far.
const MANY: &str = "INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, attempt, due_at, deadline, waits_for, \
         in_line_since) \
     SELECT gen_random_uuid(), '\\x01', 'default', 'normal', \
            CASE WHEN n % 4 = 0 THEN 'waiting' ELSE 'sent' END, 'accepted', 1, \
            CASE WHEN n % 4 = 0 THEN now() + interval '1 day' END, now() + interval '1 day', \
            CASE WHEN n % 4 = 0 THEN 'pause:tenant:default' END, CASE WHEN n % 4 = 0 THEN now() END \
     FROM generate_series(1, 8000) AS n; \
     INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, segments, document, headers, bulk_id) \
     SELECT id, 'default', 'normal', 'marketing', 'sms', '+33612345678', '+15005550006', 1, '{}', '{}', gen_random_uuid() \
     FROM facteur.jobs ON CONFLICT DO NOTHING; \
     INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, next_status, reason) \
     SELECT id, 1, gen_random_uuid(), now(), 1, 'accepted', 'SM' || replace(id::text, '-', ''), 'sent', 'accepted' \
     FROM facteur.jobs ON CONFLICT DO NOTHING; \
     INSERT INTO facteur.status_events (job_id, attempt, sid, twilio_status, source) \
     SELECT job_id, 1, sid, 'sent', 'callback' FROM facteur.attempts WHERE sid IS NOT NULL ON CONFLICT DO NOTHING; \
     INSERT INTO facteur.missing_receipts (job_id, attempt, sid, accepted_at, next_poll_at) \
     SELECT job_id, 1, sid, now(), now() + interval '1 day' FROM facteur.attempts WHERE sid IS NOT NULL ON CONFLICT DO NOTHING; \
     INSERT INTO facteur.reconciliations (job_id, attempt, account, recipient, started_at, ended_at, next_check_at) \
     SELECT id, 1, 'AC' || id, '+33612345678', now(), now(), now() + interval '1 day' FROM facteur.jobs ON CONFLICT DO NOTHING; \
     INSERT INTO facteur.tenant_usage (tenant, day) SELECT 't' || n % 100, date '2026-01-01' + n / 100 \
     FROM generate_series(1, 8000) AS n ON CONFLICT DO NOTHING; \
     INSERT INTO facteur.conversation_windows SELECT 'whatsapp:+14155238886', '+33' || n, now() FROM generate_series(1, 8000) AS n; \
     VACUUM ANALYZE";

/// Counts a job of a tenant with a budget, and asks what a worker asks about budgets and windows.
async fn budgeted(database: &Database) {
    let tenant = Tenant::parse("acme").unwrap();
    let change = TenantChange { segments_per_day: Some(Some(1)), ..TenantChange::default() };
    tenants::set(database, &tenant, &change, "who").await.unwrap();
    let store = Store::start(database.clone());
    for number in [101, 102] {
        let row = JobRow { tenant: tenant.clone(), ..row() };
        store.claim(ClaimRequest { row, token: token(number), via: via(), is_budgeted: true }).await.unwrap();
    }
    store.shutdown().await;
    budgets::room(database, &tenant).await.unwrap();
    budgets::usage(database, &tenant, 10).await.unwrap();
    let (sender, contact) = (Sender::parse("whatsapp:+14155238886").unwrap(), row().recipient.number);
    windows::heard(database, &sender, &contact, Timestamp::UNIX_EPOCH).await.unwrap();
    windows::last_inbound(database, &sender, &contact).await.unwrap();
}

#[tokio::test]
async fn duties_and_receipts_reach_their_rows_by_key_whatever_the_tables_held_when_they_were_planned() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let row = row();
    let number = fixture.yours(&row, 1).await.number;
    fixture.store.record(record(&row, 1, number, accepted(1))).await.unwrap();

    let callbacks = Callbacks::start(database.clone());
    for sid in [sid(1), sid(2)] {
        let (attempt, status) = (AttemptNumber(1), ReceiptStatus::Known(TwilioStatus::Sent));
        let receipt = Receipt {
            account: ACCOUNT.to_owned(),
            job_id: row.id,
            attempt,
            sid,
            status,
            code: None,
            source: ReceiptSource::Callback,
        };
        callbacks.apply(receipt).await.unwrap();
    }
    sweep(&database, ACCOUNT, true).await.unwrap();
    reconciliations::take(&database).await.unwrap();
    reconciliations::known(&database, &[row.id]).await.unwrap();
    let (patience, span) = (Duration::ZERO, Duration::from_hours(1));
    receipts::walk(&database, patience, patience, span).await.unwrap();
    receipts::take_due(&database, 10).await.unwrap();
    let later = LookLater { job_id: row.id, age: span, was_answered: true };
    receipts::look_later(&database, &[later]).await.unwrap();
    let reason = Reason::new(ReasonCode::ReceiptMissing, "because");
    receipts::close(&database, &[(row.id, reason)]).await.unwrap();
    cancels::cancel_bulk(&database, row.id.0, "why", "who").await.unwrap();
    cancels::preview_bulk(&database, row.id.0).await.unwrap();
    let hold = Hold::parse("pause:tenant:default").unwrap();
    lines::release(&database, &hold, 10).await.unwrap();
    messages::oldest_waiting(&database).await.unwrap();
    budgeted(&database).await;

    let (prepared, mut found) = whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 21, "only {prepared} statements were looked at");
    for statement in MANY.split(';') {
        fixture.sql(statement).await;
    }
    found.extend(whole_reads(&database, "planned on filled tables").await.1);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[tokio::test]
async fn claims_records_and_settlements_that_were_planned_on_empty_tables_reach_their_rows_by_key() {
    let fixture = Fixture::untended().await;
    // One connection, so that its prepared statements can be asked for.
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let store = Store::start(database.clone());
    let (first, second) = (row(), row());
    let mut numbers = Vec::new();
    for (row, number) in [(&first, 1), (&second, 2), (&second, 2)] {
        let request = ClaimRequest { row: row.clone(), token: token(number), via: via(), is_budgeted: false };
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

#[tokio::test]
async fn accepting_and_asking_reach_their_rows_by_key_whatever_the_tables_held_when_they_were_planned() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let acceptances = Acceptances::start(database.clone());
    let message = || NewMessage { row: JobRow { turn: ACCEPTED_TURN, ..row() }, not_before: None };
    let known = message();
    for (messages, key) in
        [(vec![known.clone()], "a"), (vec![message()], "a"), (vec![known.clone(), message()], "b")]
    {
        acceptances.accept(crate::acceptances::request(&messages, Some((key, 1)))).await.unwrap();
    }
    accept::forget_old_keys(&database).await.unwrap();
    let id = known.row.id.0;
    listing::by_ids(&database, &[id]).await.unwrap();
    listing::ended(&database, &[id]).await.unwrap();
    listing::of_sid(&database, &sid(1)).await.unwrap();
    listing::tenant_of(&database, id).await.unwrap();
    listing::tenant_of_bulk(&database, id).await.unwrap();
    listing::events(&database, id).await.unwrap();
    let filter = || MessageFilter { tenant: "default".to_owned(), limit: 50, ..MessageFilter::default() };
    let to = Some("+33612345678".to_owned());
    for filter in
        [filter(), MessageFilter { to, ..filter() }, MessageFilter { bulk_id: Some(id), ..filter() }]
    {
        listing::page(&database, &filter).await.unwrap();
    }
    Outbox::new(database.clone()).has_at_least(1).await.unwrap();
    tail::since(&database, in_s(-5)).await.unwrap();

    let (prepared, mut found) = whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 14, "only {prepared} statements were looked at");
    for statement in MANY.split(';') {
        fixture.sql(statement).await;
    }
    found.extend(whole_reads(&database, "planned on filled tables").await.1);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[tokio::test]
async fn bulks_reach_their_lines_and_jobs_by_key_whatever_the_tables_held_when_they_were_planned() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let bulk = crate::bulks::small(&database).await;
    fixture.sql("UPDATE facteur.bulks SET error_ratio_max = 0.5, rate = 1000").await;
    for _ in 0..2 {
        bulks::drip(&database, bulk).await.unwrap();
        fixture.sql("UPDATE facteur.jobs SET status = 'expired', reason = 'expired'").await;
        bulks::retry(&database, bulk, "who").await.unwrap();
    }
    bulks::progress(&database, bulk).await.unwrap();
    bulks::recipients(&database, bulk, 0, Some(&["pending"]), 10).await.unwrap();
    bulks::digests(&database, bulk, 1, 2).await.unwrap();
    bulks::cancel(&database, bulk, "why", "who").await.unwrap();
    let (prepared, mut found) = whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 18, "only {prepared} statements were looked at");
    let many = "INSERT INTO facteur.bulk_recipients (bulk_id, line, recipient, digest, state, job_id, fingerprint) \
                SELECT CASE WHEN n < 4000 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE gen_random_uuid() END, \
                       n, n::text, '', CASE WHEN n % 2 = 0 THEN 'settled' ELSE 'pending' END, gen_random_uuid(), '' \
                FROM generate_series(1, 8000) AS n";
    fixture.sql(many).await;
    for statement in MANY.split(';') {
        fixture.sql(statement).await;
    }
    found.extend(whole_reads(&database, "planned on filled tables").await.1);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
