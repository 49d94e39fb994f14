use facteur_core::ids::{MessageSid, Tenant};
use facteur_postgres::erasures::{Erased, Erasure, erase};
use facteur_postgres::inbound::{InboundMessage, store};
use facteur_postgres::{PostgresConfig, bulks, connect, consents, contacts, media};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::plans::whole_reads;

const NUMBER: &str = "+33612345678";

async fn writes(fixture: &Fixture, number: u32) {
    let message = InboundMessage {
        sid: MessageSid::parse(&format!("SM{number:032x}")).unwrap(),
        account: "AC00000000000000000000000000000000".to_owned(),
        tenant: Tenant::default_tenant(),
        integration_id: None,
        number: NUMBER.to_owned(),
        name: None,
        written_to: "+15005550006".to_owned(),
        service: None,
        channel: "whatsapp",
        text: "Bonjour".to_owned(),
        segments: 1,
        keyword: None,
        parameters: json!({}),
        media: vec![("https://api.twilio.com/x".to_owned(), "image/png".to_owned())],
    };
    assert!(store(&fixture.database, &message).await.unwrap());
}

/// So many messages to the number, in this state, each with a letter and a search.
async fn written_to(fixture: &Fixture, count: u32, status: &str) {
    fixture
        .sql(&format!(
            "WITH job AS (INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline) \
                 SELECT gen_random_uuid(), '\\x01', 'default', 'bulk', '{status}', 'refused', now() + interval '1 day' \
                 FROM generate_series(1, {count}) RETURNING id), \
             message AS (INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, \
                     segments, document) SELECT id, 'default', 'bulk', 'transactional', 'sms', '{NUMBER}', \
                     '+15005550006', 'Bonjour', 1, '{{\"to\": \"{NUMBER}\"}}' FROM job), \
             letter AS (INSERT INTO facteur.dead_letters (job_id, code, sentence, body, routing_key) \
                 SELECT id, 'refused', 'x', '{{\"to\": \"{NUMBER}\"}}', 'send.bulk' FROM job) \
             INSERT INTO facteur.reconciliations (job_id, attempt, account, recipient, started_at, ended_at) \
             SELECT id, 1, 'AC', '{NUMBER}', now(), now() FROM job"
        ))
        .await;
}

async fn contact(fixture: &Fixture) -> contacts::Contact {
    contacts::list(&fixture.database, &Tenant::default_tenant(), None, None, 1).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_erasure_of_more_than_a_chunk_leaves_nothing_and_a_message_on_its_way_stops_it() {
    let fixture = Fixture::new().await;
    writes(&fixture, 1).await;
    fixture
        .sql(&format!(
            "INSERT INTO facteur.inbound_messages (sid, account, tenant, number, sender, written_to, channel, text, segments) \
             SELECT 'SM' || n, 'AC', 'default', '{NUMBER}', '+15005550006', '+15005550006', 'sms', 'x', 1 \
             FROM generate_series(1, 2499) n"
        ))
        .await;
    written_to(&fixture, 2_300, "failed").await;
    written_to(&fixture, 1, "uncertain").await;
    let found = contact(&fixture).await;
    assert_eq!(erase(&fixture.database, &found, "test").await.unwrap(), Erasure::OnTheWay);
    let kept = "SELECT count(*) FROM facteur.messages WHERE recipient = '+33612345678' AND text IS NOT NULL";
    assert_eq!(fixture.count(kept).await, 2_301);
    fixture.sql("UPDATE facteur.jobs SET status = 'failed'").await;
    let erased = erase(&fixture.database, &found, "test").await.unwrap();
    assert_eq!(erased, Erasure::Done(Erased { inbound: 2_500, outbound: 2_301, lines: 0 }));
    let left = "SELECT (SELECT count(*) FROM facteur.messages WHERE recipient LIKE '+%' OR text IS NOT NULL \
                        OR document <> '{}') \
                     + (SELECT count(*) FROM facteur.inbound_messages WHERE number LIKE '+%' OR text <> '') \
                     + (SELECT count(*) FROM facteur.media) + (SELECT count(*) FROM facteur.conversation_windows) \
                     + (SELECT count(*) FROM facteur.dead_letters WHERE body <> '') \
                     + (SELECT count(*) FROM facteur.reconciliations WHERE recipient LIKE '+%')";
    assert_eq!(fixture.count(left).await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.messages").await, 2_301);
    assert_eq!(erase(&fixture.database, &found, "test").await.unwrap(), Erasure::Unknown);
}

#[tokio::test]
async fn a_bulk_that_is_tried_anew_passes_over_whom_nobody_knows_any_more() {
    let fixture = Fixture::new().await;
    writes(&fixture, 1).await;
    let bulk = Uuid::new_v4();
    fixture
        .sql(&format!(
            "INSERT INTO facteur.bulks (id, tenant, document, channel, category, sender, state, total, head_digest, created_by) \
             VALUES ('{bulk}', 'default', '{{}}', 'sms', 'transactional', '+15005550006', 'completed', 2, '', 'test'); \
             INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline) \
             SELECT gen_random_uuid(), '\\x01', 'default', 'bulk', 'expired', 'expired', now() FROM generate_series(1, 2); \
             INSERT INTO facteur.bulk_recipients (bulk_id, line, recipient, name, fingerprint, digest, state, job_id) \
             SELECT '{bulk}', row_number() OVER (), '+3361234567' || 7 + row_number() OVER (), 'Jean', '', '', 'settled', id \
             FROM facteur.jobs"
        ))
        .await;
    let erased = erase(&fixture.database, &contact(&fixture).await, "test").await.unwrap();
    assert_eq!(erased, Erasure::Done(Erased { inbound: 1, outbound: 0, lines: 1 }));
    assert_eq!(bulks::retry(&fixture.database, bulk, "test").await.unwrap(), bulks::Acted::Done(1));
    let pending = "SELECT recipient FROM facteur.bulk_recipients WHERE state = 'pending'";
    assert_eq!(fixture.text(pending).await.as_deref(), Some("+33612345679"));
}

#[tokio::test]
async fn statements_of_contacts_reach_their_rows_by_key_whatever_the_tables_held() {
    let fixture = Fixture::untended().await;
    writes(&fixture, 1).await;
    written_to(&fixture, 1, "failed").await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let found = contact(&fixture).await;
    let medium = fixture.text("SELECT id::text FROM facteur.media").await.unwrap().parse().unwrap();
    assert!(media::find(&database, medium).await.unwrap().is_some());
    for given in [true, false] {
        let channel = facteur_core::job::Channel::Sms;
        assert!(consents::set_by(&database, found.id, channel, (given, "form"), "test").await.unwrap());
        let known = consents::of_number(&database, "default", NUMBER).await.unwrap();
        assert_eq!(known.len(), usize::from(given));
    }
    let erased = erase(&database, &found, "test").await.unwrap();
    assert!(matches!(erased, Erasure::Done(_)), "{erased:?}");
    let (prepared, mut reads) = whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 11, "only {prepared} statements were looked at");
    fixture
        .sql(
            "INSERT INTO facteur.contacts (tenant, number) SELECT 't' || n % 100, '+33' || n FROM generate_series(1, 5000) n; \
             INSERT INTO facteur.contact_consents (tenant, recipient, channel, source) \
             SELECT tenant, number, 'sms', '' FROM facteur.contacts; \
             INSERT INTO facteur.conversations (tenant, number, sender, channel, status) \
             SELECT tenant, number, '+15005550006', 'sms', 'new' FROM facteur.contacts; \
             INSERT INTO facteur.conversation_windows (sender, contact, last_inbound_at) \
             SELECT 'whatsapp:+1', number, now() FROM facteur.contacts; \
             INSERT INTO facteur.bulks (id, tenant, document, channel, category, sender, state, head_digest, created_by) \
             SELECT gen_random_uuid(), tenant, '{}', 'sms', 'transactional', '+1', 'completed', '', '' FROM facteur.contacts; \
             INSERT INTO facteur.bulk_recipients (bulk_id, line, recipient, fingerprint, digest, state, job_id) \
             SELECT id, 1, '+33' || id, '', '', 'settled', id FROM facteur.bulks",
        )
        .await;
    for _ in 0..3 {
        written_to(&fixture, 2_000, "failed").await;
    }
    fixture.sql("VACUUM ANALYZE").await;
    reads.extend(whole_reads(&database, "planned on filled tables").await.1);
    assert!(reads.is_empty(), "{}", reads.join("\n\n"));
}
