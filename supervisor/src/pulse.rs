//! Judges the beats of workers: who has not been heard of for `timeouts.heartbeat` is silent.
//!
//! ```text
//!   scoreboards --every quarter of the shortest heartbeat--> round: beat older than the heartbeat -> Silent; beats again -> Beats
//! ```
//!
//! Rules
//! * A beat of 0 has not begun, and is not missed.
//! * What stood still ourselves (a suspended machine, a debugger, SIGSTOP to all) has kept the workers from nothing that we saw: a round
//!   that comes late grants everybody a new period.
//! * No worker, no timer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::{Organ, WorkerId};

/// Rounds in the shortest heartbeat. Fewer notice late; more only wake the machine.
const ROUNDS: u32 = 4;

/// What one worker shows.
#[derive(Clone, Copy, Debug)]
pub struct Vital {
    /// When its I/O loop went round last, in ms; 0 before the first time.
    pub io_ms: u64,
    /// When Python ran last.
    pub python_ms: u64,
    /// How long each may be silent.
    pub heartbeat: Duration,
}

impl Vital {
    /// Whether both beats are young enough. One that has not begun counts as alive: something else waits for it.
    pub fn is_beating(&self, now_ms: u64) -> bool {
        let is_young =
            |beat_ms| beat_ms == 0 || Duration::from_millis(now_ms.saturating_sub(beat_ms)) <= self.heartbeat;
        is_young(self.io_ms) && is_young(self.python_ms)
    }
}

/// What is to be told of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This has been silent so long. Told once, and again when it is worse.
    Silent(Organ, Duration),
    /// It was silent, and beats again.
    Beats,
}

/// What is remembered from round to round.
#[derive(Debug, Default)]
pub struct Pulse {
    last_ms: Option<u64>,
    /// Silence is counted from here at the earliest.
    from_ms: u64,
    silent: BTreeMap<WorkerId, Organ>,
}

impl Pulse {
    /// When the next round is due, of the clock of scoreboards, if anybody beats at this pace.
    pub fn due_ms(&self, shortest: Option<Duration>) -> Option<u64> {
        let period = ms(shortest?) / u64::from(ROUNDS);
        Some(self.last_ms.map_or(0, |last| last + period))
    }

    /// Looks at everybody.
    pub fn round(&mut self, now_ms: u64, vitals: &BTreeMap<WorkerId, Vital>) -> Vec<(WorkerId, Verdict)> {
        self.silent.retain(|worker, _| vitals.contains_key(worker));
        let shortest = vitals.values().map(|vital| vital.heartbeat).min().unwrap_or_default();
        // Twice the period; the first half is when it was due.
        let late = 2 * ms(shortest) / u64::from(ROUNDS);
        if self.last_ms.is_none_or(|last| now_ms.saturating_sub(last) > late) {
            self.from_ms = now_ms;
        }
        self.last_ms = Some(now_ms);
        vitals.iter().filter_map(|(worker, vital)| Some((*worker, self.judge(now_ms, *worker, vital)?))).collect()
    }

    fn judge(&mut self, now_ms: u64, worker: WorkerId, vital: &Vital) -> Option<Verdict> {
        let silence = |beat_ms: u64| match beat_ms {
            0 => Duration::ZERO,
            beat_ms => Duration::from_millis(now_ms.saturating_sub(beat_ms.max(self.from_ms))),
        };
        let (io, python) = (silence(vital.io_ms), silence(vital.python_ms));
        // Who does no I/O runs no Python either, and may have run it last: while it is not clear which of them it is, the next round tells.
        let worst = if io > vital.heartbeat {
            Some((Organ::Io, io))
        } else if python > vital.heartbeat && io <= vital.heartbeat / 2 {
            Some((Organ::Python, python))
        } else if python > vital.heartbeat {
            return None;
        } else {
            None
        };
        match (worst, self.silent.get(&worker)) {
            (Some((organ, _)), Some(told)) if organ <= *told => None,
            (Some((organ, length)), _) => {
                self.silent.insert(worker, organ);
                Some(Verdict::Silent(organ, length))
            }
            (None, Some(_)) => {
                self.silent.remove(&worker);
                Some(Verdict::Beats)
            }
            (None, None) => None,
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds at each of these moments, of one worker whose beats are what these give.
    fn rounds(
        pulse: &mut Pulse,
        moments: impl IntoIterator<Item = u64>,
        io: impl Fn(u64) -> u64,
        python: impl Fn(u64) -> u64,
    ) -> Vec<(u64, Verdict)> {
        let mut told = Vec::new();
        for now in moments {
            let vital = Vital { io_ms: io(now), python_ms: python(now), heartbeat: Duration::from_secs(4) };
            let verdicts = pulse.round(now, &BTreeMap::from([(7, vital)]));
            told.extend(verdicts.into_iter().map(|(worker, verdict)| {
                assert_eq!(worker, 7);
                (now, verdict)
            }));
        }
        told
    }

    fn silent(organ: Organ, ms: u64) -> Verdict {
        Verdict::Silent(organ, Duration::from_millis(ms))
    }

    fn every_second(from: u64, to: u64) -> impl Iterator<Item = u64> {
        (from..to).map(|second| second * 1000)
    }

    #[test]
    fn a_worker_beats_while_both_its_beats_are_young_or_have_not_begun() {
        let beats = |io_ms, python_ms| Vital { io_ms, python_ms, heartbeat: Duration::from_secs(1) }.is_beating(5000);
        assert!(beats(0, 0) && beats(4000, 0) && beats(5000, 4000) && beats(6000, 5000));
        assert!(!beats(3999, 5000) && !beats(5000, 3999));
    }

    #[test]
    fn who_beats_is_well_and_who_has_not_begun_is_not_missed() {
        let mut pulse = Pulse::default();
        assert_eq!(rounds(&mut pulse, every_second(10, 60), |now| now - 3900, |_| 0), []);
        assert_eq!(rounds(&mut pulse, every_second(60, 120), |_| 0, |now| now), []);
    }

    #[test]
    fn silence_is_told_once_and_so_is_its_end() {
        let mut pulse = Pulse::default();
        let python = |now| if now > 30_000 { now } else { 9000 };
        let told = rounds(&mut pulse, every_second(9, 60), |now| now, python);
        assert_eq!(told, [(14_000, silent(Organ::Python, 5000)), (31_000, Verdict::Beats)]);
    }

    #[test]
    fn a_process_that_stands_still_is_told_as_its_io_even_after_its_python_was() {
        let mut pulse = Pulse::default();
        let told = rounds(&mut pulse, every_second(9, 60), |now| now.min(20_000), |_| 9000);
        assert_eq!(told, [(14_000, silent(Organ::Python, 5000)), (25_000, silent(Organ::Io, 5000))]);
        // Whichever of them beat last.
        for (io, python, told) in [(9000, 9000, 14_000), (10_000, 7000, 15_000), (7000, 10_000, 14_000)] {
            let mut pulse = Pulse::default();
            let expected = [(told, silent(Organ::Io, 5000))];
            assert_eq!(rounds(&mut pulse, every_second(9, 60), |_| io, |_| python), expected, "{io} {python}");
        }
    }

    #[test]
    fn who_stood_still_himself_grants_a_new_period() {
        let mut pulse = Pulse::default();
        assert_eq!(rounds(&mut pulse, every_second(9, 12), |now| now, |now| now), []);
        let stopped = |_| 11_000;
        assert_eq!(rounds(&mut pulse, every_second(500, 505), stopped, stopped), []);
        assert_eq!(rounds(&mut pulse, [505_000], stopped, stopped), [(505_000, silent(Organ::Io, 5000))]);
    }

    #[test]
    fn a_round_is_due_each_quarter_of_the_shortest_heartbeat_and_never_without_one() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.due_ms(None), None);
        assert_eq!(pulse.due_ms(Some(Duration::from_secs(4))), Some(0));
        rounds(&mut pulse, [9000], |now| now, |now| now);
        assert_eq!(pulse.due_ms(Some(Duration::from_secs(4))), Some(10_000));
        assert_eq!(pulse.due_ms(None), None);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut pulse = Pulse::default();
        rounds(&mut pulse, every_second(9, 20), |_| 9000, |_| 9000);
        assert_eq!(pulse.silent.len(), 1);
        pulse.round(20_000, &BTreeMap::new());
        assert!(pulse.silent.is_empty());
    }
}
