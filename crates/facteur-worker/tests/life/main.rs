//! One job's life on in-memory ports and virtual time: faults are data, a crash is tried after every single
//! effect, and what must hold is written once.
//!
//! Start with [`ops`] (what can happen) and [`invariants`] (what must hold whatever happens). [`run`] plays a
//! list of operations over a [`world`] of a broker, a ledger and a Twilio in memory; the ledger keeps the rules
//! of `facteur-postgres`. [`scenarios`] are lists with a known end, [`crash_points`] kills a worker at every
//! effect of each of them, and [`seeds`] draws lists at random.

#![expect(clippy::unwrap_used, reason = "a test that can't go on stops")]

mod broker;
mod crash_points;
mod invariants;
mod jobs;
mod ledger;
mod limiter;
mod ops;
mod outage;
mod ports;
mod reproduction;
mod run;
mod scenarios;
mod search;
mod seeds;
mod twilio;
mod world;
