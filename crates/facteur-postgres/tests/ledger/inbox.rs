use facteur_core::conversation::ConversationStatus;
use facteur_core::ids::{MessageSid, Tenant};
use facteur_core::keyword::Keyword;
use facteur_core::phone::PhoneNumber;
use facteur_postgres::conversations::{self, ConversationChange, ConversationFilter};
use facteur_postgres::inbound::{InboundMessage, store};
use facteur_postgres::{PostgresConfig, connect, contacts};
use serde_json::json;

use crate::fixture::Fixture;
use crate::plans::whole_reads;

fn message(number: u32, text: &str) -> InboundMessage {
    InboundMessage {
        sid: MessageSid::parse(&format!("SM{number:032x}")).unwrap(),
        account: "AC00000000000000000000000000000000".to_owned(),
        tenant: Tenant::default_tenant(),
        integration_id: None,
        number: "+33612345678".to_owned(),
        name: Some("Jean".to_owned()),
        written_to: "+15005550006".to_owned(),
        service: None,
        channel: "sms",
        text: text.to_owned(),
        segments: 1,
        keyword: Keyword::of(None, text),
        parameters: json!({"FromCountry": "FR"}),
        media: vec![("https://api.twilio.com/x".to_owned(), "image/png".to_owned())],
    }
}

#[tokio::test]
async fn statements_of_the_inbox_reach_their_rows_by_key_whatever_the_tables_held() {
    let fixture = Fixture::untended().await;
    let database = connect(&PostgresConfig { pool_size: 1, ..fixture.config() }).await.unwrap();
    let tenant = Tenant::default_tenant();
    assert!(store(&database, &message(1, "Bonjour")).await.unwrap());
    assert!(!store(&database, &message(1, "Bonjour")).await.unwrap());
    let filter =
        ConversationFilter { status: Some(ConversationStatus::New), ..ConversationFilter::default() };
    let found = conversations::list(&database, &tenant, &filter, None, 10).await.unwrap().rows;
    let id = found[0].id;
    let conversation = conversations::find(&database, id).await.unwrap().unwrap();
    let messages = conversations::messages(&database, &conversation, None, 10).await.unwrap();
    assert_eq!((messages.len(), messages[0].media.len()), (1, 1));
    let seen = ConversationChange { is_seen: true, ..ConversationChange::default() };
    assert!(conversations::change(&database, id, &seen, "test").await.unwrap());
    let number = PhoneNumber::from_e164("+33612345678").unwrap();
    let same = conversations::wrote(&database, "default", &number, ("+15005550006", "sms")).await.unwrap();
    assert_eq!(same, id);
    let contact = contacts::list(&database, &tenant, None, None, 10).await.unwrap().remove(0);
    assert!(contacts::find(&database, contact.id).await.unwrap().is_some());
    let (prepared, mut found) = whole_reads(&database, "planned on empty tables").await;
    assert!(prepared >= 7, "only {prepared} statements were looked at");
    fixture
        .sql(
            "INSERT INTO facteur.contacts (tenant, number) SELECT 't' || n % 100, '+33' || n FROM generate_series(1, 5000) n; \
             INSERT INTO facteur.conversations (tenant, number, sender, channel, status) \
             SELECT tenant, number, '+15005550006', 'sms', 'new' FROM facteur.contacts ON CONFLICT DO NOTHING; \
             INSERT INTO facteur.inbound_messages (sid, account, tenant, number, sender, written_to, channel, text, segments) \
             SELECT 'SM' || id, 'AC', tenant, number, '+15005550006', '+15005550006', 'sms', '', 1 FROM facteur.contacts; \
             INSERT INTO facteur.media (message_id, place, tenant, account, url, content_type) \
             SELECT id, 0, tenant, account, '', '' FROM facteur.inbound_messages ON CONFLICT DO NOTHING",
        )
        .await;
    fixture.sql("VACUUM ANALYZE").await;
    found.extend(whole_reads(&database, "planned on filled tables").await.1);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[tokio::test]
async fn apps_are_told_of_a_message_once_and_only_over_connections_that_tell() {
    let fixture = Fixture::new().await;
    let told = "SELECT coalesce(string_agg(convert_from(body, 'UTF8')::jsonb ->> 'body', ' ' ORDER BY id), '') \
                FROM facteur.outbox WHERE relay = 'events' AND routing_key = 'message.received'";
    for (publishes_events, number) in [(true, 1), (true, 1), (false, 2), (true, 3)] {
        let config = PostgresConfig { publishes_events, ..fixture.config() };
        let database = connect(&config).await.unwrap();
        store(&database, &message(number, &format!("n{number}"))).await.unwrap();
    }
    assert_eq!(fixture.text(told).await.as_deref(), Some("n1 n3"));
}
