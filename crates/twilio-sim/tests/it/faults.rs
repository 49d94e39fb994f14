//! Every fault of requests, by plan and by header, repeatable.

use serde_json::{Value, json};
use twilio_sim::{Latency, SimConfig};

use crate::lab::{Lab, answer, immediate, is_lost, rule};

#[tokio::test]
async fn faults_answer_or_not_and_create_or_not() {
    let lab = Lab::start(immediate()).await;
    let mut accepted = 0;
    for (fault, error, creates) in [
        ("error_500_before", Some((500, 20500)), 0),
        ("error_500_after", Some((500, 20500)), 1),
        ("error_503_before", Some((503, 20503)), 0),
        ("throttle_storm", Some((429, 20429)), 0),
        ("unauthorized", Some((401, 20003)), 0),
        ("reply_lost", None, 1),
    ] {
        lab.faults(rule(fault)).await;
        for (request, by) in
            [(without_header(&lab, fault), "plan"), (lab.send_with_fault(fault, None), "header")]
        {
            match error {
                Some(error) => assert_eq!(answer(request).await.error(), error, "{fault} by {by}"),
                None => assert!(is_lost(request).await, "{fault} by {by}"),
            }
            accepted += creates;
            assert_eq!(lab.sim.stats().accepted, accepted, "{fault} by {by}");
            lab.faults(json!({})).await;
        }
        assert_eq!(lab.sim.stats().faults_injected[fault], 2);
    }
    assert_eq!(lab.listed("").await.len(), 4);
}

fn without_header(lab: &Lab, text: &str) -> reqwest::RequestBuilder {
    let form = [("To", "+33612345678"), ("From", "+15005550006"), ("Body", text)];
    lab.request("POST", &lab.messages_path()).form(&form)
}

#[tokio::test]
async fn malformed_json_is_a_created_message_whose_answer_breaks_off() {
    let lab = Lab::start(immediate()).await;
    let cut = answer(lab.send_with_fault("malformed_json", None)).await;
    assert_eq!(cut.status, 201);
    assert!(serde_json::from_str::<Value>(&cut.text).is_err());
    assert_eq!(lab.sim.stats().accepted, 1);
}

#[tokio::test]
async fn a_hang_holds_the_connection_and_then_cuts_it() {
    let lab = Lab::start(immediate()).await;
    for (fault, accepted) in [("hang", 0), ("hang_after", 1)] {
        lab.faults(json!({ "rules": [{ "fault": fault, "hang_ms": 20 }] })).await;
        assert!(is_lost(without_header(&lab, fault)).await);
        assert_eq!(lab.sim.stats().accepted, accepted);
    }
}

#[tokio::test]
async fn a_stop_ends_hanging_requests() {
    let lab = Lab::start(immediate()).await;
    lab.faults(json!({ "rules": [{ "fault": "hang", "hang_ms": 300_000 }] })).await;
    let held = tokio::spawn(is_lost(without_header(&lab, "x")));
    lab.until(|stats| stats.faults_injected.contains_key("hang")).await;
    lab.sim.stop().await;
    assert!(held.await.unwrap());
}

#[tokio::test]
async fn a_fault_strikes_every_nth_request_of_its_scope() {
    let lab = Lab::start(immediate()).await;
    lab.faults(json!({ "rules": [{ "fault": "error_503_before", "every": 3 }] })).await;
    let mut statuses = Vec::new();
    for n in 0..6 {
        lab.listed("").await;
        statuses.push(lab.send(&n.to_string()).await.status);
    }
    assert_eq!(statuses, [201, 201, 503, 201, 201, 503]);
    lab.faults(json!({ "rules": [{ "fault": "error_503_before", "on": "all" }] })).await;
    assert_eq!(lab.get(&lab.messages_path()).await.error(), (503, 20503));
}

#[tokio::test]
async fn the_first_rule_that_hits_is_applied() {
    let lab = Lab::start(immediate()).await;
    let rules =
        json!([{ "fault": "throttle_storm", "every": 2, "retry_after_s": 3 }, { "fault": "unauthorized" }]);
    lab.faults(json!({ "rules": rules })).await;
    assert_eq!(lab.send("1").await.status, 401);
    let throttled = lab.send("2").await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, "3"));
}

#[tokio::test]
async fn the_same_seed_repeats_a_run_and_another_does_not() {
    let plan = json!({ "rules": [{ "fault": "error_503_before", "probability": 0.5 }] });
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let lab = Lab::start(SimConfig { seed, ..immediate() }).await;
        lab.faults(plan.clone()).await;
        let mut run = Vec::new();
        for n in 0..64 {
            run.push(lab.send(&n.to_string()).await.status);
        }
        lab.control("reset", json!({})).await;
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&201) && runs[0].contains(&503));
}

#[tokio::test]
async fn a_bounded_plan_ends_and_the_configured_one_follows() {
    let configured = serde_json::from_value(rule("unauthorized")).unwrap();
    let lab = Lab::start(SimConfig { faults: configured, ..immediate() }).await;
    assert_eq!(lab.send("0").await.status, 401);
    lab.faults(json!({ "rules": [{ "fault": "throttle_storm" }], "for_requests": 2 })).await;
    let mut statuses = Vec::new();
    for n in 0..3 {
        statuses.push(lab.send(&n.to_string()).await.status);
    }
    assert_eq!(statuses, [429, 429, 401]);
    lab.faults(json!({ "for_ms": 0 })).await;
    assert_eq!(lab.send("x").await.status, 401);
    lab.faults(json!({})).await;
    assert_eq!(lab.send("x").await.status, 201);
    lab.control("reset", json!({})).await;
    assert_eq!(lab.send("x").await.status, 401);
}

#[tokio::test]
async fn latency_delays_the_answer_but_not_the_message() {
    let faults = twilio_sim::FaultPlan { latency: Some(Latency::FixedMs(300_000)), ..Default::default() };
    let lab = Lab::start(SimConfig { faults, ..immediate() }).await;
    let held = tokio::spawn(without_header(&lab, "x").send());
    lab.until(|stats| stats.accepted == 1).await;
    lab.faults(json!({ "latency": { "uniform_ms": [1, 5] } })).await;
    let quick = lab.send("y").await;
    assert!(quick.header("twilio-request-duration").parse::<f64>().unwrap() >= 0.001);
    assert!(!held.is_finished());
    held.abort();
}

#[tokio::test]
async fn a_list_can_lag_while_a_fetch_does_not() {
    let lab = Lab::start(immediate()).await;
    let sid = lab.send("x").await.sid();
    lab.faults(json!({ "list_lag_ms": 3_600_000 })).await;
    assert_eq!(lab.listed("").await, [""; 0]);
    assert_eq!(lab.get(&Lab::message_path(&sid)).await.status, 200);
    lab.faults(json!({})).await;
    assert_eq!(lab.listed("").await, [sid]);
}

#[tokio::test]
async fn a_plan_or_header_that_makes_no_sense_is_refused() {
    let lab = Lab::start(immediate()).await;
    for (plan, word) in [
        (json!({ "rulez": [] }), "rulez"),
        (json!({ "rules": [{ "fault": "flood" }] }), "flood"),
        (json!({ "rules": [{ "fault": "hang", "probability": 2 }] }), "between 0 and 1"),
        (json!({ "rules": vec![json!({ "fault": "hang" }); 33] }), "at most 32"),
    ] {
        let answer = lab.control("faults", plan).await;
        assert!(answer.status == 400 && answer.text.contains(word), "{}", answer.text);
    }
    let unknown = answer(lab.send_with_fault("flood", None)).await;
    assert_eq!(unknown.error(), (400, 20001));
    assert!(unknown.text.contains("flood"));
    assert_eq!(lab.sim.stats().accepted, 0);
}
