//! Work on many items at a time whose results are taken in the order of the items.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Result;

/// How often a consumer that waits is asked whether it has something else to do.
const TICK: Duration = Duration::from_millis(500);

/// Takes results, on one thread.
pub(super) trait Consumer<R> {
    /// A result is there; those of items before it may not be.
    fn arrived(&mut self, result: &R) -> Result<()>;

    /// The next result in the order of the items.
    fn in_order(&mut self, result: R) -> Result<()>;

    /// Asked after each arrival, and at least once a second.
    fn tick(&mut self) -> Result<()>;
}

/// What the workers share.
struct Feed<I> {
    items: I,
    /// Items handed out.
    taken: usize,
    /// Results that were consumed in order.
    consumed: usize,
    stopped: bool,
}

/// Does `work` on every item, on `workers` threads that take the items one after the other, and hands the results to
/// the consumer. At most `ahead` items are in memory that are not consumed. The first error, in the order of the items,
/// ends it; no item is begun after it. Each thread has a scratch memory of its own, which is no part of what comes out.
pub(super) fn in_order<T: Send, R: Send, S: Default>(
    items: impl Iterator<Item = Result<T>> + Send,
    [workers, ahead]: [usize; 2],
    work: impl Fn(&mut S, T) -> Result<R> + Sync,
    consumer: &mut impl Consumer<R>,
) -> Result<()> {
    let feed = Mutex::new(Feed { items, taken: 0, consumed: 0, stopped: false });
    let room = Condvar::new();
    let (results, arrivals) = channel();
    let worker = |results: std::sync::mpsc::Sender<(usize, Result<R>)>| {
        let _stop = StopOnPanic(&feed, &room);
        let mut scratch = S::default();
        while let Some((at, item)) = take(&feed, &room, ahead) {
            let result = item.and_then(|item| work(&mut scratch, item));
            if result.is_err() {
                stop(&feed, &room);
            }
            if results.send((at, result)).is_err() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            let results = results.clone();
            scope.spawn(|| worker(results));
        }
        drop(results);
        let _stop = StopOnPanic(&feed, &room);
        let outcome = consume(arrivals, &feed, &room, consumer);
        stop(&feed, &room);
        outcome
    })
}

/// Consumes results until all workers have ended.
fn consume<I, R>(
    arrivals: std::sync::mpsc::Receiver<(usize, Result<R>)>,
    feed: &Mutex<Feed<I>>,
    room: &Condvar,
    consumer: &mut impl Consumer<R>,
) -> Result<()> {
    let mut waiting: BTreeMap<usize, Result<R>> = BTreeMap::new();
    let mut next = 0;
    loop {
        match arrivals.recv_timeout(TICK) {
            Ok((at, result)) => {
                result.as_ref().map_or(Ok(()), |result| consumer.arrived(result))?;
                waiting.insert(at, result);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while let Some(result) = waiting.remove(&next) {
            consumer.in_order(result?)?;
            next += 1;
            lock(feed).consumed = next;
            room.notify_all();
        }
        consumer.tick()?;
    }
}

/// The next item and its number, once there is room for it.
fn take<T>(
    feed: &Mutex<Feed<impl Iterator<Item = Result<T>>>>,
    room: &Condvar,
    ahead: usize,
) -> Option<(usize, Result<T>)> {
    let mut feed = lock(feed);
    while !feed.stopped && feed.taken - feed.consumed >= ahead.max(1) {
        feed = room.wait(feed).unwrap_or_else(PoisonError::into_inner);
    }
    if feed.stopped {
        return None;
    }
    let item = feed.items.next();
    if item.is_none() {
        feed.stopped = true;
        room.notify_all();
    }
    feed.taken += 1;
    item.map(|item| (feed.taken - 1, item))
}

fn lock<I>(feed: &Mutex<Feed<I>>) -> MutexGuard<'_, Feed<I>> {
    feed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop<I>(feed: &Mutex<Feed<I>>, room: &Condvar) {
    lock(feed).stopped = true;
    room.notify_all();
}

/// Stops all workers where one panics: its result would be waited for.
struct StopOnPanic<'a, I>(&'a Mutex<Feed<I>>, &'a Condvar);

impl<I> Drop for StopOnPanic<'_, I> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            stop(self.0, self.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::Error;
    use super::*;

    #[derive(Default)]
    struct Seen {
        arrived: Vec<usize>,
        in_order: Vec<usize>,
        most_waiting: usize,
        fails_at: Option<usize>,
    }

    impl Consumer<usize> for Seen {
        fn arrived(&mut self, result: &usize) -> Result<()> {
            self.arrived.push(*result);
            self.most_waiting = self.most_waiting.max(self.arrived.len() - self.in_order.len());
            Ok(())
        }

        fn in_order(&mut self, result: usize) -> Result<()> {
            if self.fails_at == Some(result) {
                return Err(failure(result));
            }
            self.in_order.push(result);
            Ok(())
        }

        fn tick(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn failure(at: usize) -> Error {
        Error::Strict { case: at.to_string(), reason: String::new() }
    }

    #[test]
    fn results_come_in_order_and_few_wait() {
        for workers in [1, 2, 7] {
            let mut seen = Seen::default();
            let slow = |(): &mut (), i: usize| {
                std::thread::sleep(Duration::from_micros(if i.is_multiple_of(10) { 2000 } else { 10 }));
                Ok(i)
            };
            in_order((0..200).map(Ok), [workers, 3 * workers], slow, &mut seen).unwrap();
            assert!(seen.in_order.iter().copied().eq(0..200));
            seen.arrived.sort_unstable();
            assert_eq!(seen.arrived, seen.in_order);
            assert!(seen.most_waiting <= 3 * workers, "{}", seen.most_waiting);
        }
    }

    #[test]
    fn the_first_error_ends_it_after_what_comes_before() {
        let begun = AtomicUsize::new(0);
        let work = |(): &mut (), i: usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if i >= 20 { Err(failure(i)) } else { Ok(i) }
        };
        let mut seen = Seen::default();
        let error = in_order((0..1000).map(Ok), [4, 8], work, &mut seen).unwrap_err();
        assert_eq!(error.to_string(), failure(20).to_string());
        assert!(seen.in_order.iter().copied().eq(0..20));
        assert!(begun.load(Ordering::Relaxed) <= 28);

        let items = (0..1000).map(|i| if i == 5 { Err(failure(i)) } else { Ok(i) });
        let mut seen = Seen::default();
        assert!(in_order(items, [4, 8], |(): &mut (), i| Ok(i), &mut seen).is_err());
        assert!(seen.in_order.iter().copied().eq(0..5));

        let mut seen = Seen { fails_at: Some(9), ..Seen::default() };
        assert!(in_order((0..1000).map(Ok), [4, 8], |(): &mut (), i| Ok(i), &mut seen).is_err());
        assert!(seen.in_order.iter().copied().eq(0..9));
    }

    #[test]
    fn a_panic_does_not_wait_for_ever() {
        let work = |(): &mut (), i: usize| if i == 3 { panic!("on purpose") } else { Ok(i) };
        let run = || in_order((0..1000).map(Ok), [2, 4], work, &mut Seen::default());
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
