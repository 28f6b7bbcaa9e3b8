//! In what pieces Linux gives this process memory, by how many connections it keeps.
//!
//! The allocator asks for huge pages (2 MiB), in which addresses are found sooner: a tenth more requests. But of the buffers of a
//! connection that waits only a little is ever touched, and in huge pages all of them is there. So from some thousand
//! connections on pages are small. What does not belong here: how many connections there may be (`server.rs`).

use std::sync::Once;

use rustix::thread::disable_transparent_huge_pages;

/// With more connections than this, what they occupy counts for more than how fast it is found.
const MANY: usize = 2_000;

/// Once there are many connections, takes what memory it needs from here on in small pages.
pub(super) fn fit_to(connections: usize) {
    static SMALL_PAGES: Once = Once::new();
    if connections > MANY {
        SMALL_PAGES.call_once(|| {
            if let Err(error) = disable_transparent_huge_pages(true) {
                // A system that has none, or does not let us choose.
                tracing::debug!(%error, "memory is taken in pages of whatever size the system likes");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::transparent_huge_pages_are_disabled;

    use super::*;

    #[test]
    fn pages_are_small_from_many_connections_on() {
        let before = transparent_huge_pages_are_disabled();
        fit_to(MANY);
        assert_eq!(transparent_huge_pages_are_disabled(), before);
        fit_to(MANY + 1);
        assert_eq!(transparent_huge_pages_are_disabled(), Ok(true));
    }
}
