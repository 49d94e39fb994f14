//! `facteur dead`: what a person must look at.

use facteur_core::Timestamp;
use facteur_core::reason::ReasonCode;
use facteur_postgres::DeadLetters;
use facteur_postgres::dead_letters::{
    self, Letter, LetterState, LetterSummary, ListFilter, RequeueReport, RequeueRequest, Selection,
};
use serde::Serialize;
use uuid::Uuid;

use super::adapters;
use crate::cli::{DeadCommand, RequeueArgs};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::output::{Output, table};

/// A producer may have written anything; a row of a table shows so much of it.
const SHOWN_CHARS_MAX: usize = 160;
/// Stands for the reason while nothing is done.
const DRY_RUN: &str = "dry run";

/// Runs it.
///
/// # Errors
/// If the database can't be asked.
pub async fn run(command: &DeadCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let letters = DeadLetters::new(adapters::database(config, "dead").await?);
    match command {
        DeadCommand::List { code, limit } => list(&letters, code.clone(), *limit, output).await,
        DeadCommand::Show { id } => show(&letters, *id, output).await,
        DeadCommand::Requeue(args) => requeue(&letters, args, output).await,
    }
}

#[derive(Serialize)]
struct Listed {
    dead_letters: Vec<ListedLetter>,
}

#[derive(Serialize)]
struct ListedLetter {
    id: Uuid,
    job_id: Option<Uuid>,
    tenant: String,
    code: String,
    field: Option<String>,
    sentence: String,
    /// What a person can do.
    advice: Option<&'static str>,
    routing_key: String,
    copies: u32,
    state: &'static str,
    created_at: Timestamp,
    body_bytes: u32,
}

impl ListedLetter {
    fn of(letter: LetterSummary) -> Self {
        let code = ReasonCode::from_name(&letter.code);
        Self {
            id: letter.id,
            job_id: letter.job_id.map(|id| id.0),
            tenant: letter.tenant,
            code: letter.code,
            field: letter.field,
            sentence: letter.sentence,
            advice: code.map(|code| code.advice()),
            routing_key: letter.routing_key,
            copies: letter.copies,
            state: letter.state.as_str(),
            created_at: letter.created_at,
            body_bytes: letter.body_bytes,
        }
    }

    fn why(&self) -> String {
        let field = self.field.as_deref().map(|field| format!("{field} ")).unwrap_or_default();
        let why = format!("{field}{}", self.sentence);
        why.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
    }
}

async fn list(
    letters: &DeadLetters,
    code: Option<String>,
    limit: u32,
    output: Output,
) -> anyhow::Result<Exit> {
    let filter = ListFilter { state: Some(LetterState::Open), code, limit, ..ListFilter::default() };
    let found = letters.list(&filter).await?;
    let listed = Listed { dead_letters: found.into_iter().map(ListedLetter::of).collect() };
    output.show(&listed, Listed::as_text)?;
    Ok(Exit::Done)
}

impl Listed {
    fn as_text(&self) -> String {
        if self.dead_letters.is_empty() {
            return "no open dead letters".to_owned();
        }
        let mut letters = table(&["id", "since", "code", "what happened", "tenant"]);
        for letter in &self.dead_letters {
            let copies = if letter.copies > 1 { format!(" (× {})", letter.copies) } else { String::new() };
            letters.add_row([
                letter.id.to_string(),
                format!("{:.0}", letter.created_at),
                letter.code.clone(),
                format!("{}{copies}", letter.why()),
                letter.tenant.clone(),
            ]);
        }
        letters.to_string()
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    letter: ListedLetter,
    headers: serde_json::Value,
    /// The body, where it is text.
    body: Option<String>,
    /// The body in hexadecimal digits, where it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

async fn show(letters: &DeadLetters, id: Uuid, output: Output) -> anyhow::Result<Exit> {
    match letters.show(id).await? {
        Some(letter) => {
            output.show(&Shown::of(letter), Shown::as_text)?;
            Ok(Exit::Done)
        }
        None => unknown(&[id], output),
    }
}

fn unknown(ids: &[Uuid], output: Output) -> anyhow::Result<Exit> {
    let document = serde_json::json!({ "unknown": ids });
    let names = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    output.show(&document, |_| format!("no dead letter, and none of a message, has the id {names}"))?;
    Ok(Exit::NotFound)
}

impl Shown {
    fn of(letter: Letter) -> Self {
        let body = String::from_utf8(letter.body.to_vec());
        let body_hex = body.as_ref().err().map(|error| {
            let digits = error.as_bytes().iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>()
        });
        Self { letter: ListedLetter::of(letter.summary), headers: letter.headers, body: body.ok(), body_hex }
    }

    fn as_text(&self) -> String {
        let letter = &self.letter;
        let job = letter.job_id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        let body = self.body.clone();
        let body = body
            .or_else(|| self.body_hex.as_ref().map(|hex| format!("(not text) {hex}")))
            .unwrap_or_default();
        let mut lines = vec![
            format!(
                "{} ({}), since {:.0}, copies: {}",
                letter.id, letter.state, letter.created_at, letter.copies
            ),
            format!("{}: {}", letter.code, letter.why()),
            format!("job {job}, tenant {}, routing key {}", letter.tenant, letter.routing_key),
            format!("headers {}", self.headers),
            format!("body, {} bytes:", letter.body_bytes),
            body,
        ];
        lines.extend(letter.advice.map(|advice| format!("what to do: {advice}")));
        lines.join("\n")
    }
}

#[derive(Serialize)]
struct Requeued {
    /// Whether it was done.
    done: bool,
    requeued: u64,
    maybe_sent_forced: u64,
    skipped: Vec<SkippedCount>,
    skipped_first: Vec<SkippedLetter>,
    unknown: Vec<Uuid>,
}

#[derive(Serialize)]
struct SkippedCount {
    letters: u64,
    why: &'static str,
}

#[derive(Serialize)]
struct SkippedLetter {
    id: Uuid,
    why: &'static str,
}

async fn requeue(letters: &DeadLetters, args: &RequeueArgs, output: Output) -> anyhow::Result<Exit> {
    let selection = match args.id {
        Some(id) => Selection::Ids(vec![id]),
        None => Selection::Open { code: args.code.clone(), tenant: None },
    };
    let request = RequeueRequest {
        selection,
        actor: config::user(),
        reason: args.reason.clone().unwrap_or_else(|| DRY_RUN.to_owned()),
        force: args.force,
        dry_run: !args.yes,
    };
    let report = letters.requeue(&request).await?;
    if !report.unknown.is_empty() {
        return unknown(&report.unknown, output);
    }
    output.show(&Requeued::of(&report, args.yes), Requeued::as_text)?;
    // A script that asks for one letter must hear that it stayed.
    let stayed = args.id.is_some() && report.requeued == 0;
    Ok(if stayed { Exit::Failed } else { Exit::Done })
}

impl Requeued {
    fn of(report: &RequeueReport, done: bool) -> Self {
        let count = |(why, letters): (&dead_letters::SkipReason, &u64)| SkippedCount {
            letters: *letters,
            why: why.advice(),
        };
        let letter =
            |skipped: &dead_letters::Skipped| SkippedLetter { id: skipped.id, why: skipped.why.advice() };
        Self {
            done,
            requeued: report.requeued,
            maybe_sent_forced: report.maybe_sent_forced,
            skipped: report.skipped.iter().map(count).collect(),
            skipped_first: report.skipped_first.iter().map(letter).collect(),
            unknown: report.unknown.clone(),
        }
    }

    fn as_text(&self) -> String {
        let verb = if self.done { "went back to work" } else { "would go back to work" };
        let mut lines = vec![format!("{verb}: {}", self.requeued)];
        if self.maybe_sent_forced > 0 {
            lines.push(format!(
                "of those, forced although they may have been sent already: {}",
                self.maybe_sent_forced
            ));
        }
        lines.extend(
            self.skipped.iter().map(|skipped| format!("stay: {} ({})", skipped.letters, skipped.why)),
        );
        if !self.done {
            lines.push("nothing was changed; --yes --reason TEXT does it".to_owned());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_says_that_nothing_was_changed() {
        let report = RequeueReport { requeued: 3, ..RequeueReport::default() };
        assert!(
            Requeued::of(&report, false)
                .as_text()
                .starts_with("would go back to work: 3\nnothing was changed")
        );
        assert_eq!(Requeued::of(&report, true).as_text(), "went back to work: 3");
    }
}
