//! `supervisor stacks`: asks workers what their threads run, and waits a little for what they say.
//!
//! ```text
//!   asked --> ToWorker::Stacks to each --> heard from all, or the time is up --> one answer, with what the kernel says of the silent
//! ```
//!
//! Rule: nobody waits for ever, and a worker that is asked by two tells both.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::core::status::{AppStatus, Status};
use crate::core::{Asker, Event, WorkerId};
use crate::kernel::{self, Sight};

/// How long a worker may take to tell. It answers in milliseconds, or in a quarter of a second when the GIL is held. Shorter, and a
/// machine under load tells nothing; longer keeps a person waiting who looks for what hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// What one worker runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stacks {
    /// Its application.
    pub app: String,
    /// Its number.
    pub worker: WorkerId,
    /// Its process.
    pub pid: Option<u32>,
    /// Its generation.
    pub generation: u64,
    /// `booting`, `serving` and so on.
    pub state: String,
    /// The stacks of its threads; `null` if it did not answer in time.
    pub stacks: Option<String>,
    /// What the kernel says of its process; `null` if it answered, or has none.
    pub kernel: Option<Sight>,
}

/// Questions that wait for their answers.
#[derive(Debug, Default)]
pub struct Inquiries {
    open: Vec<Inquiry>,
}

#[derive(Debug)]
struct Inquiry {
    asker: Asker,
    until: Instant,
    /// Whom it is about.
    of: Vec<Stacks>,
    /// Who has not answered yet.
    missing: Vec<WorkerId>,
}

impl Inquiries {
    /// Opens one about workers. `asked` are those that could be.
    pub fn open(&mut self, asker: Asker, of: Vec<Stacks>, asked: Vec<WorkerId>) {
        self.open.push(Inquiry { asker, until: Instant::now() + PATIENCE, of, missing: asked });
    }

    /// Takes in what happens to workers.
    pub fn learn(&mut self, event: &Event) {
        if let Event::Stacks { worker, stacks } = event {
            self.hear(*worker, stacks);
        } else if let Event::Exited { worker, .. } = event {
            // It tells nothing any more.
            self.open.iter_mut().for_each(|inquiry| inquiry.missing.retain(|missing| missing != worker));
        }
    }

    fn hear(&mut self, worker: WorkerId, stacks: &str) {
        for inquiry in self.open.iter_mut().filter(|inquiry| inquiry.missing.contains(&worker)) {
            inquiry.missing.retain(|missing| *missing != worker);
            let of = inquiry.of.iter_mut().find(|of| of.worker == worker);
            of.into_iter().for_each(|of| of.stacks = Some(stacks.to_owned()));
        }
    }

    /// Those that can be answered now.
    pub fn close(&mut self, now: Instant) -> Vec<(Asker, Vec<Stacks>)> {
        let (over, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|inquiry| inquiry.missing.is_empty() || inquiry.until <= now);
        self.open = open;
        let over: Vec<Inquiry> = over;
        over.into_iter().map(|inquiry| (inquiry.asker, inquiry.of.into_iter().map(with_sight).collect())).collect()
    }

    /// When one must be answered.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|inquiry| inquiry.until).min()
    }
}

fn with_sight(stacks: Stacks) -> Stacks {
    let kernel = stacks.pid.filter(|_| stacks.stacks.is_none()).map(kernel::sight);
    Stacks { kernel, ..stacks }
}

/// The workers that are meant: all, those of an application, or the one of a number.
///
/// # Errors
/// When nobody is: one line.
pub fn meant(status: &Status, whose: Option<&str>) -> Result<Vec<Stacks>, String> {
    let number = whose.and_then(|whose| whose.parse::<WorkerId>().ok());
    let of = |app: &AppStatus| {
        let is_app = whose.is_none_or(|whose| whose == app.name);
        let workers = app.workers.iter().filter(|worker| is_app || number == Some(worker.id));
        let blank = workers.map(|worker| Stacks {
            app: app.name.clone(),
            worker: worker.id,
            pid: worker.pid,
            generation: worker.generation,
            state: worker.state.clone(),
            stacks: None,
            kernel: None,
        });
        blank.collect::<Vec<_>>()
    };
    let found: Vec<Stacks> = status.apps.iter().flat_map(of).collect();
    match whose {
        Some(whose) if found.is_empty() && status.apps.iter().all(|app| app.name != whose) => {
            let names: Vec<&str> = status.apps.iter().map(|app| app.name.as_str()).collect();
            Err(format!("cannot ask {whose}: no worker has this number, and the applications are {}", names.join(", ")))
        }
        Some(_) | None => Ok(found),
    }
}

/// For people.
pub fn show(all: &[Stacks]) -> String {
    let one = |of: &Stacks| {
        let pid = of.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        let head = format!("{}, worker {}{pid}, generation {}, {}", of.app, of.worker, of.generation, of.state);
        let body = match (&of.stacks, &of.kernel) {
            (Some(stacks), _) => stacks.trim_end().to_owned(),
            (None, Some(Sight { state, waits_in })) if waits_in.is_empty() => {
                format!("no answer; the process is {state}")
            }
            (None, Some(Sight { state, waits_in })) => format!("no answer; the process is {state}, in {waits_in}"),
            (None, None) => "no answer; it has no process yet".to_owned(),
        };
        let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
        format!("{head}\n{body}")
    };
    let shown: Vec<String> = all.iter().map(one).collect();
    if shown.is_empty() { "there are no workers\n".to_owned() } else { shown.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Exit, LastSeen};

    fn of(worker: WorkerId, pid: u32) -> Stacks {
        let (app, state) = ("shop".into(), "serving".into());
        Stacks { app, worker, pid: Some(pid), generation: 3, state, stacks: None, kernel: None }
    }

    #[test]
    fn an_answer_waits_for_all_and_two_who_ask_are_both_told() {
        let mut inquiries = Inquiries::default();
        inquiries.open(1, vec![of(7, 1), of(8, 1)], vec![7, 8]);
        inquiries.open(2, vec![of(8, 1)], vec![8]);
        inquiries.learn(&Event::Stacks { worker: 8, stacks: "Thread 1".into() });
        let answered = inquiries.close(Instant::now());
        assert_eq!(answered, [(2, vec![Stacks { stacks: Some("Thread 1".into()), ..of(8, 1) }])]);
        inquiries.hear(7, "Thread 2");
        let (asker, told) = inquiries.close(Instant::now()).remove(0);
        assert_eq!(
            (asker, told[0].stacks.as_deref(), told[1].stacks.as_deref()),
            (1, Some("Thread 2"), Some("Thread 1"))
        );
        assert_eq!(inquiries.deadline(), None);
    }

    #[test]
    fn who_does_not_answer_is_looked_at_when_the_time_is_up() {
        let mut inquiries = Inquiries::default();
        inquiries.open(1, vec![of(7, std::process::id())], vec![7]);
        assert!(inquiries.close(Instant::now()).is_empty());
        let (_, told) = inquiries.close(inquiries.deadline().unwrap()).remove(0);
        assert!(told[0].kernel.is_some());
        assert!(show(&told).contains("no answer; the process is "), "{}", show(&told));
    }

    #[test]
    fn who_is_gone_is_not_waited_for() {
        let mut inquiries = Inquiries::default();
        inquiries.open(1, vec![of(7, u32::MAX)], vec![7]);
        let gone = Event::Exited { worker: 7, exit: Exit::Code(0), last: LastSeen::default() };
        inquiries.learn(&gone);
        assert!(show(&inquiries.close(Instant::now())[0].1).contains("no answer; the process is gone"));
    }

    #[test]
    fn people_see_each_worker_with_its_stacks() {
        let told = [Stacks { stacks: Some("Thread 1:\n  File x\n".into()), ..of(7, 42) }];
        let expected = "shop, worker 7, pid 42, generation 3, serving\n    Thread 1:\n      File x\n";
        assert_eq!(show(&told), expected);
        assert_eq!(show(&[]), "there are no workers\n");
    }
}
