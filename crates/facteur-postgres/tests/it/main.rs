//! The crate against a real Postgres; each test has a database of its own.

#[cfg(test)]
mod acts;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod enqueue;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod keeper;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod template_book;
#[cfg(test)]
mod workers;
