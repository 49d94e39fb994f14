//! `facteur cancel`: withdraws a message or a bulk that has not left.

use facteur_core::ids::{JobId, Tenant};
use facteur_core::status::Status;
use facteur_postgres::cancels::{self, BulkCancel, COUNT_MAX, Cancel};
use serde::Serialize;
use uuid::Uuid;

use super::adapters;
use super::pause::wrong_or_failed;
use crate::cli::CancelArgs;
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::Output;

/// Stands for the reason while nothing is done.
const DRY_RUN: &str = "dry run";

/// Runs it.
///
/// # Errors
/// [`Problems`], if tenant or reason are not as they must be; otherwise whatever the database says.
pub async fn run(args: &CancelArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let tenant = match &args.tenant {
        Some(text) => {
            Tenant::parse(text).map_err(|why| Problems(vec![format!("--tenant is `{text}`: {why}")]))?
        }
        None => Tenant::default_tenant(),
    };
    let database = adapters::database(config, "cancel").await?;
    let (reason, actor) = (args.reason.as_deref().unwrap_or(DRY_RUN), config::user());
    match (args.id.map(JobId), args.bulk) {
        (Some(id), _) => {
            let what = match args.yes {
                true => cancels::cancel(&database, id, &tenant, reason, &actor).await,
                false => cancels::preview(&database, id).await,
            };
            let told = Told::of(id, what.map_err(wrong_or_failed)?, args.yes);
            output.show(&told, Told::as_text)?;
            // A script that asks for one message must hear that it was too late.
            let is_withdrawn = told.will_not_leave || told.status == Some(Status::Canceled.as_str());
            Ok(if is_withdrawn { Exit::Done } else { Exit::Failed })
        }
        (None, Some(bulk_id)) => {
            let what = match args.yes {
                true => cancels::cancel_bulk(&database, bulk_id, reason, &actor).await,
                false => cancels::preview_bulk(&database, bulk_id).await,
            };
            let told = ToldBulk::of(bulk_id, what.map_err(wrong_or_failed)?, args.yes);
            output.show(&told, ToldBulk::as_text)?;
            Ok(Exit::Done)
        }
        (None, None) => Err(Problems(vec!["name a message, or a bulk with --bulk".to_owned()]).into()),
    }
}

#[derive(Serialize)]
struct Told {
    id: Uuid,
    /// Whether it was done.
    done: bool,
    /// Whether it is withdrawn, or would be.
    will_not_leave: bool,
    /// The status that it has instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    sentence: &'static str,
}

impl Told {
    fn of(id: JobId, what: Cancel, done: bool) -> Self {
        let (will_not_leave, status, sentence) = match what {
            Cancel::Canceled => (true, None, "it has not left, and will not"),
            Cancel::Unseen => (true, None, "it was not seen yet; when it comes, it will not leave"),
            Cancel::TooLate(status @ Status::Uncertain) => {
                (false, Some(status), "it may have left: nobody knows yet")
            }
            Cancel::TooLate(status) => (false, Some(status), "too late: it is being sent"),
            Cancel::Ended(status @ Status::Canceled) => (false, Some(status), "it was cancelled before"),
            Cancel::Ended(status) => (false, Some(status), "too late: it has ended"),
        };
        Self { id: id.0, done, will_not_leave, status: status.map(Status::as_str), sentence }
    }

    fn as_text(&self) -> String {
        let status = self.status.map(|status| format!(" ({status})")).unwrap_or_default();
        match (self.will_not_leave, self.done) {
            (true, true) => format!("{} is cancelled: {}", self.id, self.sentence),
            (true, false) => format!(
                "{} would be cancelled: {}\nnothing was changed; --yes --reason TEXT does it",
                self.id, self.sentence
            ),
            (false, _) => format!("{} is not cancelled: {}{status}", self.id, self.sentence),
        }
    }
}

#[derive(Serialize)]
struct ToldBulk {
    bulk: Uuid,
    /// Whether it was done.
    done: bool,
    canceled: i64,
    too_late: i64,
    ended_before: i64,
}

impl ToldBulk {
    fn of(bulk: Uuid, what: BulkCancel, done: bool) -> Self {
        Self { bulk, done, canceled: what.canceled, too_late: what.too_late, ended_before: what.ended }
    }

    fn as_text(&self) -> String {
        let verb = if self.done { "cancelled" } else { "would be cancelled" };
        let mut lines = vec![
            format!("{verb}: {}", self.canceled),
            format!("too late, being sent or perhaps sent: {}", self.too_late),
            format!("had ended before: {}", self.ended_before),
        ];
        if self.done {
            lines.push("what of it is still in a queue ends when it comes out".to_owned());
        } else {
            if self.canceled + self.too_late + self.ended_before >= COUNT_MAX {
                lines.push(format!("there are more; {COUNT_MAX} were looked at"));
            }
            lines.push("nothing was changed; --yes --reason TEXT does it".to_owned());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_from_what_would_be_and_from_what_was_too_late() {
        let text = |what, done| Told::of(JobId(Uuid::from_u128(7)), what, done).as_text();
        assert!(text(Cancel::Canceled, true).contains("is cancelled"));
        assert!(text(Cancel::Unseen, false).contains("nothing was changed"));
        assert!(text(Cancel::TooLate(Status::Sending), true).contains("is not cancelled: too late"));
        assert!(text(Cancel::TooLate(Status::Uncertain), true).contains("nobody knows"));
        assert!(text(Cancel::Ended(Status::Sent), true).ends_with("it has ended (sent)"));
        let bulk = |done| ToldBulk::of(Uuid::nil(), BulkCancel { canceled: 3, ..Default::default() }, done);
        assert!(bulk(false).as_text().starts_with("would be cancelled: 3"));
        assert!(bulk(true).as_text().starts_with("cancelled: 3"));
    }
}
