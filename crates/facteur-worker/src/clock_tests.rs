use super::*;

/// A machine whose clocks a test sets.
#[derive(Clone)]
struct Fake(Arc<Mutex<(Timestamp, Duration)>>);

impl Fake {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((at(1_000_000), Duration::from_secs(500)))))
    }

    /// Time goes on.
    fn pass(&self, seconds: u64) {
        let mut clocks = self.0.lock().unwrap();
        clocks.0 += Duration::from_secs(seconds);
        clocks.1 += Duration::from_secs(seconds);
    }

    /// Somebody sets the wall clock.
    fn jump(&self, seconds: i64) {
        let mut clocks = self.0.lock().unwrap();
        clocks.0 += SignedDuration::from_secs(seconds);
    }
}

impl TimeSource for Fake {
    fn wall(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    fn uptime(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(duration: SignedDuration) -> i64 {
    duration.as_secs()
}

#[test]
fn a_wall_clock_that_jumps_moves_no_deadline() {
    let machine = Fake::new();
    let clock = Clock::of(machine.clone(), 1);
    let deadline = at(1_000_060);
    machine.pass(10);
    for jump in [3_600, -7_200, 86_400 * 365, -86_400 * 900] {
        machine.jump(jump);
        assert_eq!(clock.now(), at(1_000_010), "jumped by {jump} s");
        assert!(clock.now() < deadline);
    }
    machine.pass(49);
    assert!(clock.now() < deadline);
    machine.pass(1);
    assert!(clock.now() >= deadline, "time goes on all the same");
}

#[test]
fn time_follows_the_databases_clock_in_every_clone_and_stays_with_it() {
    let machine = Fake::new();
    machine.jump(3_600);
    let clock = Clock::of(machine.clone(), 1);
    let lane = clock.clone();
    assert_eq!(lane.now(), at(1_003_600));
    let heard = clock.hear(at(1_000_000), clock.awake_or_not()).unwrap();
    assert_eq!((seconds(heard.ahead), seconds(heard.moved)), (-3_600, -3_600));
    assert_eq!(lane.now(), at(1_000_000));
    machine.pass(60);
    let heard = clock.hear(at(1_000_060), clock.awake_or_not()).unwrap();
    assert_eq!(
        (seconds(heard.ahead), heard.moved),
        (-3_600, SignedDuration::ZERO),
        "told, and nothing moves"
    );
    // Somebody repairs the wall clock: what we follow has not changed.
    machine.jump(-3_600);
    let heard = clock.hear(at(1_000_060), clock.awake_or_not()).unwrap();
    assert_eq!((heard.ahead, heard.moved), (SignedDuration::ZERO, SignedDuration::ZERO));
    assert_eq!(lane.now(), at(1_000_060));
}

#[test]
fn small_differences_and_slow_answers_move_nothing() {
    let machine = Fake::new();
    let clock = Clock::of(machine.clone(), 1);
    let near = at(1_000_000) + Duration::from_millis(900);
    assert_eq!(clock.hear(near, clock.awake_or_not()).unwrap().moved, SignedDuration::ZERO);
    // The answer took 20 s, and the database may have read its clock at either end of them.
    let asked = clock.awake_or_not();
    machine.pass(20);
    for read_at in [1_000_000, 1_000_010, 1_000_020] {
        assert_eq!(clock.hear(at(read_at), asked).unwrap().moved, SignedDuration::ZERO, "{read_at}");
    }
    assert_eq!(clock.now(), at(1_000_020));
    assert_eq!(seconds(clock.hear(at(1_000_040), asked).unwrap().moved), 30);
}

#[test]
fn the_systems_clock_starts_with_the_machines_and_virtual_time_hears_nothing() {
    let clock = Clock::system();
    let (before, machine) = (Machine.wall(), clock.now());
    assert!(machine.duration_since(before).abs() < SignedDuration::from_secs(60));
    let tokio =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    tokio.block_on(async {
        let clock = Clock::virtual_from(at(5), 1);
        assert_eq!(clock.hear(at(9), Duration::ZERO), None);
        assert_eq!(clock.now(), at(5));
    });
}

#[test]
fn ids_are_drawn_once_and_sort_by_time() {
    let machine = Fake::new();
    let clock = Clock::of(machine.clone(), 1);
    let first = clock.id();
    assert_ne!(first, clock.id());
    machine.pass(1);
    assert!(first < clock.id() && first.get_version_num() == 7);
}
