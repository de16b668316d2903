//! How things are, as Prometheus reads it: its text format, version 0.0.4.
//!
//! ```text
//!   Report -> families, each with HELP and TYPE, a line for each set of labels -> text
//! ```
//!
//! Rules
//! * Names and labels are only ever added: dashboards and alerts name them.
//! * A series does not come and go: what may be is there with 0 from the start. Labels are words of ours, applications and addresses of
//!   the config; no worker, path or client is one, for those would be without bound.
//! * Counters are of the application, not of a worker, so they go on over reloads and deaths.

use std::fmt::Write as _;

use monoceros_shared::scoreboard::BOUNDS_NS;

use super::backlog::Backlog;
use super::counts::Times;
use super::health;
use crate::core::Restarts;
use crate::status::{App, Report, State, Work, Worker};

/// What the format is called in `Content-Type`.
pub const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The states of a worker, so that each has its series.
const WORKER_STATES: [&str; 7] = ["booting", "loaded", "serving", "apologising", "draining", "quitting", "killed"];

const STATES: [State; 5] = [State::Serving, State::Degraded, State::Reloading, State::Parked, State::Stopping];

/// Levels of lines that are counted.
pub const LEVELS: [&str; 3] = ["critical", "error", "warning"];

/// The page.
pub fn of(report: &Report) -> String {
    let mut page = Page::default();
    page.server(report);
    page.workers(&report.apps);
    page.now(&report.apps);
    page.totals(&report.apps);
    page.text
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A name and its value.
type Label<'a> = (&'a str, &'a str);

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn server(&mut self, report: &Report) {
        self.family("monoceros_build_info", Kind::Gauge, "The build that runs; always 1.");
        self.sample("monoceros_build_info", &[("version", &report.version)], 1);
        self.family("process_start_time_seconds", Kind::Gauge, "When the server was started, in seconds since 1970.");
        self.sample("process_start_time_seconds", &[], report.usage.started);
        self.family("process_cpu_seconds_total", Kind::Counter, "Processor time of the supervisor's program.");
        self.sample("process_cpu_seconds_total", &[], report.usage.cpu);
        self.family("process_resident_memory_bytes", Kind::Gauge, "Memory of the supervisor that is in RAM.");
        self.sample("process_resident_memory_bytes", &[], report.usage.memory);
        self.family("process_open_fds", Kind::Gauge, "Descriptors that the supervisor has open.");
        self.sample("process_open_fds", &[], report.usage.descriptors);
        self.family(
            "monoceros_supervisor_log_lines_total",
            Kind::Counter,
            "Lines that the supervisor's program has logged.",
        );
        for (level, count) in LEVELS.into_iter().zip(report.usage.logged) {
            self.sample("monoceros_supervisor_log_lines_total", &[("level", level)], count);
        }
        self.family("monoceros_ready", Kind::Gauge, "Whether /ready is answered with 200.");
        self.sample("monoceros_ready", &[], u8::from(health::obstacles(report).is_empty()));
        self.family("monoceros_state", Kind::Gauge, "What the server is at: 1 for the one state that it is in.");
        for state in STATES {
            self.sample("monoceros_state", &[("state", state.word())], u8::from(report.state == state));
        }
        self.family("monoceros_generation", Kind::Gauge, "The newest generation of workers that was adopted.");
        self.sample("monoceros_generation", &[], report.generation);
        self.family("monoceros_reloads_total", Kind::Counter, "Reloads by what came of them.");
        self.sample("monoceros_reloads_total", &[("outcome", "adopted")], report.reloads.adopted);
        self.sample("monoceros_reloads_total", &[("outcome", "abandoned")], report.reloads.abandoned);
        let last = report.last_reload.as_ref();
        self.family("monoceros_last_reload_success", Kind::Gauge, "Whether the last reload was adopted, or none was.");
        self.sample("monoceros_last_reload_success", &[], u8::from(last.is_none_or(|last| last.outcome == "adopted")));
        self.family(
            "monoceros_last_reload_timestamp_seconds",
            Kind::Gauge,
            "When the last reload was decided; 0 for none.",
        );
        let at = last.map_or(0.0, |last| report.usage.started as f64 + (report.age - last.age).max(0.0).round());
        self.sample("monoceros_last_reload_timestamp_seconds", &[], at);
    }

    fn workers(&mut self, apps: &[App]) {
        self.family("monoceros_workers", Kind::Gauge, "Worker processes by what they are at.");
        for app in apps {
            for state in WORKER_STATES {
                let count = app.workers.iter().filter(|worker| worker.state == state).count();
                self.sample("monoceros_workers", &[("app", &app.name), ("state", state)], count);
            }
        }
        self.gauge(apps, "monoceros_workers_wanted", "Worker processes that are to serve.", |app| app.wanted as u64);
        self.family("monoceros_worker_restarts_total", Kind::Counter, "Workers that were replaced, by the cause.");
        for app in apps {
            let Restarts { crash, exit, boot_failure, stuck, silent, recycled } = app.restarts_by;
            let causes = [
                ("crash", crash),
                ("exit", exit),
                ("boot_failure", boot_failure),
                ("stuck", stuck),
                ("silent", silent),
                ("recycled", recycled),
            ];
            for (cause, count) in causes {
                self.sample("monoceros_worker_restarts_total", &[("app", &app.name), ("cause", cause)], count);
            }
        }
        let help = "Memory of an application's workers that is in RAM, shared pages counted for each.";
        self.gauge(apps, "monoceros_workers_memory_bytes", help, |app| work(app).map(|work| work.memory).sum());
        let help = "Memory of the worker that has most of it.";
        self.gauge(apps, "monoceros_worker_memory_max_bytes", help, |app| {
            work(app).map(|work| work.memory).max().unwrap_or_default()
        });
    }

    /// What is so at this moment.
    fn now(&mut self, apps: &[App]) {
        self.gauge(apps, "monoceros_threads", "Calls that can run at once in the workers that serve.", |app| {
            serving(app).filter_map(|worker| worker.work.as_ref()).map(|work| work.threads as u64).sum()
        });
        let help = "Threads of those workers that are in a call; greenlets, where there are such.";
        self.gauge(apps, "monoceros_threads_busy", help, |app| serving(app).map(running).sum());
        let help = "Threads of all workers that have a request and wait for the GIL.";
        self.gauge(apps, "monoceros_threads_awaiting_gil", help, |app| {
            work(app).map(|work| work.awaiting_gil as u64).sum()
        });
        let help = "Requests that are with the application or wait for a thread or the GIL, in all workers.";
        self.gauge(apps, "monoceros_requests_in_flight", help, |app| work(app).map(Work::under_way).sum());
        let help = "Whole requests that wait for a thread.";
        self.gauge(apps, "monoceros_requests_queued", help, |app| work(app).map(|work| work.queued).sum());
        self.family("monoceros_oldest_request_seconds", Kind::Gauge, "Age of the oldest call under way; 0 for none.");
        for app in apps {
            let oldest = work(app).flat_map(|work| &work.in_flight).map(|request| request.age).fold(0.0, f64::max);
            self.sample("monoceros_oldest_request_seconds", &[("app", &app.name)], oldest);
        }
        self.gauge(apps, "monoceros_connections", "Connections that are open.", |app| {
            work(app).map(|work| work.connections).sum()
        });
        let help = "Clients that are connected and wait to be accepted, where the kernel tells.";
        self.backlogs(apps, "monoceros_listener_backlog", help, |backlog| backlog.waiting);
        self.backlogs(apps, "monoceros_listener_backlog_limit", "How many can wait there.", |backlog| backlog.limit);
    }

    fn backlogs(&mut self, apps: &[App], name: &str, help: &str, value: fn(Backlog) -> u32) {
        self.family(name, Kind::Gauge, help);
        for (app, listener) in apps.iter().flat_map(|app| app.listeners.iter().map(move |one| (app, one))) {
            if let Some(backlog) = listener.backlog {
                self.sample(name, &[("app", &app.name), ("listen", &listener.address)], value(backlog));
            }
        }
    }

    /// What only grows.
    fn totals(&mut self, apps: &[App]) {
        self.family(
            "monoceros_requests_total",
            Kind::Counter,
            "Requests by the class of their answer's status; 4xx too where the client left before its head.",
        );
        for app in apps {
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(app.counts.classes()) {
                self.sample("monoceros_requests_total", &[("app", &app.name), ("class", class)], count);
            }
        }
        let help = "Requests that never reached the application: malformed, too large, too slow, or too many.";
        self.counter(apps, "monoceros_requests_refused_total", help, |app| app.counts.refused);
        let help = "Requests answered with 504, or cut, because the application took longer than timeouts.request.";
        self.counter(apps, "monoceros_requests_timed_out_total", help, |app| app.counts.timeouts);
        let help = "Exceptions that the application has let through to the server; the client got a 500, or a cut.";
        self.counter(apps, "monoceros_exceptions_total", help, |app| app.counts.exceptions);
        self.counter(apps, "monoceros_connections_accepted_total", "Connections that were accepted.", |app| {
            app.counts.accepted
        });
        self.family("monoceros_log_lines_total", Kind::Counter, "Lines that workers have logged, by their level.");
        for app in apps {
            for (level, count) in LEVELS.into_iter().zip(app.counts.logged) {
                self.sample("monoceros_log_lines_total", &[("app", &app.name), ("level", level)], count);
            }
        }
        let help = "From when a request is whole until the application has given all of its answer.";
        self.histogram(apps, "monoceros_request_duration_seconds", help, |app| &app.counts.duration);
        let help = "From when a request is whole until its call begins.";
        self.histogram(apps, "monoceros_request_queue_seconds", help, |app| &app.counts.queue);
        let help = "From when a thread with work in its hand asks for the GIL until it has it.";
        self.histogram(apps, "monoceros_gil_wait_seconds", help, |app| &app.counts.gil_wait);
    }

    fn gauge(&mut self, apps: &[App], name: &str, help: &str, value: impl Fn(&App) -> u64) {
        self.family(name, Kind::Gauge, help);
        apps.iter().for_each(|app| self.sample(name, &[("app", &app.name)], value(app)));
    }

    fn counter(&mut self, apps: &[App], name: &str, help: &str, value: impl Fn(&App) -> u64) {
        self.family(name, Kind::Counter, help);
        apps.iter().for_each(|app| self.sample(name, &[("app", &app.name)], value(app)));
    }

    fn histogram(&mut self, apps: &[App], name: &str, help: &str, times: impl Fn(&App) -> &Times) {
        self.family(name, Kind::Histogram, help);
        for app in apps {
            let (labels, times) = ([("app", app.name.as_str())], times(app));
            let mut below = 0_u64;
            for (index, bound) in BOUNDS_NS.iter().enumerate() {
                below = below.wrapping_add(times.buckets.get(index).copied().unwrap_or_default());
                let bound = (*bound as f64 / 1e9).to_string();
                self.sample(&format!("{name}_bucket"), &[labels[0], ("le", &bound)], below);
            }
            self.sample(&format!("{name}_bucket"), &[labels[0], ("le", "+Inf")], times.count());
            self.sample(&format!("{name}_sum"), &labels, times.seconds());
            self.sample(&format!("{name}_count"), &labels, times.count());
        }
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl std::fmt::Display) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if index == 0 { '{' } else { ',' }, escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

/// A label's value, with what ends it escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn serving(app: &App) -> impl Iterator<Item = &Worker> {
    app.workers.iter().filter(|worker| worker.state == "serving")
}

fn work(app: &App) -> impl Iterator<Item = &Work> {
    app.workers.iter().filter_map(|worker| worker.work.as_ref())
}

fn running(worker: &Worker) -> u64 {
    worker.work.as_ref().map_or(0, |work| work.in_flight.len() as u64)
}
