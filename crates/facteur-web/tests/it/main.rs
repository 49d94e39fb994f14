//! The routes over real connections, with a real Postgres; each test has a database of its own.

#[cfg(test)]
mod access;
#[cfg(test)]
mod document;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod inbound;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod server;
#[cfg(test)]
mod status;
#[cfg(test)]
mod suppressions;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod throughput;
