//! The simulator over real HTTP, rule by rule.

#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod control;
#[cfg(test)]
mod create;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod official;
#[cfg(test)]
mod process;
#[cfg(test)]
mod resources;
