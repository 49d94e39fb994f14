//! The jobs of the demo: what real apps send, good and bad, and how they are published.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};
use uuid::Uuid;

/// A sender that may send few segments a second.
pub(crate) const SLOW_SENDER: &str = "+33755500010";
/// Opted out at Twilio, unknown to us.
pub(crate) const OPTED_OUT_AT_TWILIO: &str = "+33755500021";
/// Opted out with us: no call to Twilio is made.
pub(crate) const OPTED_OUT_WITH_US: &str = "+33755500022";

/// Unconfirmed publications at a time.
const PIPELINE: usize = 256;
const CONFIRM_MAX: Duration = Duration::from_secs(30);

/// What is published, and under which key.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) id: Uuid,
    pub(crate) routing_key: &'static str,
    pub(crate) body: Vec<u8>,
}

/// So many jobs, the same ones for the same seed but for their ids; one of each special kind comes first.
pub(crate) fn jobs(count: usize, seed: u64) -> Vec<Publication> {
    let mut jobs: Vec<Publication> = specials().into_iter().take(count).collect();
    let slow = (count / 40).min(60);
    let mut chance = Chance(seed);
    for index in jobs.len()..count {
        jobs.push(if index % 40 == 0 && index / 40 <= slow {
            from_slow_sender(index)
        } else {
            usual(index, &mut chance)
        });
    }
    // The specials, too, arrive in the middle of the others.
    for index in (1..jobs.len()).rev() {
        jobs.swap(index, chance.below(index + 1));
    }
    jobs
}

/// What the rest of the run must cope with.
fn specials() -> Vec<Publication> {
    let text = "Votre colis est en route.";
    let mut specials: Vec<Publication> = [
        // Twilio's magic numbers: no such number, not a mobile, a country that is not enabled.
        json!({"to": "+15005550001", "body": text}),
        json!({"to": "+15005550009", "body": text}),
        json!({"to": "+15005550003", "body": text}),
        json!({"to": OPTED_OUT_AT_TWILIO, "body": text}),
        json!({"to": OPTED_OUT_WITH_US, "body": text}),
        json!({"to": "+3361", "body": text}),
        json!({"to": number(0), "body": "x".repeat(1_601)}),
        json!({"to": number(0), "template": "no_such_template", "variables": {}}),
        json!({"to": number(0), "template": "appointment_confirmed", "language": "fr", "variables": {"name": "Zoé"}}),
    ]
    .iter()
    .map(|job| publication("send.normal", job))
    .collect();
    let id = Uuid::now_v7();
    specials.push(Publication { id, routing_key: "send.normal", body: b"{\"to\": \"+336".to_vec() });
    specials.push(publication("send.nowhere", &json!({"to": number(0), "body": text})));
    specials
}

fn from_slow_sender(index: usize) -> Publication {
    publication(
        "send.bulk",
        &json!({"to": number(index), "from": SLOW_SENDER, "body": format!("Offre numéro {index}.")}),
    )
}

fn usual(index: usize, chance: &mut Chance) -> Publication {
    let (to, name) = (number(index), NAMES[index % NAMES.len()]);
    let code = 100_000 + chance.below(900_000);
    match chance.below(20) {
        0..3 => publication(
            "send.urgent",
            &json!({"to": to, "body": format!("Votre code est {code}."), "category": "otp"}),
        ),
        3..5 => publication("send.normal", &appointment(&to, name, "fr", index)),
        5..7 => publication("send.normal", &appointment(&to, name, "en", index)),
        7 => publication(
            "send.normal",
            &json!({"to": to, "template": "document_uploaded", "language": "fr", "variables": {"name": name}}),
        ),
        8 => publication(
            "send.normal",
            &json!({"to": format!("whatsapp:{to}"), "body": format!("Bonjour {name} 👋")}),
        ),
        9 => {
            let media = format!("https://example.org/{index}.png");
            publication(
                "send.normal",
                &json!({"to": to, "body": "Votre plan d'accès", "media_urls": [media]}),
            )
        }
        10..13 => publication(
            "send.normal",
            &json!({"to": to, "body": format!("Bonjour {name}, dossier {index} reçu.")}),
        ),
        _ => publication(
            "send.bulk",
            &json!({"to": to, "body": format!("{name}, soldes jusqu'à dimanche !"), "category": "marketing"}),
        ),
    }
}

const NAMES: [&str; 6] = ["Jean", "Aïcha", "Zoé", "Paul", "Inès", "Louis"];

fn appointment(to: &str, name: &str, language: &str, index: usize) -> Value {
    let variables =
        json!({"name": name, "date": "12/03", "time": format!("{}h{:02}", 8 + index % 10, index % 60)});
    json!({"to": to, "template": "appointment_confirmed", "language": language, "variables": variables})
}

/// Another French mobile number for each index, so that the simulator can see a text that was sent twice.
fn number(index: usize) -> String {
    format!("+33612{index:06}")
}

fn publication(routing_key: &'static str, job: &Value) -> Publication {
    Publication { id: Uuid::now_v7(), routing_key, body: job.to_string().into_bytes() }
}

/// `SplitMix64`: the same jobs for the same seed, on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = (mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(drawn).unwrap_or_default()
    }
}

/// Publishes with confirms, as a producer should.
pub(crate) struct Producer {
    _connection: Connection,
    channel: Channel,
    exchange: String,
}

impl Producer {
    /// Connects.
    pub(crate) async fn connect(url: &str, prefix: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel, exchange: format!("{prefix}.jobs") })
    }

    /// Publishes all of them; when this returns, the broker answers for each.
    pub(crate) async fn publish(&self, publications: &[Publication]) -> Result<()> {
        for batch in publications.chunks(PIPELINE) {
            let mut confirms = Vec::with_capacity(batch.len());
            for publication in batch {
                let properties = BasicProperties::default()
                    .with_message_id(publication.id.to_string().into())
                    .with_content_type("application/json".into())
                    .with_delivery_mode(2);
                let confirm = self.channel.basic_publish(
                    self.exchange.as_str().into(),
                    publication.routing_key.into(),
                    BasicPublishOptions::default(),
                    &publication.body,
                    properties,
                );
                confirms.push(confirm.await?);
            }
            for confirm in confirms {
                let confirmation =
                    tokio::time::timeout(CONFIRM_MAX, confirm).await.context("no confirm within 30 s")??;
                if !matches!(confirmation, Confirmation::Ack(_)) {
                    bail!("the broker refused a job");
                }
            }
        }
        Ok(())
    }
}
