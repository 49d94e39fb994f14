//! A page deep in a list costs as much as the first: the index leads to its place.

use facteur_core::conversation::ConversationStatus;
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_postgres::audit::{self, AuditFilter};
use facteur_postgres::bulks::{self, BulkFilter};
use facteur_postgres::conversations::{self, ConversationFilter};
use facteur_postgres::dead_letters::{LetterState, ListFilter};
use facteur_postgres::listing::{self, MessageFilter};
use facteur_postgres::page::{PageOf, Position};
use facteur_postgres::{
    Database, DeadLetters, PostgresConfig, api_keys, connect, contacts, pauses, tenant_messages,
};
use uuid::Uuid;

use crate::fixture::{Fixture, in_s};

/// What each list asks, and what its plan must say.
const PLACES: [&str; 2] = [" < (", "ROW("];

#[tokio::test]
async fn the_place_of_a_page_is_a_condition_of_its_index() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let (tenant, id) = (Tenant::default_tenant(), Uuid::from_u128(1));
    let place = Position { at: in_s(-5), id };
    let after = Some(place);
    let name = || tenant.as_str().to_owned();
    let filter = || MessageFilter { tenant: name(), after, limit: 50, ..MessageFilter::default() };
    let to = Some("+33612345678".to_owned());
    for filter in
        [filter(), MessageFilter { to, ..filter() }, MessageFilter { bulk_id: Some(id), ..filter() }]
    {
        listing::page(&database, &filter).await.unwrap();
    }
    tenant_messages::page(&database, tenant.as_str(), Some("sms"), after, 50).await.unwrap();
    let letters = ListFilter {
        state: Some(LetterState::Open),
        tenant: Some(name()),
        after: Some((place.at, place.id)),
        limit: 50,
        ..ListFilter::default()
    };
    DeadLetters::new(database.clone()).list(&letters).await.unwrap();
    for tenant in [Some(tenant.as_str()), None] {
        bulks::list(&database, &BulkFilter { tenant, after, limit: 50 }).await.unwrap();
        api_keys::list(&database, tenant, after, 50).await.unwrap();
    }
    for tenant in [Some(name()), None] {
        audit::list(&database, &AuditFilter { tenant, ..AuditFilter::default() }, after, 50).await.unwrap();
    }
    contacts::list(&database, &tenant, None, after, 50).await.unwrap();
    let any = ConversationFilter::default;
    let unread = ConversationFilter { is_unread: Some(true), ..any() };
    let new = ConversationFilter { status: Some(ConversationStatus::New), ..any() };
    for filter in [any(), unread, new] {
        conversations::list(&database, &tenant, &filter, after, 50).await.unwrap();
    }

    let client = database.client().await.unwrap();
    let query = "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements";
    let (mut pages, mut wrong) = (0, Vec::new());
    for statement in client.query(query, &[]).await.unwrap() {
        let (name, text, parameters): (String, String, i32) =
            (statement.get(0), statement.get(1), statement.get(2));
        if !text.contains(PLACES[0]) {
            continue;
        }
        pages += 1;
        let nulls = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
        let plan = client.query(&format!("EXPLAIN EXECUTE {name}({nulls})"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        let is_led = |line: &String| line.contains("Index Cond:") && line.contains(PLACES[1]);
        if !plan.iter().any(is_led) {
            wrong.push(format!("{text}\n{}", plan.join("\n")));
        }
    }
    assert!(pages >= 14, "only {pages} lists were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_number_and_a_state_are_conditions_of_an_index() {
    let fixture = Fixture::new().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let number = PhoneNumber::from_e164("+33612345678").unwrap();
    contacts::list(&database, &Tenant::default_tenant(), Some(number.reveal()), None, 50).await.unwrap();
    let letters = ListFilter { state: Some(LetterState::Open), limit: 50, ..ListFilter::default() };
    DeadLetters::new(database.clone()).list(&letters).await.unwrap();
    let (prepared, found) = crate::plans::whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 2, "only {prepared} statements were looked at");
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    let client = database.client().await.unwrap();
    let query = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT c.*%number = $2%'";
    let name: String = client.query_one(query, &[]).await.unwrap().get(0);
    let plan = client.query(&format!("EXPLAIN EXECUTE {name}('t', 'n', NULL, NULL, 1)"), &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
    assert!(
        plan.iter().any(|line| line.contains("Index Cond:") && line.contains("number = $2")),
        "{plan:#?}"
    );
}

#[tokio::test]
async fn the_pages_of_one_channel_hold_each_of_its_messages_once() {
    let fixture = Fixture::new().await;
    fixture
        .sql(
            "INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, segments, document, headers, created_at) \
             SELECT gen_random_uuid(), 'default', 'normal', 'otp', CASE WHEN n % 3 = 0 THEN 'mms' ELSE 'sms' END, '+33612345678', \
                    1, '{}', '{}', timestamptz '2026-01-01' + n / 2 * interval '1 second' FROM generate_series(1, 25) AS n",
        )
        .await;
    for (channel, expected) in [(Some("mms"), 8), (Some("whatsapp"), 0), (None, 25)] {
        let (mut after, mut seen) = (None, std::collections::BTreeSet::new());
        loop {
            let page = tenant_messages::page(&fixture.database, "default", channel, after, 3).await.unwrap();
            assert!(page.places.len() <= 3 && page.places.iter().all(|place| seen.insert(place.id)));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen.len(), expected, "{channel:?}");
    }
}

/// Writes this, on a connection that tells at once what it read for it: nobody else's reading is counted later.
async fn write(fixture: &Fixture, statement: &str) {
    fixture.sql(&format!("{statement}; SELECT pg_stat_force_next_flush()")).await;
}

/// How many rows and entries of indexes of this table were read so far. The pool has one connection, which tells what it
/// has read when it is asked to.
async fn read_so_far(database: &Database, table: &str) -> i64 {
    let client = database.client().await.unwrap();
    client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let query = "SELECT ((SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relname = $1) \
         + (SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_user_tables \
            WHERE relname = $1))::bigint";
    client.query_one(query, &[&table]).await.unwrap().get(0)
}

/// Runs this and returns its answer, after it has read no more than so much of a table.
async fn reading<T>(database: &Database, table: &str, most: i64, run: impl Future<Output = T>) -> T {
    let before = read_so_far(database, table).await;
    let answer = run.await;
    let read = read_so_far(database, table).await - before;
    assert!(read > 0 && read <= most, "{read} of {table} were read, and {most} are allowed");
    answer
}

/// The places of a whole list, page by page, and how many pages that takes.
async fn all_pages<T>(
    mut page: impl AsyncFnMut(Option<Position>) -> PageOf<T>,
    place: impl Fn(&T) -> Position,
) -> (Vec<Position>, usize) {
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let found = page(after).await;
        seen.extend(found.rows.iter().map(&place));
        pages += 1;
        let Some(next) = found.next else { break };
        assert!(
            after.is_none_or(|after: Position| (next.at, next.id) < (after.at, after.id)),
            "the list goes on"
        );
        after = Some(next);
    }
    assert!(seen.is_sorted_by(|a, b| (a.at, a.id) > (b.at, b.id)), "each once, and in their order");
    (seen, pages)
}

/// 45,000 conversations of one tenant, of which the two oldest are new and unread; two of a time each.
const CONVERSATIONS: &str = "INSERT INTO facteur.conversations (tenant, number, sender, channel, status, unread, last_message_at) \
     SELECT 'default', '+336' || n, '+15005550006', 'sms', CASE WHEN n <= 2 THEN 'new' ELSE 'closed' END, \
            CASE WHEN n <= 2 THEN 1 ELSE 0 END, timestamptz '2026-01-01' + n / 2 * interval '1 second' \
     FROM generate_series(1, 45000) AS n; \
     INSERT INTO facteur.contacts (tenant, number) VALUES ('default', '+3361')";

#[tokio::test]
async fn conversations_that_are_unread_of_a_status_or_with_a_contact_are_found_without_the_others() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let tenant = Tenant::default_tenant();
    let any = ConversationFilter::default;
    let unread = ConversationFilter { is_unread: Some(true), ..any() };
    let new = ConversationFilter { status: Some(ConversationStatus::New), ..any() };
    let list = async |filter: &ConversationFilter, after, limit| {
        conversations::list(&database, &tenant, filter, after, limit).await.unwrap()
    };
    for filter in [&any(), &unread, &new] {
        list(filter, None, 50).await;
    }
    let two = |to: &str| format!("UPDATE facteur.conversations SET {to} WHERE number IN ('+3361', '+3362')");
    for planned in ["on empty tables", "on filled tables", "while none was new"] {
        match planned {
            "on empty tables" => write(&fixture, CONVERSATIONS).await,
            "on filled tables" => fixture.sql("VACUUM ANALYZE").await,
            _ => {
                fixture.sql(&two("status = 'closed', unread = 0")).await;
                fixture.sql("VACUUM ANALYZE").await;
                write(&fixture, &two("status = 'new', unread = 1")).await;
            }
        }
        let both = ConversationFilter { status: Some(ConversationStatus::New), ..unread.clone() };
        for filter in [&unread, &new, &both] {
            let found = reading(&database, "conversations", 20, list(filter, None, 50)).await;
            assert_eq!((found.rows.len(), found.next), (2, None), "planned {planned}");
        }
        let first = reading(&database, "conversations", 20, list(&new, None, 1)).await;
        let second = reading(&database, "conversations", 20, list(&new, first.next, 1)).await;
        assert_eq!((second.rows.len(), second.next), (1, None), "planned {planned}");
        reading(&database, "conversations", 250, list(&any(), None, 50)).await;
    }
    let id = fixture.text("SELECT id::text FROM facteur.contacts").await.unwrap().parse().unwrap();
    let with = ConversationFilter { contact_id: Some(id), ..any() };
    let found = reading(&database, "conversations", 20, list(&with, None, 50)).await;
    assert_eq!((found.rows.len(), found.next), (1, None));
    // No index leads to these: what is looked at for a page ends.
    let integration = Uuid::from_u128(7);
    let update =
        format!("UPDATE facteur.conversations SET integration_id = '{integration}' WHERE unread > 0");
    write(&fixture, &update).await;
    let rare = ConversationFilter { integration_id: Some(integration), ..any() };
    let page = async |after| reading(&database, "conversations", 41_000, list(&rare, after, 50)).await;
    let (seen, pages) = all_pages(page, conversations::Conversation::position).await;
    assert_eq!((seen.len(), pages), (2, 3));
}

/// 45,000 records of a large tenant and 90 of a small one; the two oldest of each are by ada; two of a time each.
const RECORDS: &str = "INSERT INTO facteur.audit_log (at, tenant, actor, action, subject) \
     SELECT timestamptz '2026-01-01' + n / 2 * interval '1 second', tenant, \
            CASE WHEN n <= 2 * every THEN 'cli:ada' ELSE 'key:x' END, 'send_sms', 'about-' || n \
     FROM (VALUES ('large', 1), ('small', 500)) AS t(tenant, every), generate_series(every, 45000, every) AS n";

#[tokio::test]
async fn records_of_one_tenant_are_found_without_the_others_and_a_page_of_few_looks_at_a_part() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let of =
        |tenant: Option<&str>| AuditFilter { tenant: tenant.map(str::to_owned), ..AuditFilter::default() };
    let list = async |filter: &AuditFilter, after| audit::list(&database, filter, after, 50).await.unwrap();
    for filter in [of(Some("small")), of(None)] {
        list(&filter, None).await;
    }
    write(&fixture, RECORDS).await;
    for planned in ["on empty tables", "on filled tables"] {
        if planned == "on filled tables" {
            fixture.sql("VACUUM ANALYZE").await;
        }
        for (filter, all) in [(of(Some("small")), 90), (of(Some("*")), 0), (of(Some("large")), 45_000)] {
            let before = read_so_far(&database, "audit_log").await;
            let found = list(&filter, None).await;
            let read = read_so_far(&database, "audit_log").await - before;
            assert!(read <= 250, "{read} records were read for {filter:?}, planned {planned}");
            assert_eq!(
                (found.rows.len(), found.next.is_some()),
                (all.min(50), all > 50),
                "planned {planned}"
            );
        }
        reading(&database, "audit_log", 250, list(&of(None), None)).await;
        let ada = || Some("cli:ada".to_owned());
        let about = || Some("about-1".to_owned());
        for (filter, most, expected) in [
            (AuditFilter { actor: ada(), ..of(Some("small")) }, 500, (2, 1)),
            (AuditFilter { actor: ada(), ..of(Some("large")) }, 41_000, (2, 3)),
            (AuditFilter { subject: about(), ..of(Some("large")) }, 41_000, (1, 3)),
            (AuditFilter { actor: ada(), ..of(None) }, 41_000, (4, 3)),
        ] {
            let page = async |after| reading(&database, "audit_log", most, list(&filter, after)).await;
            let found = all_pages(page, audit::AuditRow::position).await;
            assert_eq!((found.0.len(), found.1), expected, "{filter:?}, planned {planned}");
        }
        let (since, until) =
            ("2026-01-01T00:00:01Z".parse().unwrap(), "2026-01-01T00:00:03Z".parse().unwrap());
        let some = AuditFilter { since: Some(since), until: Some(until), subject: None, ..of(Some("large")) };
        let found = reading(&database, "audit_log", 250, list(&some, None)).await;
        let times: Vec<_> = found.rows.iter().map(|row| row.at).collect();
        assert_eq!(times.len(), 4, "{times:?}");
        assert!(times.iter().all(|at| *at >= since && *at < until), "{times:?}");
    }
}

#[tokio::test]
async fn a_page_of_recipients_in_a_rare_state_looks_at_a_part_of_the_bulk_and_says_where_the_next_begins() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let bulk = crate::bulks::small(&database).await;
    let recipients = async |after, states: Option<&[&str]>, limit| {
        bulks::recipients(&database, bulk, after, states, limit).await.unwrap()
    };
    recipients(0, Some(&["failed"]), 10).await;
    let lines = format!(
        "DELETE FROM facteur.bulk_recipients; \
             INSERT INTO facteur.bulk_recipients (bulk_id, line, recipient, digest, state, job_id, fingerprint, code) \
             SELECT '{bulk}', n, n::text, '', CASE WHEN n = 24500 THEN 'refused' ELSE 'settled' END, gen_random_uuid(), '', \
                    CASE WHEN n = 24500 THEN 'number_invalid' END \
             FROM generate_series(1, 25000) AS n; \
             INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline) \
             SELECT job_id, '', 'default', 'bulk', CASE WHEN line >= 24999 THEN 'failed' ELSE 'delivered' END, 'accepted', now() \
             FROM facteur.bulk_recipients"
    );
    write(&fixture, &lines).await;
    for planned in ["on empty tables", "on filled tables"] {
        if planned == "on filled tables" {
            fixture.sql("VACUUM ANALYZE").await;
        }
        let mut seen = Vec::new();
        for (after, next) in [(0, Some(10_000)), (10_000, Some(20_000)), (20_000, None)] {
            let page = reading(&database, "jobs", 20_000, recipients(after, Some(&["failed"]), 10)).await;
            assert_eq!(page.next, next, "planned {planned}");
            seen.extend(page.rows.iter().map(|row| row.line));
        }
        assert_eq!(seen, [24_999, 25_000], "planned {planned}");
        let page = recipients(20_000, Some(&["failed"]), 1).await;
        assert_eq!((page.rows[0].line, page.next), (24_999, Some(24_999)));
        // What the line says itself, no job is asked for.
        let before = read_so_far(&database, "jobs").await;
        assert_eq!(recipients(20_000, Some(&["pending", "refused"]), 10).await.rows[0].line, 24_500);
        assert_eq!(read_so_far(&database, "jobs").await, before, "planned {planned}");
        let page = reading(&database, "jobs", 25, recipients(0, Some(&["delivered"]), 10)).await;
        assert_eq!((page.rows.len(), page.next), (10, Some(10)));
        let page = reading(&database, "jobs", 25, recipients(24_990, None, 10)).await;
        assert_eq!((page.rows.len(), page.next), (10, None));
    }
}

#[tokio::test]
async fn a_tenants_pauses_are_found_by_one_statement_however_many_bulks_others_paused() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let bulk = crate::bulks::small(&database).await;
    let seen = async |tenant| {
        let mut keys: Vec<_> =
            pauses::open_to(&database, tenant).await.unwrap().iter().map(|pause| pause.scope.key()).collect();
        keys.sort();
        keys
    };
    assert_eq!(seen(Some("default")).await, Vec::<String>::new());
    // Bulks over AMQP have no row: their messages say whose they are, if they agree.
    let [ours, mixed] = [Uuid::from_u128(8), Uuid::from_u128(9)];
    fixture
        .sql(&format!(
            "INSERT INTO facteur.pauses (scope, key, reason, actor) \
             SELECT scope, key, 'x', 'x' FROM (VALUES ('bulk', '{bulk}'), ('bulk', '{ours}'), ('bulk', '{mixed}'), \
                 ('tenant', 'default'), ('tenant', 'other'), ('lane', 'bulk'), ('integration', 'AC1'), \
                 ('sender', '+33700000002')) AS p(scope, key); \
             INSERT INTO facteur.pauses (scope, key, reason, actor) \
             SELECT 'bulk', gen_random_uuid()::text, 'x', 'x' FROM generate_series(1, 500); \
             INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, segments, document, headers, bulk_id) \
             SELECT gen_random_uuid(), tenant, 'bulk', 'otp', 'sms', '+33612345678', 1, '{{}}', '{{}}', bulk::uuid \
             FROM (VALUES ('default', '{ours}'), ('default', '{mixed}'), ('other', '{mixed}')) AS m(tenant, bulk)"
        ))
        .await;
    let mut expected = [&bulk.to_string(), &ours.to_string(), "default", "+33700000002"].map(str::to_owned);
    expected.sort();
    assert_eq!(seen(Some("default")).await, expected);
    assert_eq!(seen(Some("other")).await, ["+33700000002", "other"]);
    assert_eq!(seen(None).await.len(), 508);
    let (prepared, found) = crate::plans::whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 1 && found.is_empty(), "{}", found.join("\n\n"));
}
