use facteur_core::envelope::HeaderValue;
use facteur_core::ids::JobId;
use facteur_core::ledger::DeadEnvelope;
use facteur_core::reason::ReasonCode;
use facteur_postgres::dead_letters::{
    LetterState, ListFilter, RequeueReport, RequeueRequest, Selection, SkipReason,
};
use facteur_postgres::{BatchFailure, DeadLetters, Outbox};
use uuid::Uuid;

use crate::ground::{Ground, ground};

fn request(selection: Selection) -> RequeueRequest {
    RequeueRequest {
        selection,
        actor: "anna".to_owned(),
        reason: "the account is open again".to_owned(),
        force: false,
        dry_run: false,
    }
}

fn all() -> Selection {
    Selection::Open { code: None, tenant: None }
}

fn letters(ground: &Ground) -> DeadLetters {
    DeadLetters::new(ground.database.clone())
}

#[tokio::test]
async fn letters_are_listed_latest_first_by_filter_and_page() {
    let ground = ground().await;
    let mut filed = Vec::new();
    for n in 0..5 {
        filed.push(ground.dead_letter(if n % 2 == 0 { "uncertain" } else { "refused" }).await.1);
    }
    filed.reverse();
    let ids = async |filter: &ListFilter| -> Vec<Uuid> {
        letters(&ground).list(filter).await.unwrap().iter().map(|letter| letter.id).collect()
    };
    assert_eq!(ids(&ListFilter::default()).await, filed);
    let uncertain = ListFilter { code: Some("uncertain".to_owned()), ..ListFilter::default() };
    assert_eq!(ids(&uncertain).await, [filed[0], filed[2], filed[4]]);
    let other = ListFilter { tenant: Some("other".to_owned()), ..ListFilter::default() };
    assert!(ids(&other).await.is_empty());
    let closed = ListFilter { state: Some(LetterState::Requeued), ..ListFilter::default() };
    assert!(ids(&closed).await.is_empty());

    let mut page = ListFilter { limit: 2, ..ListFilter::default() };
    let mut paged = Vec::new();
    loop {
        let rows = letters(&ground).list(&page).await.unwrap();
        let Some(last) = rows.last() else { break };
        page.after = Some((last.created_at, last.id));
        paged.extend(rows.iter().map(|letter| letter.id));
    }
    assert_eq!(paged, filed);
}

#[tokio::test]
async fn a_letter_is_shown_by_its_own_id_and_by_its_jobs() {
    let ground = ground().await;
    let (job, letter) = ground.dead_letter("uncertain").await;
    for id in [job, letter] {
        assert_eq!(letters(&ground).show(id).await.unwrap().unwrap().summary.id, letter);
    }
    assert_eq!(letters(&ground).show(Uuid::now_v7()).await.unwrap(), None);
}

#[tokio::test]
async fn a_requeued_job_starts_anew_with_a_wake_up_and_a_record_of_who_and_why() {
    let ground = ground().await;
    let (job, letter) = ground.dead_letter("retries_exhausted").await;
    ground.run("UPDATE facteur.jobs SET waits_for = 'rate:+1', in_line_since = clock_timestamp()").await;
    let report = letters(&ground).requeue(&request(Selection::Ids(vec![job]))).await.unwrap();
    assert_eq!(report, RequeueReport { requeued: 1, ..RequeueReport::default() });

    let state = "SELECT status, reason, turn, attempt, failures, parks, claim_token IS NULL, \
                     not_before <= clock_timestamp(), round(extract(epoch FROM due_at - not_before)) AS due_s, \
                     round(extract(epoch FROM deadline - not_before) / 3600) AS deadline_h, waits_for, in_line_since \
                 FROM facteur.jobs";
    assert_eq!(ground.text(state).await, "(waiting,requeued,4,2,0,0,t,t,60,24,,)");

    assert_eq!(
        ground.text("SELECT dead_letter_id, job_id, actor, reason FROM facteur.requeues").await,
        format!("({letter},{job},anna,\"the account is open again\")")
    );
    assert_eq!(letters(&ground).show(letter).await.unwrap().unwrap().summary.state, LetterState::Requeued);

    let batch = Outbox::new(ground.database.clone()).claim("bulk", 10).await.unwrap();
    let [row] = batch.rows.as_slice() else { panic!("{} rows", batch.rows.len()) };
    assert_eq!((row.message_id, row.routing_key.as_str(), row.exchange.as_str()), (job, "send.bulk", "jobs"));
    assert_eq!(row.headers["facteur-turn"], HeaderValue::Int(4));
    assert_eq!(row.headers["traceparent"], HeaderValue::Text("00-ab".to_owned()));
    assert_eq!(&row.body[..], br#"{"to":"+33612345678"}"#);

    let again = letters(&ground).requeue(&request(Selection::Ids(vec![job, letter]))).await.unwrap();
    assert_eq!(again, RequeueReport { unknown: vec![job, letter], ..RequeueReport::default() });
}

#[tokio::test]
async fn what_can_not_succeed_stays_with_a_reason() {
    let ground = ground().await;
    let (_, refused) = ground.dead_letter("refused").await;
    let (_, uncertain) = ground.dead_letter("uncertain").await;
    let (expired_job, expired) = ground.dead_letter("retries_exhausted").await;
    ground
        .run(&format!(
            "UPDATE facteur.messages SET expires_at = clock_timestamp() - interval '1 second' \
             WHERE id = '{expired_job}'"
        ))
        .await;
    let (busy_job, busy) = ground.dead_letter("retries_exhausted").await;
    ground.run(&format!("UPDATE facteur.jobs SET status = 'sent' WHERE id = '{busy_job}'")).await;
    let (unread_job, unread) = ground.dead_letter("malformed_json").await;
    ground.run(&format!("DELETE FROM facteur.messages WHERE id = '{unread_job}'")).await;
    let (opted_out_job, opted_out) = ground.dead_letter("retries_exhausted").await;
    ground
        .run(&format!(
            "UPDATE facteur.messages SET recipient = '+33611111111' WHERE id = '{opted_out_job}'; \
             INSERT INTO facteur.suppressions (tenant, recipient, reason) VALUES ('acme', '+33611111111', 'STOP')"
        ))
        .await;

    let report = letters(&ground).requeue(&request(all())).await.unwrap();
    let why =
        |id: Uuid| report.skipped_first.iter().find(|skipped| skipped.id == id).map(|skipped| skipped.why);
    assert_eq!((report.requeued, report.skipped.values().sum::<u64>()), (0, 6));
    for (id, expected) in [
        (refused, SkipReason::Hopeless),
        (uncertain, SkipReason::MaybeSent),
        (expired, SkipReason::Expired),
        (busy, SkipReason::NotDead),
        (unread, SkipReason::NoMessage),
        (opted_out, SkipReason::Suppressed),
    ] {
        assert_eq!(why(id), Some(expected));
    }
    assert_eq!(ground.text("SELECT count(*) FROM facteur.outbox").await, "(0)");

    let forced = letters(&ground).requeue(&RequeueRequest { force: true, ..request(all()) }).await.unwrap();
    assert_eq!((forced.requeued, forced.maybe_sent_forced), (2, 1));
    let left: Vec<SkipReason> = forced.skipped.keys().copied().collect();
    assert_eq!(
        left,
        [SkipReason::NoMessage, SkipReason::NotDead, SkipReason::Expired, SkipReason::Suppressed]
    );
}

#[tokio::test]
async fn a_job_that_may_have_been_sent_needs_force_whatever_its_letter_says() {
    let ground = ground().await;
    let (job, letter) = ground.dead_letter("unroutable").await;
    ground.run(&format!("UPDATE facteur.jobs SET reason = 'uncertain' WHERE id = '{job}'")).await;
    let report = letters(&ground).requeue(&request(Selection::Ids(vec![letter]))).await.unwrap();
    assert_eq!((report.requeued, report.skipped.get(&SkipReason::MaybeSent)), (0, Some(&1)));
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let ground = ground().await;
    ground.dead_letter("retries_exhausted").await;
    ground.dead_letter("uncertain").await;
    let dry = RequeueRequest { dry_run: true, ..request(all()) };
    let foretold = letters(&ground).requeue(&dry).await.unwrap();
    assert_eq!(ground.text("SELECT DISTINCT status FROM facteur.jobs").await, "(dead)");
    assert_eq!(ground.text("SELECT count(*) FROM facteur.outbox").await, "(0)");
    assert_eq!(letters(&ground).requeue(&request(all())).await.unwrap(), foretold);
    assert_eq!(foretold.requeued, 1);
}

#[tokio::test]
async fn thousands_go_back_in_chunks_and_two_admins_do_it_once() {
    let ground = ground().await;
    ground
        .run(
            "INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline) \
                 SELECT gen_random_uuid(), '\\x01', 'acme', 'normal', 'dead', 'retries_exhausted', clock_timestamp() \
                 FROM generate_series(1, 2500); \
             INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, segments, document) \
                 SELECT id, 'acme', 'normal', 'transactional', 'sms', '+33612345678', 1, '{}' FROM facteur.jobs; \
             INSERT INTO facteur.dead_letters (job_id, tenant, code, sentence, body, routing_key) \
                 SELECT id, 'acme', 'retries_exhausted', 'x', '{}', 'send.normal' FROM facteur.jobs",
        )
        .await;
    let store = letters(&ground);
    let request = request(all());
    let (one, two) = tokio::join!(store.requeue(&request), store.requeue(&request));
    assert_eq!(one.unwrap().requeued + two.unwrap().requeued, 2_500);
    assert_eq!(
        ground.text("SELECT count(*), count(DISTINCT message_id) FROM facteur.outbox").await,
        "(2500,2500)"
    );
}

#[tokio::test]
async fn nobody_requeues_without_a_name_and_a_reason() {
    let ground = ground().await;
    for (actor, reason) in [("", "x"), ("anna", " "), ("anna", "\0")] {
        let nameless =
            RequeueRequest { actor: actor.to_owned(), reason: reason.to_owned(), ..request(all()) };
        let refused = letters(&ground).requeue(&nameless).await;
        assert!(matches!(refused, Err(BatchFailure::Data(_))), "{actor:?} {reason:?}");
    }
}

#[tokio::test]
async fn what_went_astray_is_published_again_as_its_producer_did() {
    let ground = ground().await;
    let astray = |code, key: &str, headers| DeadEnvelope {
        job_id: Some(JobId(Uuid::now_v7())),
        code,
        field: None,
        sentence: "for a test".to_owned(),
        body: "{}".into(),
        headers,
        routing_key: key.to_owned(),
        digest: sha2_of(key),
    };
    let headers =
        serde_json::json!({ "shop": 7, "x-death": [1], "facteur-reason": "y", "property:type": "z" });
    for letter in [
        astray(ReasonCode::Unroutable, "send.slowly", headers),
        astray(ReasonCode::DeliveryLimit, "send.urgent", serde_json::json!({})),
        astray(ReasonCode::MalformedJson, "send.bulk", serde_json::json!({})),
    ] {
        letters(&ground).file(&letter).await.unwrap();
    }
    let report = letters(&ground).requeue(&request(all())).await.unwrap();
    assert_eq!((report.requeued, report.skipped.get(&SkipReason::NoMessage)), (2, Some(&1)));
    let published = "SELECT string_agg(relay || ' ' || routing_key || ' ' || headers, ', ' ORDER BY relay) FROM facteur.outbox";
    assert_eq!(
        ground.text(published).await,
        "(\"normal send.normal {\"\"shop\"\": 7}, urgent send.urgent {}\")"
    );
    assert_eq!(ground.text("SELECT count(*) FROM facteur.requeues").await, "(2)");
}

fn sha2_of(text: &str) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..text.len()].copy_from_slice(text.as_bytes());
    digest
}
