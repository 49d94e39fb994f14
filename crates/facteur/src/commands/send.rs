//! `facteur send`: one job, published with the broker's confirm, and followed if that is asked for.

use std::time::Duration;

use anyhow::anyhow;
use facteur_amqp::{AmqpConfig, Publication, PublishError, Publisher};
use facteur_core::Timestamp;
use facteur_core::document::{JobDocument, Scalar};
use facteur_core::envelope::{EnvelopeContent, HEADER_ENQUEUED_AT_MS, HeaderValue, Headers};
use facteur_core::ids::JobId;
use facteur_core::job::{Category, Job, JobDefaults};
use facteur_core::lane::{self, Lane};
use facteur_worker::clock::Clock;
use jiff::SignedDuration;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::adapters;
use crate::cli::{CategoryName, LaneName, SendArgs};
use crate::config::{Config, Problems};
use crate::exit::Exit;
use crate::output::Output;

/// Between two looks at the message.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What became of the job, as far as it was waited for.
#[derive(Debug, Serialize)]
struct Sent {
    id: Uuid,
    lane: &'static str,
    /// `published`, or the message's status after `--wait`.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs it.
///
/// # Errors
/// [`Problems`], if the job could not be sent as it is; otherwise whatever the broker or the database says.
pub async fn run(args: &SendArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let now = Clock::system().now();
    let (job, content) = envelope(args, config, now)?;
    let lane = lane::choose(args.lane.map(LaneName::lane), job.category, None);
    let shutdown = CancellationToken::new();
    let amqp = adapters::amqp(config, "send");
    let publisher = Publisher::start(amqp.clone(), shutdown.clone());
    let published = publisher.publish(Publication::job(lane, &content)).await;
    shutdown.cancel();
    publisher.stopped().await;
    if let Err(error) = published {
        return Err(explained(error, &amqp).await.context(format!("job {} was not published", job.id)));
    }
    let sent =
        Sent { id: job.id.0, lane: lane.as_str(), status: "published".to_owned(), sid: None, reason: None };
    let Some(seconds) = args.wait else {
        output.show(&sent, Sent::as_text)?;
        return Ok(Exit::Done);
    };
    let (sent, exit) = follow(sent, config, Duration::from_secs(seconds)).await?;
    output.show(&sent, Sent::as_text)?;
    Ok(exit)
}

/// The publisher goes on trying where nobody listens; a person is told what is wrong.
async fn explained(error: PublishError, amqp: &AmqpConfig) -> anyhow::Error {
    match error {
        PublishError::Unavailable => match facteur_amqp::check(amqp).await {
            Ok(_) => {
                anyhow!("{error}: publish it again with the same --id, which never makes a second message")
            }
            Err(connect) => connect.into(),
        },
        _ => error.into(),
    }
}

/// The job as a worker will read it: whatever a worker would refuse is refused here.
fn envelope(args: &SendArgs, config: &Config, now: Timestamp) -> Result<(Job, EnvelopeContent), Problems> {
    let id = args.id.unwrap_or_else(Uuid::now_v7);
    let mut document = document(args, now)?;
    document.id = Some(id);
    let defaults = JobDefaults { country: config.worker.default_country };
    let job = Job::from_document(JobId(id), document.clone(), &defaults, now)
        .map_err(|reason| Problems(vec![format!("{reason}. {}", reason.code.advice())]))?;
    // Workers may have another default country than this command.
    document.to = Some(job.recipient.twilio_address());
    let body = serde_json::to_vec(&document)
        .map_err(|error| Problems(vec![format!("the job can't be written as JSON: {error}")]))?;
    let enqueued_at = HeaderValue::Int(now.as_millisecond());
    let content = EnvelopeContent {
        body: body.into(),
        message_id: Some(id.to_string()),
        content_type: Some("application/json".to_owned()),
        kind: Some("facteur.job.v1".to_owned()),
        app_id: Some("facteur-cli".to_owned()),
        timestamp_s: u64::try_from(now.as_second()).ok(),
        headers: Headers::from([(HEADER_ENQUEUED_AT_MS.to_owned(), enqueued_at)]),
        ..EnvelopeContent::default()
    };
    Ok((job, content))
}

fn document(args: &SendArgs, now: Timestamp) -> Result<JobDocument, Problems> {
    let expires_at = args.expires_in.as_deref().map(|text| expiry(text, now)).transpose()?;
    let variables = args.variables.iter().map(|(name, value)| (name.clone(), Scalar::Text(value.clone())));
    Ok(JobDocument {
        tenant: args.tenant.clone(),
        to: Some(args.to.clone()),
        from: args.from.clone(),
        body: args.body.clone(),
        template: args.template.clone(),
        language: args.language.clone(),
        variables: (!args.variables.is_empty()).then(|| variables.collect()),
        media_urls: (!args.media.is_empty()).then(|| args.media.clone()),
        category: Some(args.category.category()),
        expires_at: expires_at.map(|at| at.to_string()),
        ..JobDocument::default()
    })
}

fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, Problems> {
    let duration = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
    duration.and_then(|duration| now.checked_add(duration).ok()).ok_or_else(|| {
        Problems(vec!["--expires-in is not a time from now on, such as 90s, 10m or 2h".to_owned()])
    })
}

async fn follow(mut sent: Sent, config: &Config, at_most: Duration) -> anyhow::Result<(Sent, Exit)> {
    let id = JobId(sent.id);
    let looked = async {
        let database = adapters::database(config, "send").await?;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let story = facteur_postgres::messages::story(&database, id).await?;
            if let Some(story) = story.filter(|story| story.status.is_final()) {
                return anyhow::Ok(story);
            }
        }
    };
    match tokio::time::timeout(at_most, looked).await {
        Ok(Ok(story)) => {
            story.status.as_str().clone_into(&mut sent.status);
            sent.sid = story.sid().map(str::to_owned);
            let is_sent = sent.sid.is_some();
            sent.reason = (!is_sent).then(|| story.why());
            Ok((sent, if is_sent { Exit::Done } else { Exit::Failed }))
        }
        Ok(Err(error)) => Err(error.context(format!("job {id} is published, but can't be followed"))),
        Err(_) => {
            "still open".clone_into(&mut sent.status);
            sent.reason =
                Some(format!("not sent within {} s; `facteur status {id}` says why", at_most.as_secs()));
            Ok((sent, Exit::StillOpen))
        }
    }
}

impl Sent {
    fn as_text(&self) -> String {
        let Self { id, lane, status, sid, reason } = self;
        let end = sid.as_ref().or(reason.as_ref()).map(|end| format!(": {end}")).unwrap_or_default();
        format!("{id} {status} (lane {lane}){end}")
    }
}

impl LaneName {
    fn lane(self) -> Lane {
        match self {
            Self::Urgent => Lane::Urgent,
            Self::Normal => Lane::Normal,
            Self::Bulk => Lane::Bulk,
        }
    }
}

impl CategoryName {
    pub(super) fn category(self) -> Category {
        match self {
            Self::Otp => Category::Otp,
            Self::Transactional => Category::Transactional,
            Self::Marketing => Category::Marketing,
        }
    }
}
