//! The ledger on a real Postgres: claim, record, settlement, sweep and slots.

#[cfg(test)]
mod acceptances;
#[cfg(test)]
mod breakers;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod bulk_retries;
#[cfg(test)]
mod bulks;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod cancels;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod erasures;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod integrations;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod rate_lines;
#[cfg(test)]
mod reconciliations;
#[cfg(test)]
mod records;
#[cfg(test)]
mod settlements;
#[cfg(test)]
mod slots;
