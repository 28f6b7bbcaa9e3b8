//! Polls a future for its own wake-ups only, and for those of its own making at once.
//!
//! A task that waits for several things polls all of them whatever it was woken for. And what a future does while it is
//! polled may wake its own task, as handing over a body does: the task then goes to the end of the queue, only to find
//! everything as it left it. With a waker of its own a future is left alone until something happens to it, and polled
//! again on the spot if it happens meanwhile. What does not belong here: what is waited for (`connection.rs`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Nothing happened since it was polled.
const ASLEEP: u8 = 0;
/// It is being polled, and nothing happened meanwhile.
const POLLED: u8 = 1;
/// Something happened.
const WOKEN: u8 = 2;

/// How often in a row a future is polled that wakes itself. After that others have their turn.
const AT_ONCE_MAX: usize = 4;

/// A future with a waker of its own.
pub(super) struct Woken<F> {
    future: F,
    waker: Waker,
    wakes: Arc<Wakes>,
}

struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // While it is polled, whoever polls it sees this.
        if self.state.swap(WOKEN, Ordering::AcqRel) == ASLEEP {
            self.task.wake();
        }
    }
}

impl<F: Future + Unpin> Woken<F> {
    pub(super) fn new(future: F) -> Self {
        let wakes = Arc::new(Wakes { state: AtomicU8::new(WOKEN), task: AtomicWaker::new() });
        Self { future, waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    /// The future, which is polled again after this.
    pub(super) fn stir(&mut self) -> &mut F {
        self.wakes.state.swap(WOKEN, Ordering::AcqRel);
        &mut self.future
    }
}

impl<F: Future + Unpin> Future for Woken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Before the state is looked at: who wakes it after that finds this task.
        this.wakes.task.register(context.waker());
        for _ in 0..AT_ONCE_MAX {
            // In one step: a wake-up in between would be overwritten, and what it was for not be seen.
            if this.wakes.state.compare_exchange(WOKEN, POLLED, Ordering::AcqRel, Ordering::Acquire).is_err() {
                return Poll::Pending;
            }
            if let Poll::Ready(output) = Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker)) {
                return Poll::Ready(output);
            }
            // Else it was woken meanwhile.
            if this.wakes.state.compare_exchange(POLLED, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use futures_util::task::noop_waker_ref;

    use super::*;

    /// Counts how often it wakes a task.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// A future that is pending `pending` times, and calls `meanwhile` with its waker and the number of the poll.
    fn waiting(pending: usize, meanwhile: impl Fn(&Waker, usize) + Unpin) -> impl Future<Output = usize> + Unpin {
        let mut polls = 0;
        poll_fn(move |context| {
            polls += 1;
            meanwhile(context.waker(), polls);
            if polls > pending { Poll::Ready(polls) } else { Poll::Pending }
        })
    }

    #[test]
    fn it_is_left_alone_until_it_is_woken() {
        let wakers = std::sync::Mutex::new(Vec::new());
        let mut woken = Woken::new(waiting(1, |waker, _| wakers.lock().expect("no panic").push(waker.clone())));
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        for _ in 0..3 {
            assert_eq!(Pin::new(&mut woken).poll(&mut context), Poll::Pending);
        }
        let kept = wakers.lock().expect("no panic").clone();
        assert_eq!((kept.len(), task.woken()), (1, 0));
        kept[0].wake_by_ref();
        kept[0].wake_by_ref();
        assert_eq!(task.woken(), 1);
        assert_eq!(Pin::new(&mut woken).poll(&mut context), Poll::Ready(2));
    }

    #[test]
    fn it_wakes_the_task_that_polled_it_last() {
        let wakers = std::sync::Mutex::new(Vec::new());
        let mut woken = Woken::new(waiting(9, |waker, _| wakers.lock().expect("no panic").push(waker.clone())));
        let (first, last) = (Arc::new(Task::default()), Arc::new(Task::default()));
        for task in [&first, &last] {
            let waker = Waker::from(Arc::clone(task));
            assert_eq!(Pin::new(&mut woken).poll(&mut Context::from_waker(&waker)), Poll::Pending);
        }
        wakers.lock().expect("no panic")[0].wake_by_ref();
        assert_eq!((first.woken(), last.woken()), (0, 1));
    }

    #[test]
    fn what_wakes_itself_is_polled_again_at_once_and_not_for_ever() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        let mut once = Woken::new(waiting(1, |waker, _| waker.wake_by_ref()));
        assert_eq!(Pin::new(&mut once).poll(&mut context), Poll::Ready(2));
        assert_eq!(task.woken(), 0);
        let mut for_ever = Woken::new(waiting(usize::MAX, |waker, polls| {
            assert!(polls <= AT_ONCE_MAX, "others have no turn");
            waker.wake_by_ref();
        }));
        assert_eq!(Pin::new(&mut for_ever).poll(&mut context), Poll::Pending);
        assert_eq!(task.woken(), 1);
    }

    #[test]
    fn what_was_changed_from_outside_is_polled_again() {
        let mut woken = Woken::new(waiting(1, |_, _| {}));
        let mut context = Context::from_waker(noop_waker_ref());
        assert_eq!(Pin::new(&mut woken).poll(&mut context), Poll::Pending);
        assert_eq!(Pin::new(&mut woken).poll(&mut context), Poll::Pending);
        woken.stir();
        assert_eq!(Pin::new(&mut woken).poll(&mut context), Poll::Ready(2));
    }

    #[test]
    fn no_wake_up_of_another_thread_is_lost() {
        // Each round is ended by another thread, which wakes the future for nothing first: so the wake-up that counts comes
        // before, while or after a poll. If it were lost, this would wait for ever.
        const ROUNDS: usize = 20_000;
        let done = Arc::new(AtomicUsize::new(0));
        let (wakers, to_wake) = std::sync::mpsc::channel::<Waker>();
        let waking = std::thread::spawn({
            let done = Arc::clone(&done);
            move || {
                for (round, waker) in (1..).zip(to_wake) {
                    waker.wake_by_ref();
                    done.store(round, Ordering::Release);
                    waker.wake();
                }
            }
        });
        let mut round = 0;
        let woken = Woken::new(poll_fn(move |context| {
            while done.load(Ordering::Acquire) == round {
                if round == ROUNDS {
                    return Poll::Ready(());
                }
                round += 1;
                wakers.send(context.waker().clone()).expect("it listens");
            }
            Poll::Pending
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(woken);
        waking.join().expect("no panic");
    }
}
