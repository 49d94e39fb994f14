//! The command line of `tenants`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// What can be changed: at least one of these is named.
const CHANGES: [&str; 7] =
    ["countries", "budget", "quiet_hours", "weight", "language", "country", "time_zone"];

/// What `tenants` does.
#[derive(Debug, Subcommand)]
pub enum TenantsCommand {
    /// Lists the tenants for which something is set.
    List,
    /// Shows what is set for a tenant, and what it has used of its budget.
    Show {
        /// The tenant.
        tenant: String,
    },
    /// Changes what is set for a tenant; what is not named stays.
    Set(TenantSetArgs),
}

/// Options of `tenants set`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(CHANGES)))]
pub struct TenantSetArgs {
    /// The tenant.
    pub tenant: String,
    /// The only countries that it writes to, such as FR,BE, or `all`.
    #[arg(long, value_name = "COUNTRIES")]
    pub countries: Option<String>,
    /// Most segments of one day (a day of --time-zone), or `none`. What is beyond waits for midnight.
    #[arg(long, value_name = "SEGMENTS")]
    pub budget: Option<String>,
    /// Whether marketing waits while it is night, or Sunday in some countries, where its recipient may be.
    #[arg(long, value_enum, value_name = "SWITCH")]
    pub quiet_hours: Option<Switch>,
    /// How many turns it gets in a lane where others get one: 1 to 100.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub weight: Option<i32>,
    /// The language of templates for jobs that name none, or `none`.
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// The country of numbers without a country code, or `none` for the configured one.
    #[arg(long, value_name = "COUNTRY")]
    pub country: Option<String>,
    /// The time zone whose midnight renews the budget, such as Europe/Paris.
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn a_change_names_a_tenant_and_something() {
        let parse = |line: &str| {
            Cli::try_parse_from(["facteur", "tenants"].into_iter().chain(line.split_whitespace())).map(|_| ())
        };
        for good in [
            "list",
            "show acme",
            "set acme --countries FR,BE",
            "set acme --budget 100 --quiet-hours on --weight 3 --language fr --country FR --time-zone Europe/Paris",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
        for bad in ["", "set", "set acme", "set acme --quiet-hours maybe", "set acme --weight 0", "show"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
