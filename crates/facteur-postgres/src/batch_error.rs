//! What can go wrong with a statement: the rows are at fault, or the database can't answer now.

use std::error::Error as _;

use deadpool_postgres::{PoolError, TimeoutType};

/// Why a statement failed. Both sentences are free of personal data: Postgres quotes values of refused rows,
/// so only the names of tables, columns and constraints are passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchFailure {
    /// A row is at fault (SQLSTATE classes 21, 22, 23 and 54): the same row fails again.
    #[error("{0}")]
    Data(String),
    /// The database can't answer now, or nobody knows whether it has committed: the same again, later.
    #[error("{0}")]
    Unavailable(String),
}

impl From<tokio_postgres::Error> for BatchFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        classify(error)
    }
}

impl From<PoolError> for BatchFailure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => classify(error),
            PoolError::Timeout(TimeoutType::Wait) => {
                Self::Unavailable("every connection of the pool is in use for too long".to_owned())
            }
            PoolError::Timeout(_) => Self::Unavailable("Postgres did not answer in time".to_owned()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Classifies by SQLSTATE: 21, 22, 23 and 54 (too large) are about the rows; everything else, also deadlocks, serialisation
/// failures, a missing table and a lost connection, is worth another try.
pub fn classify(error: tokio_postgres::Error) -> BatchFailure {
    let Some(answer) = error.as_db_error() else {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        return BatchFailure::Unavailable(format!("{error}{cause}"));
    };
    let code = answer.code().code();
    let class = code.get(..2).unwrap_or_default();
    // What somebody may have asked for is told in words of theirs.
    if code == "22008" {
        let sentence = "an instant lies outside of what can be stored: the years -4713 to 294276";
        return BatchFailure::Data(sentence.to_owned());
    }
    if matches!(class, "21" | "22" | "23" | "54") {
        let named =
            |kind: &str, name: Option<&str>| name.map(|name| format!(", {kind} {name}")).unwrap_or_default();
        let table = named("table", answer.table());
        let column = named("column", answer.column());
        let constraint = named("constraint", answer.constraint());
        return BatchFailure::Data(format!(
            "Postgres refused a row (SQLSTATE {code}{table}{column}{constraint})"
        ));
    }
    // These classes speak about the server or the schema, never about values.
    if class == "42" {
        // It is tried again all the same: a migration that is under way may make it right.
        tracing::error!(
            sqlstate = code,
            error = answer.message(),
            "Postgres does not understand a statement: the schema is another release's (run `facteur migrate`) or rights \
             are missing; it is tried again, and nothing that needs it goes on"
        );
    }
    let is_harmless = matches!(class, "08" | "40" | "42" | "53" | "55" | "57");
    let message = if is_harmless { format!(": {}", answer.message()) } else { String::new() };
    BatchFailure::Unavailable(format!("Postgres failed (SQLSTATE {code}){message}"))
}
