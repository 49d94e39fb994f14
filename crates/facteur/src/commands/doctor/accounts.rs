//! The examination of tenants' own accounts: each is asked for with its stored credentials.

use std::collections::BTreeMap;

use facteur_postgres::Database;
use facteur_postgres::integrations::{self, IntegrationRow, ROWS_MAX};

use super::{Finding, Verdict, finding};
use crate::commands::integrations::look;
use crate::config::Config;

/// Most accounts that are asked for; the rest is only counted.
const LOOKS_MAX: usize = 20;

/// Examines them.
pub(super) async fn examine(database: &Database, config: &Config) -> Vec<Finding> {
    let rows = match integrations::list(database, None, None, ROWS_MAX).await {
        Ok(rows) => rows,
        Err(error) => return vec![finding("integrations", Verdict::Fail, error.to_string())],
    };
    let mut of_accounts: BTreeMap<String, Vec<IntegrationRow>> = BTreeMap::new();
    for row in rows {
        of_accounts.entry(row.account_sid.clone()).or_default().push(row);
    }
    let (mut findings, left) = (Vec::new(), of_accounts.len().saturating_sub(LOOKS_MAX));
    for (account, rows) in of_accounts.into_iter().take(LOOKS_MAX) {
        let (verdict, says) = match look(database, config, &account).await {
            Ok(checked) if checked.is_ok() => (Verdict::Ok, checked.sentence()),
            Ok(checked) => (Verdict::Fail, checked.sentence()),
            Err(error) => (Verdict::Fail, format!("{error:#}")),
        };
        let tenant = rows.first().map(|row| row.tenant.as_str()).unwrap_or_default();
        findings.push(finding("integrations", verdict, format!("{account} of {tenant}: {says}")));
        findings.extend(rows.iter().filter(|row| !row.is_active).map(inactive));
    }
    if left > 0 {
        let says = format!("{left} more account(s) were not looked at: `facteur integrations test` does");
        findings.push(finding("integrations", Verdict::Ok, says));
    }
    findings
}

fn inactive(row: &IntegrationRow) -> Finding {
    let (name, id, tenant) = (&row.name, row.id, &row.tenant);
    let says = format!(
        "{name} of {tenant} is not active: what would leave over it waits (`facteur integrations activate {id}`)"
    );
    finding("integrations", Verdict::Warn, says)
}
