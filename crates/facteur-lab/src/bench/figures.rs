//! Arithmetic on what was measured.

/// Three digits after the point: nothing here is known better.
pub(super) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// A count as a number that can be divided.
pub(super) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Microseconds between two instants of one clock, in seconds.
pub(super) fn seconds(from_us: u64, to_us: u64) -> f64 {
    std::time::Duration::from_micros(to_us.saturating_sub(from_us)).as_secs_f64()
}

/// The value below which so many of 100 lie (nearest rank); 0 of nothing.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The most segments in any window of one second. `arrivals` are (microseconds, segments), in order of time.
pub(super) fn worst_second(arrivals: &[(u64, u32)]) -> u32 {
    let (mut first, mut sum, mut worst) = (0, 0, 0);
    for &(at_us, segments) in arrivals {
        sum += segments;
        while arrivals[first].0 + 1_000_000 <= at_us {
            sum -= arrivals[first].1;
            first += 1;
        }
        worst = worst.max(sum);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&values, percent)), [50.0, 99.0, 100.0]);
        assert_eq!(percentile(&[7.0], 50), 7.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }

    #[test]
    fn a_second_is_half_open_and_slides() {
        let arrivals = [(0, 1), (500_000, 2), (999_999, 1), (1_000_000, 1), (1_499_999, 3), (2_600_000, 1)];
        assert_eq!(worst_second(&arrivals), 7);
        assert_eq!(worst_second(&[]), 0);
    }
}
