//! The real binary on a real broker and database, against the simulator: the promises, seen from outside.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod system;
#[cfg(test)]
mod uncertain;
#[cfg(test)]
mod work;
