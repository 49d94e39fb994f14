//! The routes over real connections, with a real Postgres; each test has a database of its own.

#[cfg(test)]
mod access;
#[cfg(test)]
mod bulks;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod server;
#[cfg(test)]
mod status;
#[cfg(test)]
mod throughput;
