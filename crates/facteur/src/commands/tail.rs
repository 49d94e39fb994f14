//! `facteur tail`: what Twilio answers, as it happens.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_postgres::tail::{self, Happened, ROWS_MAX};
use facteur_postgres::{BatchFailure, Database};
use serde::Serialize;
use uuid::Uuid;

use super::adapters;
use crate::cli::TailArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{self, Output};

/// How often the database is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// What is recorded at once is committed in any order: the last seconds are asked for again.
const ASKED_AGAIN: Duration = Duration::from_secs(5);
/// How long it waits for a database that is away.
const AWAY: Duration = Duration::from_secs(2);

/// One line.
#[derive(Serialize)]
struct Line {
    at: Timestamp,
    id: Uuid,
    attempt: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    outcome: String,
    status: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    duration_ms: i32,
}

/// Follows until it is interrupted, or nobody reads it any more. A database that goes away is waited for.
///
/// # Errors
/// If the database can't be reached at the start, or stdout can't be written.
pub async fn run(args: &TailArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let database = adapters::database(config, "tail").await?;
    let mut follower = Follower::new(tail::now(&database).await?);
    let mut is_away = false;
    loop {
        let pause = match follower.next(&database).await {
            Ok((lines, is_more)) => {
                if is_away {
                    output::tell("the database answers again");
                }
                is_away = false;
                let wanted = |line: &Line| args.tenant.is_none() || args.tenant == line.tenant;
                if !print(lines.into_iter().filter(wanted), output)? {
                    return Ok(Exit::Done);
                }
                if is_more { Duration::ZERO } else { ASK_EVERY }
            }
            Err(failure) => {
                if !is_away {
                    output::tell(&format!("the database is away, and waited for: {failure}"));
                }
                is_away = true;
                AWAY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// How far it has come.
struct Follower {
    asked_from: Timestamp,
    /// What was printed of the seconds that are asked for again.
    printed: HashMap<(Uuid, i32), Timestamp>,
}

impl Follower {
    fn new(now: Timestamp) -> Self {
        Self { asked_from: now, printed: HashMap::new() }
    }

    /// What is new, and whether there is more at once.
    async fn next(&mut self, database: &Database) -> Result<(Vec<Line>, bool), BatchFailure> {
        let found = tail::since(database, self.asked_from).await?;
        let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= ROWS_MAX);
        Ok((self.pass(found, is_full), is_full))
    }

    /// A full answer goes on from its end, for what lies before it is known.
    fn pass(&mut self, found: Vec<Happened>, is_full: bool) -> Vec<Line> {
        if let Some(last) = found.last().map(|happened| happened.at) {
            let again = last.checked_sub(ASKED_AGAIN).unwrap_or(Timestamp::MIN);
            self.asked_from = self.asked_from.max(if is_full { last } else { again });
        }
        let new = found
            .into_iter()
            .filter(|one| self.printed.insert((one.id, one.number), one.at).is_none())
            .map(Line::of)
            .collect();
        self.printed.retain(|_, at| *at >= self.asked_from);
        new
    }
}

impl Line {
    fn of(happened: Happened) -> Self {
        Self {
            at: happened.at,
            id: happened.id,
            attempt: happened.number,
            tenant: happened.tenant,
            lane: happened.lane,
            outcome: happened.outcome,
            status: happened.status,
            reason: happened.reason,
            code: happened.code,
            sid: happened.sid,
            duration_ms: happened.duration_ms,
        }
    }

    fn as_text(&self) -> String {
        let code = self.code.map(|code| format!(" {code}")).unwrap_or_default();
        let sid = self.sid.as_deref().map(|sid| format!(" {sid}")).unwrap_or_default();
        let (tenant, lane) = (self.tenant.as_deref().unwrap_or("?"), self.lane.as_deref().unwrap_or("?"));
        let Self { at, id, attempt, outcome, status, reason, duration_ms, .. } = self;
        format!(
            "{at:.3} {id} #{attempt} {tenant} {lane} {outcome}{code} → {status} ({reason}){sid} {duration_ms} ms"
        )
    }
}

/// Prints; returns whether somebody still reads.
fn print(lines: impl Iterator<Item = Line>, output: Output) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    for line in lines {
        let text = if output.is_json { serde_json::to_string(&line)? } else { line.as_text() };
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
            written => written?,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(number: i32, at: &str) -> Happened {
        Happened {
            id: Uuid::nil(),
            number,
            tenant: Some("default".to_owned()),
            lane: Some("normal".to_owned()),
            outcome: "refused".to_owned(),
            code: Some(21211),
            sid: None,
            status: "failed".to_owned(),
            reason: "refused".to_owned(),
            duration_ms: 42,
            at: at.parse().unwrap(),
        }
    }

    #[test]
    fn each_attempt_is_told_once_also_one_that_is_committed_late() {
        let mut follower = Follower::new("2026-12-01T08:00:00Z".parse().unwrap());
        let numbers = |lines: Vec<Line>| lines.into_iter().map(|line| line.attempt).collect::<Vec<_>>();
        let (one, two, late) = (
            happened(1, "2026-12-01T08:00:01Z"),
            happened(2, "2026-12-01T08:00:09Z"),
            happened(3, "2026-12-01T08:00:05Z"),
        );
        assert_eq!(numbers(follower.pass(vec![one, two.clone()], false)), [1, 2]);
        assert_eq!(follower.asked_from, "2026-12-01T08:00:04Z".parse().unwrap());
        assert_eq!(numbers(follower.pass(vec![late, two.clone()], false)), [3]);
        assert_eq!(numbers(follower.pass(vec![two], true)), Vec::<i32>::new());
        assert_eq!(follower.asked_from, "2026-12-01T08:00:09Z".parse().unwrap());
    }

    #[test]
    fn a_line_says_what_happened() {
        let text = Line::of(happened(1, "2026-12-01T08:00:01Z")).as_text();
        let expected = "2026-12-01T08:00:01.000Z 00000000-0000-0000-0000-000000000000 #1 default normal refused 21211 → \
                        failed (refused) 42 ms";
        assert_eq!(text, expected);
    }
}
