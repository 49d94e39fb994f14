//! The routes over real connections, with a real Postgres; each test has a database of its own.

#[cfg(test)]
mod access;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod audit;
mod audited;
#[cfg(test)]
mod back_office;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bulks;
#[cfg(test)]
mod campaigns;
#[cfg(test)]
mod contacts;
#[cfg(test)]
mod document;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod inbound;
#[cfg(test)]
mod integrations;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod media;
#[cfg(test)]
mod nonsense;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod queue_management;
#[cfg(test)]
mod repeated;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod server;
#[cfg(test)]
mod status;
#[cfg(test)]
mod suppressions;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod throughput;
#[cfg(test)]
mod webhook_document;
