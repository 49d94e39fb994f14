//! Ten minutes without Twilio, in virtual time: several workers' breakers, the rows that they share, and a stream of
//! messages. The rows move by the same table as in Postgres, and the duty is the worker's, a second at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::breaker::{Breaker, Cause, Change, Fault, State, after};
use facteur_core::hold::{Fuse, Hold};
use facteur_core::ids::MessageSid;
use facteur_core::outcome::Outcome;
use facteur_core::sender::Sender;
use facteur_core::status::TwilioStatus;
use facteur_worker::breakers::Breakers;
use facteur_worker::clock::Clock;

const ACCOUNT: &str = "AC1";
const WORKERS: usize = 3;
const STEP: Duration = Duration::from_millis(100);
/// How long a message that met the fault itself steps aside.
const PARKED_STEPS: u64 = 50;

struct Outage {
    clock: Clock,
    workers: Vec<Breakers>,
    row: Option<Breaker>,
    line: VecDeque<u64>,
    parked: VecDeque<(u64, u64)>,
    sent: Vec<u64>,
    calls_while_away: u64,
    probes_while_away: u64,
    /// What a call comes to while Twilio is away.
    away: fn() -> Outcome,
    is_away: bool,
}

fn fuse() -> Fuse {
    Fuse::Integration(ACCOUNT.to_owned())
}

fn unreachable() -> Outcome {
    Outcome::Unreachable { cause: "refused".to_owned() }
}

fn failing() -> Outcome {
    Outcome::Uncertain { cause: "Twilio answered HTTP 503".to_owned(), http_status: Some(503) }
}

fn bad_login() -> Outcome {
    Outcome::Refused { code: Some(20_003), http_status: 401, message: "no".to_owned() }
}

fn accepted() -> Outcome {
    let sid = MessageSid::parse(&format!("SM{:032x}", 1)).unwrap();
    Outcome::Accepted { sid, twilio_status: TwilioStatus::Queued }
}

impl Outage {
    fn new(away: fn() -> Outcome) -> Self {
        let clock = Clock::virtual_from(Timestamp::UNIX_EPOCH, 0);
        let workers = (0..WORKERS).map(|_| Breakers::new(clock.clone())).collect();
        Self {
            clock,
            workers,
            row: None,
            line: VecDeque::new(),
            parked: VecDeque::new(),
            sent: Vec::new(),
            calls_while_away: 0,
            probes_while_away: 0,
            away,
            is_away: false,
        }
    }

    /// One message at one worker.
    fn live(&mut self, message: u64, step: u64) {
        let sender = Sender::parse("+15005550006").unwrap();
        let breakers = self.workers[usize::try_from(message).unwrap() % WORKERS].clone();
        let pass = breakers.pass(ACCOUNT, &sender);
        if let Err(hold) = pass {
            assert_eq!(hold, Hold::Breaker(fuse()));
            self.line.push_back(message);
            return;
        }
        let outcome = if self.is_away { (self.away)() } else { accepted() };
        self.calls_while_away += u64::from(self.is_away);
        breakers.told(ACCOUNT, &sender, breakers.now(), &outcome);
        if self.is_away {
            self.parked.push_back((step + PARKED_STEPS, message));
        } else {
            self.sent.push(message);
        }
    }

    fn change(&mut self, change: &Change) -> bool {
        let moved = after(&fuse(), self.row.as_ref(), change, self.clock.now());
        let is_moved = moved.is_some();
        self.row = moved.or(self.row.take());
        is_moved
    }

    /// What each worker does once a second. Returns what comes out of the line.
    fn duty(&mut self, worker: usize) -> Vec<u64> {
        let breakers = self.workers[worker].clone();
        for change in breakers.untold().into_values() {
            self.change(&change);
        }
        let state = self.row.as_ref().map_or(State::Closed, |row| row.state);
        let rows = if state == State::Closed { BTreeMap::new() } else { BTreeMap::from([(fuse(), state)]) };
        breakers.follow(&rows);
        let released = match state {
            State::Closed => self.line.len(),
            State::Open | State::HalfOpen if !self.change(&Change::Try) => 0,
            State::HalfOpen => usize::try_from(breakers.trials_max(&fuse())).unwrap(),
            State::Open => {
                self.probes_while_away += u64::from(self.is_away);
                let down = Change::Down(Fault::new(Cause::Failing, "no answer"));
                self.change(if self.is_away { &down } else { &Change::Answered });
                0
            }
        };
        self.line.drain(..released.min(self.line.len())).collect()
    }

    /// Three messages a step, for so long.
    async fn stream(&mut self, from_step: u64, steps: u64) {
        for step in from_step..from_step + steps {
            tokio::time::advance(STEP).await;
            let mut due: Vec<u64> = (0..3).map(|nth| step * 3 + nth).collect();
            while self.parked.front().is_some_and(|(at, _)| *at <= step) {
                due.extend(self.parked.pop_front().map(|(_, message)| message));
            }
            if step % 10 == 0 {
                for worker in 0..WORKERS {
                    due.extend(self.duty(worker));
                }
            }
            for message in due {
                self.live(message, step);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_twilio_cost_a_handful_of_calls_and_no_message() {
    for (away, calls_max) in [(unreachable as fn() -> Outcome, 15), (failing, 15), (bad_login, 3)] {
        let mut outage = Outage::new(away);
        outage.stream(0, 600).await;
        assert_eq!((outage.line.len(), outage.sent.len()), (0, 1_800), "all is well at first");
        outage.is_away = true;
        outage.stream(600, 6_000).await;
        let calls = outage.calls_while_away;
        assert!(calls <= calls_max, "{calls} calls were made at a Twilio that is away");
        assert!((5..=20).contains(&outage.probes_while_away), "{} probes", outage.probes_while_away);
        outage.is_away = false;
        // The longest wait between two probes of a failing Twilio is a minute; three trials follow.
        outage.stream(6_600, 800).await;
        assert_eq!(outage.row.as_ref().map(|row| row.state), Some(State::Closed));
        assert_eq!((outage.line.len(), outage.parked.len()), (0, 0));
        outage.sent.sort_unstable();
        assert_eq!(outage.sent, (0..7_400 * 3).collect::<Vec<_>>(), "each message leaves once");
    }
}
