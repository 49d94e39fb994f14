//! The ledger on a real Postgres: claim, record, settlement, sweep and slots.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod records;
#[cfg(test)]
mod settlements;
#[cfg(test)]
mod slots;
