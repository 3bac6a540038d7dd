//! Calls functions whose panics are answers, such as that of a library that lacks a symbol, without their message on the
//! terminal.
#![cfg_attr(not(any(feature = "cuda", test)), expect(dead_code, reason = "only the CUDA driver panics so"))]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls a function; a panic is returned, and no hook sees it. Panics of other threads meanwhile are reported as ever: one
/// hook for the whole program asks each thread whether it is quiet.
pub(super) fn quietly<T>(f: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                usual(panic);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    IS_QUIET.set(before);
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_quiet_panics_are_hidden_whatever_other_threads_do() {
        let reported = Arc::new(AtomicUsize::new(0));
        let (counter, usual) = (Arc::clone(&reported), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>().is_some_and(|text| *text == "loud") {
                counter.fetch_add(1, Ordering::SeqCst);
            } else {
                usual(panic);
            }
        }));
        let loud = || catch_unwind(|| std::panic::panic_any("loud")).unwrap_err();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let quiet = quietly(|| std::panic::panic_any("loud")).unwrap_err();
                        assert_eq!(quiet.downcast_ref(), Some(&"loud"));
                        loud();
                    }
                });
            }
        });
        assert_eq!(reported.load(Ordering::SeqCst), 8 * 50);
        assert_eq!(quietly(|| 3).unwrap(), 3);
    }
}
