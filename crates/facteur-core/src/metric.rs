//! Metrics as documented: each process has a table of its own, the reference page is made from all of them.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds.
    Histogram,
}

impl Kind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric as documented.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// The metric as a row of the reference page.
    #[must_use]
    pub fn row(&self) -> String {
        let labels = self.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |\n", self.name, self.kind.as_str(), self.help)
    }
}

/// Makes the constants of a table of metrics, and the table itself as `ALL`.
#[macro_export]
macro_rules! metrics_table {
    ($( $constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal; )+) => {
        $( const $constant: &str = $name; )+

        /// Every metric of this process.
        pub const ALL: &[$crate::metric::Metric] = &[ $( $crate::metric::Metric {
            name: $name,
            kind: $crate::metric::Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        } ),+ ];
    };
}
