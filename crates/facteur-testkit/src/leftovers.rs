//! Names of what a test makes, and which of them were left behind by a test that was killed.

use std::path::Path;

use uuid::Uuid;

const PREFIX: &str = "facteur_test_";
/// Where processes can't be asked, nothing of ours is needed for longer.
const AGE_S_MAX: u64 = 24 * 60 * 60;

/// A new name that says whose it is and, in its UUID, since when.
pub(crate) fn new_name() -> String {
    format!("{PREFIX}{}_{}", std::process::id(), Uuid::now_v7().simple())
}

/// Whether nobody needs what has that name. On a service shared with other machines a process number says nothing.
pub(crate) fn is_leftover(name: &str, is_private: bool) -> bool {
    is_leftover_at(name, is_private, Uuid::now_v7())
}

fn is_leftover_at(name: &str, is_private: bool, now: Uuid) -> bool {
    let Some((process, id)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
        return false;
    };
    let (Ok(process), Some(made)) = (process.parse::<u32>(), Uuid::parse_str(id).ok().and_then(seconds))
    else {
        return false;
    };
    if is_private {
        return !Path::new("/proc").join(process.to_string()).exists();
    }
    seconds(now).is_some_and(|now| now.saturating_sub(made) > AGE_S_MAX)
}

fn seconds(id: Uuid) -> Option<u64> {
    Some(id.get_timestamp()?.to_unix().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_test_made_is_no_leftover() {
        assert!(!is_leftover(&new_name(), true));
    }

    #[test]
    fn what_a_dead_process_made_is_a_leftover_only_on_our_own_service() {
        let name = format!("{PREFIX}4194305_{}", Uuid::now_v7().simple());
        assert!(is_leftover(&name, true));
        assert!(!is_leftover(&name, false));
    }

    #[test]
    fn what_is_old_is_a_leftover_where_processes_cannot_be_asked() {
        let name = new_name();
        let made = seconds(Uuid::now_v7()).unwrap();
        let later =
            uuid::Builder::from_unix_timestamp_millis((made + AGE_S_MAX + 2) * 1_000, &[0; 10]).into_uuid();
        assert!(is_leftover_at(&name, false, later));
        assert!(!is_leftover_at(&name, true, later), "its process still runs");
    }

    #[test]
    fn other_names_are_never_leftovers() {
        for name in ["/", "postgres", "facteur", "facteur_test_", "facteur_test_1_2", "facteur_demo_1"] {
            assert!(!is_leftover(name, true), "{name}");
        }
    }
}
