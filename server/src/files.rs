//! How many files and connections the system lets this process have open.
//!
//! What does not belong here: how many the server wants (`config.rs`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server has open besides the connections of its clients: those to the database, to the collector of traces and
/// on the ops listener, those that are turned away, files, listeners.
const BESIDE_CLIENTS: u64 = 1_000;

/// Makes room for so many connections of clients, as far as the system allows it, and warns if that is not enough.
pub(crate) fn make_room(max_connections: usize) {
    let wanted = BESIDE_CLIENTS + max_connections as u64;
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    let outcome = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    let open_files_max = if outcome.is_ok() { raised } else { current };
    if open_files_max < wanted {
        tracing::warn!(
            open_files_max,
            wanted,
            "the system allows fewer open files than MAX_CONNECTIONS needs: raise the limit (LimitNOFILE, ulimit -n), or \
             lower MAX_CONNECTIONS"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        make_room(1);
        assert!(getrlimit(Resource::Nofile).current >= before.current);
        make_room(1_000_000_000);
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: before.maximum, maximum: before.maximum });
    }
}
