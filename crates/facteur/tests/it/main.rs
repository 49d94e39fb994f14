//! The real binary: what it prints, how it ends, and that the pages made from the code are up to date.

#[cfg(test)]
mod binary;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod control;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod services;
#[cfg(test)]
mod worker;
