//! The recorder of metrics. Names, help texts and labels stand in `facteur_worker::metrics` and
//! `facteur_web::metrics`.

use std::time::Duration;

use facteur_core::metric::{Kind, Metric};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;

/// Upper bounds of the buckets of every histogram in seconds: from one call on a local network to the longest
/// wait that is still worth a second look. Without them the exporter makes summaries, which can't be added up
/// over workers.
const SECONDS_BUCKETS: [f64; 20] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0,
    240.0, 360.0, 600.0,
];

/// Histograms grow in memory until the recorder's upkeep folds them.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

fn builder() -> anyhow::Result<PrometheusBuilder> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?)
}

/// Which processes' series a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// The worker's.
    pub worker: bool,
    /// The web process's.
    pub web: bool,
}

/// Installs the recorder for the whole process and makes every series start at zero. The handle renders the
/// text for Prometheus.
///
/// # Errors
/// If a recorder was installed before.
pub fn install(tables: Tables) -> anyhow::Result<PrometheusHandle> {
    let handle = builder()?.install_recorder()?;
    if tables.worker {
        describe(facteur_worker::metrics::ALL);
        facteur_worker::metrics::create();
    }
    if tables.web {
        describe(facteur_web::metrics::ALL);
        facteur_web::metrics::create();
    }
    Ok(handle)
}

fn describe(table: &[Metric]) {
    for metric in table {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
}

/// Folds histograms for ever; run it beside the work.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_histogram_that_adds_up_over_workers() {
        let recorder = builder().unwrap().build_recorder();
        let text = metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("facteur_example_seconds").record(0.003);
            metrics::histogram!("facteur_example_seconds").record(700.0);
            recorder.handle().render()
        });
        assert!(text.contains("# TYPE facteur_example_seconds histogram"), "{text}");
        assert!(text.contains("facteur_example_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("facteur_example_seconds_bucket{le=\"600\"} 1"), "{text}");
        assert!(text.contains("facteur_example_seconds_bucket{le=\"+Inf\"} 2"), "{text}");
    }

    #[test]
    fn bounds_rise_from_a_millisecond_to_ten_minutes() {
        assert!(SECONDS_BUCKETS.is_sorted());
        assert_eq!((SECONDS_BUCKETS.first(), SECONDS_BUCKETS.last()), (Some(&0.001), Some(&600.0)));
    }
}
