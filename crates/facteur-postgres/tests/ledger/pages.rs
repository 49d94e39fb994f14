//! A page deep in a list costs as much as the first: the index leads to its place.

use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_postgres::audit::{self, AuditFilter};
use facteur_postgres::bulks::{self, BulkFilter};
use facteur_postgres::conversations::{self, ConversationFilter};
use facteur_postgres::dead_letters::{LetterState, ListFilter};
use facteur_postgres::listing::{self, MessageFilter};
use facteur_postgres::page::Position;
use facteur_postgres::{DeadLetters, PostgresConfig, api_keys, connect, contacts, tenant_messages};
use uuid::Uuid;

use crate::fixture::{Fixture, in_s};

/// What each list asks, and what its plan must say.
const PLACES: [&str; 2] = [" < (", "ROW("];

#[tokio::test]
async fn the_place_of_a_page_is_a_condition_of_its_index() {
    let fixture = Fixture::new().await;
    fixture.sql("VACUUM ANALYZE").await;
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
    let audited = AuditFilter { tenant: Some(name()), ..AuditFilter::default() };
    audit::list(&database, &audited, after, 50).await.unwrap();
    contacts::list(&database, &tenant, None, after, 50).await.unwrap();
    conversations::list(&database, &tenant, &ConversationFilter::default(), after, 50).await.unwrap();

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
    assert!(pages >= 11, "only {pages} lists were looked at");
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
