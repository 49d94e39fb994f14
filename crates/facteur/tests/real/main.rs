//! The real binary on a real broker and database, against the simulator: the promises, seen from outside.

#[cfg(test)]
mod api;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bulks;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod integrations;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod system;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod twilio_away;
#[cfg(test)]
mod uncertain;
#[cfg(test)]
mod work;
