//! The search for evidence about uncertain attempts. Any worker does it: it takes a few searches that are due, reads
//! the account's list of messages, asks the database what is known by then, judges, and applies.
//!
//! What is due is looked for account by account, for each has its own list.
//!
//! The order matters: the list is read before the database is asked, so that whatever stands in the list and was
//! recorded is known, and whatever is not recorded yet is a twin.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::decide::Decision;
use facteur_core::ids::MessageSid;
use facteur_core::job::Recipient;
use facteur_core::reconcile::{
    Evidence, Judgement, ListedMessage, Policies, Verdict, decision, judge, look_again_after, sift,
};
use facteur_core::schedule::RetrySchedule;
use facteur_postgres::reconciliations::{self, Known, Look, Looked};
use facteur_postgres::{BatchFailure, Database};
use facteur_twilio::ListFault;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::metrics;
use crate::patience::in_time;

/// How often it is looked whether a search is due.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Lists are read one after the other, and no more often than this: calls that send come first.
const LIST_INTERVAL: Duration = Duration::from_millis(100);
/// How long no list is read after a throttle that names no time.
const THROTTLED_PAUSE: Duration = Duration::from_secs(30);

/// What the search takes from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciliation {
    /// How long evidence is searched for, at least 30 minutes outside of tests and demonstrations.
    pub grace: Duration,
    /// What becomes of messages about which none comes.
    pub policies: Policies,
    /// Whether callbacks can reach us and be verified: there is a public URL and an auth token.
    pub can_receive_callbacks: bool,
}

/// Searches for evidence.
pub(crate) struct Reconciler {
    pub(crate) database: Database,
    pub(crate) accounts: Accounts,
    pub(crate) clock: Clock,
    pub(crate) settings: Reconciliation,
    /// Of the delay ladder.
    pub(crate) ladder_unit: Duration,
}

/// What Twilio showed at one go.
struct Lists {
    /// The latest messages of the account.
    latest: Result<Vec<ListedMessage>, ListFault>,
    /// The messages to each recipient that could be read.
    of: HashMap<Recipient, Vec<ListedMessage>>,
    /// How long Twilio asked to be left alone.
    throttled: Option<Duration>,
}

impl Reconciler {
    pub(crate) async fn run(self, stopping: CancellationToken) {
        // What is cut off in the middle has only read, or is applied as a whole.
        stopping.run_until_cancelled(self.search_for_ever()).await;
    }

    async fn search_for_ever(&self) {
        loop {
            let pause = match self.search().await {
                Ok(None) => POLL_INTERVAL,
                Ok(Some(throttled)) => throttled,
                Err(error) => {
                    tracing::warn!(%error, "the search for evidence about uncertain messages failed; tried again");
                    POLL_INTERVAL
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes the looks that are due. How long to leave Twilio alone, if all accounts asked for that.
    async fn search(&self) -> Result<Option<Duration>, BatchFailure> {
        loop {
            let looks = in_time(reconciliations::take(&self.database)).await?;
            if looks.is_empty() {
                return Ok(None);
            }
            let mut of_accounts: BTreeMap<String, Vec<Look>> = BTreeMap::new();
            for look in looks {
                of_accounts.entry(look.account.clone()).or_default().push(look);
            }
            let mut pauses = Vec::new();
            for (account, looks) in of_accounts {
                pauses.push(self.search_in(&account, &looks).await?);
            }
            if pauses.iter().all(Option::is_some) {
                return Ok(pauses.into_iter().flatten().min());
            }
        }
    }

    /// Makes these looks in the lists of an account. How long to leave it alone, if it asked for that.
    async fn search_in(&self, account: &str, looks: &[Look]) -> Result<Option<Duration>, BatchFailure> {
        let lists = self.read(account, looks).await;
        let ids: Vec<_> = looks.iter().map(|look| look.id).collect();
        if let Some(pause) = lists.throttled {
            in_time(reconciliations::put_off(&self.database, &ids, pause)).await?;
            tracing::warn!(
                ?pause,
                searches = ids.len(),
                "Twilio throttles its list of messages: looked for later"
            );
            return Ok(Some(pause));
        }
        let known = in_time(reconciliations::known(&self.database, &ids)).await?;
        let sids = in_time(reconciliations::sids(&self.database, &lists.sids())).await?;
        let latest_listed = lists.latest_of_ours(&sids);
        for known in &known {
            if let Err(error) = self.settle(known, &lists, &sids, latest_listed).await {
                tracing::warn!(job = %known.id, %error, "what was found could not be written; looked for again");
            }
        }
        Ok(None)
    }

    /// Reads the latest messages first: what stands in a recipient's list by then stands there for sure.
    async fn read(&self, account: &str, looks: &[Look]) -> Lists {
        let twilio = match self.accounts.client(account) {
            Ok(twilio) => twilio,
            Err(unusable) => {
                let fault = ListFault::NotReadable { cause: unusable.to_string() };
                let throttled = note(&fault);
                return Lists { latest: Err(fault), of: HashMap::new(), throttled };
            }
        };
        let mut lists = Lists { latest: twilio.latest_messages().await, of: HashMap::new(), throttled: None };
        let mut since: HashMap<&Recipient, Timestamp> = HashMap::new();
        for look in looks {
            let opens_at = look.window.opens_at();
            since
                .entry(&look.recipient)
                .and_modify(|since| *since = opens_at.min(*since))
                .or_insert(opens_at);
        }
        if let Err(fault) = &lists.latest {
            lists.throttled = note(fault);
            return lists;
        }
        for (recipient, since) in since {
            let next = Instant::now() + LIST_INTERVAL;
            match twilio.messages_to(recipient, since).await {
                Ok(listed) => drop(lists.of.insert(recipient.clone(), listed)),
                Err(fault) => lists.throttled = note(&fault),
            }
            if lists.throttled.is_some() {
                break;
            }
            sleep_until(next).await;
        }
        lists
    }

    async fn settle(
        &self,
        known: &Known,
        lists: &Lists,
        sids: &HashMap<String, Timestamp>,
        latest_listed: Option<Timestamp>,
    ) -> Result<(), BatchFailure> {
        if !known.is_open {
            return in_time(reconciliations::overtaken(&self.database, known.id, known.attempt)).await;
        }
        let can_receive_callbacks =
            self.accounts.can_receive_callbacks(&known.account, self.settings.can_receive_callbacks);
        let settings = Reconciliation { can_receive_callbacks, ..self.settings };
        let evidence = evidence(known, lists, sids, latest_listed, settings);
        let judgement = judge(&evidence);
        let looked = Looked {
            id: known.id,
            attempt: known.attempt,
            is_clear: is_clear(known, &evidence),
            searched: evidence.searched,
            is_later_listed: evidence.is_later_listed,
            finding: judgement.finding.clone(),
        };
        let looks = known.looks.saturating_add(1);
        let schedule = RetrySchedule::of(known.lane);
        match decision(&judgement, looks, &schedule, known.history, known.now, self.clock.draw()) {
            None => {
                let pause = look_again_after(looks, self.settings.grace);
                tracing::debug!(job = %known.id, looks, finding = judgement.finding, "still uncertain");
                in_time(reconciliations::go_on(&self.database, &looked, pause)).await
            }
            Some(decision) => self.end(&looked, &judgement, decision).await,
        }
    }

    async fn end(
        &self,
        looked: &Looked,
        judgement: &Judgement,
        decision: Decision,
    ) -> Result<(), BatchFailure> {
        let (reason, verdict) = (decision.reason().clone(), judgement.verdict.name());
        let found = match &judgement.verdict {
            Verdict::Found(found) => Some(found),
            _ => None,
        };
        let buried = matches!(decision, Decision::Bury(_)).then_some(reason.code);
        let next = decision.into_next(self.ladder_unit);
        if in_time(reconciliations::end(&self.database, looked, verdict, &next, found)).await? {
            metrics::reconciled(verdict);
            buried.into_iter().for_each(metrics::buried);
            tracing::info!(job = %looked.id, verdict, status = %next.status, %reason, "an uncertain message was settled");
        }
        Ok(())
    }
}

/// Tells of a list that can't be used. How long to leave Twilio alone, if it asked for that.
fn note(fault: &ListFault) -> Option<Duration> {
    match fault {
        ListFault::Throttled { retry_after } => Some(retry_after.unwrap_or(THROTTLED_PAUSE)),
        ListFault::NotReadable { cause } => {
            tracing::warn!(
                cause,
                "Twilio's list of messages can't be read: uncertain messages are looked for later"
            );
            None
        }
    }
}

impl Lists {
    fn sids(&self) -> Vec<MessageSid> {
        let latest = self.latest.iter().flatten();
        latest.chain(self.of.values().flatten()).map(|message| message.sid.clone()).collect()
    }

    /// When the latest attempt of ours began that the list shows.
    fn latest_of_ours(&self, sids: &HashMap<String, Timestamp>) -> Option<Timestamp> {
        let listed = self.latest.iter().flatten().chain(self.of.values().flatten());
        listed.filter_map(|message| sids.get(message.sid.as_str()).copied()).max()
    }
}

fn evidence(
    known: &Known,
    lists: &Lists,
    sids: &HashMap<String, Timestamp>,
    latest_listed: Option<Timestamp>,
    settings: Reconciliation,
) -> Evidence {
    let is_known = |sid: &MessageSid| sids.contains_key(sid.as_str());
    let listed = lists.of.get(&known.recipient).filter(|_| lists.latest.is_ok());
    let list =
        listed.map(|listed| sift(listed, known.window, &known.recipient, known.text.as_deref(), is_known));
    let mut evidence = Evidence {
        list,
        has_twin: known.has_twin,
        can_receive_callbacks: settings.can_receive_callbacks,
        is_later_listed: known.is_later_listed || latest_listed.is_some_and(|at| at > known.window.ended_at),
        is_later_called_back: known.is_later_called_back,
        searched: known.searched,
        age: known.age,
        grace: settings.grace,
        policy: settings.policies.of(known.category),
        is_expired: known.now >= known.history.deadline,
    };
    if known.was_clear && is_clear(known, &evidence) {
        evidence.searched += known.since_look.unwrap_or_default();
    }
    evidence
}

/// Whether this look could tell something: the grace stands still while list, callbacks or breaker are down.
fn is_clear(known: &Known, evidence: &Evidence) -> bool {
    evidence.list.is_some()
        && !known.is_breaker_open
        && (known.callbacks_arrive || !evidence.can_receive_callbacks)
}

#[cfg(test)]
#[path = "reconciler_tests.rs"]
mod tests;
