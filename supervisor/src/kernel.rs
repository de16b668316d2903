//! What the kernel says of a process that says nothing itself, as far as `/proc` tells.

use std::fs;

use serde::{Deserialize, Serialize};

/// What a process is at, in the kernel's eyes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// `running`, `sleeping`, `sleeping, cannot be interrupted`, `stopped`, `traced`, `gone`, or the kernel's letter.
    pub state: String,
    /// The function of the kernel that it waits in; empty when it runs, or when the kernel does not tell us.
    pub waits_in: String,
}

/// Looks at a process.
pub fn sight(pid: u32) -> Sight {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let waits_in = read("wchan");
    Sight { state: state_of(&read("stat")).to_owned(), waits_in: waits_in.trim_matches(['0', '\n']).to_owned() }
}

/// The third field of `/proc/PID/stat`, in words (proc_pid_stat(5)).
fn state_of(stat: &str) -> &str {
    // The name before it may hold any byte, a parenthesis too.
    let letter = stat.rsplit_once(") ").map_or("", |(_, rest)| rest.get(..1).unwrap_or_default());
    match letter {
        "R" => "running",
        "S" => "sleeping",
        "D" => "sleeping, cannot be interrupted",
        "T" => "stopped",
        "t" => "traced",
        "Z" | "X" | "" => "gone",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_and_one_that_is_gone_too() {
        let me = std::process::id();
        assert!(["running", "sleeping"].contains(&sight(me).state.as_str()), "{:?}", sight(me));
        assert_eq!(sight(u32::MAX).state, "gone");
    }

    #[test]
    fn a_state_is_found_behind_any_name() {
        assert_eq!(state_of("7 (a) R (b) T 1 2"), "stopped");
        assert_eq!(state_of("7 (worker) I 1 2"), "I");
        assert_eq!(state_of("nonsense"), "gone");
    }
}
