use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;

use super::{BATCH_BYTES_MAX, BatchOperation, Batcher, BatcherConfig, SubmitError};
use crate::batch_error::BatchFailure;

/// What happens to one execution.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Nothing is written, and the caller hears of it.
    Unavailable,
    /// Everything is written, and the caller hears that the connection broke.
    ReplyLost,
    /// Nothing is written, and the caller hears nothing.
    Hang,
    /// Everything is written, and the caller hears nothing.
    HangAfter,
}

#[derive(Debug, Clone)]
struct Item {
    key: u8,
    token: usize,
    is_bad: bool,
    bytes: usize,
}

/// What the operation has written: a number for each token, drawn once.
#[derive(Default)]
struct Table {
    numbers: HashMap<usize, usize>,
    order: Vec<usize>,
    open_keys: HashSet<u8>,
    /// Of each batch: items, and bytes.
    sizes: Vec<usize>,
    weights: Vec<usize>,
    faults: Vec<Fault>,
}

#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<Table>>);

impl InMemory {
    fn with_faults(faults: &[Fault]) -> Self {
        let operation = Self::default();
        operation.0.lock().unwrap().faults = faults.iter().rev().copied().collect();
        operation
    }
}

/// Frees the keys also when the execution is given up.
struct OpenKeys(InMemory, Vec<u8>);

impl Drop for OpenKeys {
    fn drop(&mut self) {
        let mut table = self.0.0.lock().unwrap();
        for key in &self.1 {
            table.open_keys.remove(key);
        }
    }
}

impl BatchOperation for InMemory {
    type Item = Item;
    type Key = u8;
    type Answer = (usize, usize);

    fn key(item: &Item) -> u8 {
        item.key
    }

    fn bytes(item: &Item) -> usize {
        item.bytes
    }

    async fn execute(&self, items: &[Item]) -> Result<Vec<(usize, usize)>, BatchFailure> {
        let (_open, fault) = {
            let mut table = self.0.lock().unwrap();
            for item in items {
                assert!(table.open_keys.insert(item.key), "key {} is twice in flight", item.key);
            }
            table.sizes.push(items.len());
            table.weights.push(items.iter().map(|item| item.bytes).sum());
            let fault = table.faults.pop().unwrap_or(Fault::None);
            (OpenKeys(self.clone(), items.iter().map(|item| item.key).collect()), fault)
        };
        tokio::time::sleep(Duration::from_millis(3)).await;
        match fault {
            Fault::Unavailable => return Err(BatchFailure::Unavailable("away".to_owned())),
            Fault::Hang => std::future::pending().await,
            Fault::None | Fault::ReplyLost | Fault::HangAfter => {}
        }
        if items.iter().any(|item| item.is_bad) {
            return Err(BatchFailure::Data("bad".to_owned()));
        }
        let answers = {
            let mut table = self.0.lock().unwrap();
            let mut answers = Vec::new();
            for item in items {
                let next = table.numbers.len();
                let number = *table.numbers.entry(item.token).or_insert(next);
                if number == next {
                    table.order.push(item.token);
                }
                answers.push((item.token, number));
            }
            answers
        };
        match fault {
            Fault::ReplyLost => Err(BatchFailure::Unavailable("reply lost".to_owned())),
            Fault::HangAfter => std::future::pending().await,
            _ => Ok(answers),
        }
    }
}

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

fn config(items_max: usize, batches_in_flight: usize) -> BatcherConfig {
    BatcherConfig { items_max, batches_in_flight, attempt_timeout: ATTEMPT_TIMEOUT }
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

/// Polls once, so that the item is in the queue, and then goes away.
async fn submit_and_leave(batcher: &Batcher<InMemory>, item: Item) {
    let mut submitting = pin!(batcher.submit(item));
    poll_fn(|context| {
        assert!(submitting.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        1 => Just(Fault::Unavailable),
        1 => Just(Fault::ReplyLost),
        1 => Just(Fault::Hang),
        1 => Just(Fault::HangAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever goes wrong, and whoever leaves: each good item is written exactly once, in the order of its key;
    /// each caller that stays gets its own answer; each bad item fails, and it alone.
    #[test]
    fn every_item_is_executed_once_and_answered_for_itself(
        plan in proptest::collection::vec(
            (0u8..6, prop::bool::weighted(0.1), prop::bool::weighted(0.2), 0..BATCH_BYTES_MAX), 1..32
        ),
        faults in proptest::collection::vec(fault(), 0..40),
        items_max in 4usize..9,
        batches_in_flight in 1usize..4,
    ) {
        let operation = InMemory::with_faults(&faults);
        let outcomes = in_virtual_time(async {
            let batcher = Batcher::start(operation.clone(), config(items_max, batches_in_flight));
            let mut stayed = Vec::new();
            for (token, &(key, is_bad, leaves, bytes)) in plan.iter().enumerate() {
                let item = Item { key, token, is_bad, bytes };
                if leaves {
                    submit_and_leave(&batcher, item).await;
                } else {
                    let batcher = batcher.clone();
                    let mut submitting = Box::pin(async move { (token, batcher.submit(item).await) });
                    // Queued in the order of the plan.
                    poll_fn(|context| { assert!(submitting.as_mut().poll(context).is_pending()); Poll::Ready(()) }).await;
                    stayed.push(submitting);
                }
            }
            let outcomes: BTreeMap<_, _> = join_all(stayed).await.into_iter().collect();
            let tasks = batcher.tasks.clone();
            drop(batcher);
            // The last handle is gone: the gatherer ends when all it took is executed.
            tasks.wait().await;
            outcomes
        });
        let table = operation.0.lock().unwrap();
        for (token, &(_, is_bad, leaves, _)) in plan.iter().enumerate() {
            prop_assert_eq!(table.numbers.contains_key(&token), !is_bad, "token {}", token);
            match outcomes.get(&token) {
                None => prop_assert!(leaves),
                Some(Ok((answered, number))) => {
                    prop_assert!(!is_bad && *answered == token && table.numbers[&token] == *number);
                }
                Some(Err(SubmitError::Data(_))) => prop_assert!(is_bad),
                Some(Err(SubmitError::Closed)) => prop_assert!(false, "closed"),
            }
        }
        for key in 0..6 {
            let of_key: Vec<usize> = table.order.iter().copied().filter(|token| plan[*token].0 == key).collect();
            prop_assert!(of_key.is_sorted(), "key {} was executed in the order {:?}", key, of_key);
        }
        prop_assert!(table.sizes.iter().all(|size| *size <= items_max));
        prop_assert!(table.weights.iter().all(|bytes| *bytes <= BATCH_BYTES_MAX));
    }
}

fn good(key: u8) -> Item {
    Item { key, token: usize::from(key), is_bad: false, bytes: 1_000 }
}

#[tokio::test(start_paused = true)]
async fn an_idle_batcher_executes_at_once_and_a_busy_one_gathers() {
    let operation = InMemory::default();
    let batcher = Batcher::start(operation.clone(), config(256, 1));
    let first = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.submit(good(0)).await }
    });
    // The first item is in flight for 3 ms of virtual time; the others arrive meanwhile.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let others = join_all((1..=100).map(|key| batcher.submit(good(key)))).await;
    assert!(first.await.unwrap().is_ok() && others.iter().all(Result::is_ok));
    assert_eq!(operation.0.lock().unwrap().sizes, [1, 100]);
    assert_eq!(operation.0.lock().unwrap().order, (0..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn large_items_travel_few_at_a_time_and_the_largest_alone() {
    let operation = InMemory::default();
    let batcher = Batcher::start(operation.clone(), config(256, 1));
    let large = |key: u8| Item { bytes: BATCH_BYTES_MAX / 8, ..good(key) };
    let too_large = Item { bytes: BATCH_BYTES_MAX * 2, ..good(16) };
    let items = (0..16).map(large).chain([too_large, good(17)]);
    let answers = join_all(items.map(|item| batcher.submit(item))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(operation.0.lock().unwrap().sizes, [8, 8, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn one_bad_row_among_many_fails_alone_after_few_statements() {
    let operation = InMemory::default();
    let batcher = Batcher::start(operation.clone(), config(256, 1));
    let item = |key: u8| Item { is_bad: key == 77, ..good(key) };
    let answers = join_all((0..=255).map(|key| batcher.submit(item(key)))).await;
    let failed: Vec<usize> = (0..=255).filter(|&key| answers[key].is_err()).collect();
    assert_eq!(failed, [77]);
    // At most the whole, and two halves on each of the eight levels below.
    assert!(operation.0.lock().unwrap().sizes.len() <= 17);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_is_waited_for_without_a_storm() {
    struct Away(tokio::time::Instant, Arc<Mutex<usize>>);
    impl BatchOperation for Away {
        type Item = u8;
        type Key = u8;
        type Answer = u8;
        fn key(item: &u8) -> u8 {
            *item
        }
        async fn execute(&self, items: &[u8]) -> Result<Vec<u8>, BatchFailure> {
            *self.1.lock().unwrap() += 1;
            if tokio::time::Instant::now() < self.0 {
                return Err(BatchFailure::Unavailable("away".to_owned()));
            }
            Ok(items.to_vec())
        }
    }
    let tries = Arc::new(Mutex::new(0));
    let back_at = tokio::time::Instant::now() + Duration::from_secs(3_600);
    let batcher = Batcher::start(Away(back_at, Arc::clone(&tries)), config(256, 1));
    assert_eq!(batcher.submit(7).await, Ok(7));
    assert!(tokio::time::Instant::now() < back_at + Duration::from_secs(8));
    // Each wait is between 2.5 s and 7.5 s once it has grown.
    assert!((480..1_500).contains(&*tries.lock().unwrap()), "{}", tries.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn shutdown_executes_what_waits_and_gives_up_what_can_not_be_executed() {
    let batcher = Batcher::start(InMemory::default(), config(256, 1));
    let answers = join_all((0..10).map(|key| batcher.submit(good(key))));
    let (answers, ()) = tokio::join!(answers, batcher.shutdown());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(batcher.submit(good(1)).await, Err(SubmitError::Closed));

    let away = InMemory::with_faults(&[Fault::Unavailable; 1_000]);
    let batcher = Batcher::start(away, config(256, 1));
    let (answer, ()) = tokio::join!(batcher.submit(good(1)), batcher.shutdown());
    assert_eq!(answer, Err(SubmitError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_number_of_answers_is_given_to_nobody() {
    struct Forgetful;
    impl BatchOperation for Forgetful {
        type Item = u8;
        type Key = u8;
        type Answer = u8;
        fn key(item: &u8) -> u8 {
            *item
        }
        async fn execute(&self, items: &[u8]) -> Result<Vec<u8>, BatchFailure> {
            Ok(items[1..].to_vec())
        }
    }
    let batcher = Batcher::start(Forgetful, config(256, 1));
    let (one, two) = tokio::join!(batcher.submit(1), batcher.submit(2));
    assert!(matches!((one, two), (Err(SubmitError::Data(_)), Err(SubmitError::Data(_)))));
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_dies_takes_only_its_own_items_with_it() {
    struct Fragile;
    impl BatchOperation for Fragile {
        type Item = u8;
        type Key = u8;
        type Answer = u8;
        fn key(_: &u8) -> u8 {
            0
        }
        async fn execute(&self, items: &[u8]) -> Result<Vec<u8>, BatchFailure> {
            assert_ne!(items, [13], "a bug in an operation");
            Ok(items.to_vec())
        }
    }
    // All share one key, so each travels alone and the key has to become free again.
    let batcher = Batcher::start(Fragile, config(256, 2));
    let (one, two, three) = tokio::join!(batcher.submit(1), batcher.submit(13), batcher.submit(2));
    assert_eq!((one, two, three), (Ok(1), Err(SubmitError::Closed), Ok(2)));
}
