//! What `--help` says at the end of each command: how it is typed, what it exits with, where to read on.
//!
//! It stands apart from the command line's definition, so that both can be read. `taught` joins them; a test wants a lesson for each
//! command that is shown.

use clap::Command;

/// What a person who asks for help wants to know beside the options.
struct Lesson {
    command: &'static str,
    /// Beside its examples; empty where they say all.
    more: &'static str,
    /// As typed, each with what it is for.
    examples: &'static [(&'static str, &'static str)],
    exit: &'static str,
    /// In the source, and where a package has put the documents.
    page: &'static str,
}

/// The help of the whole program.
const ALL: &str = "Without a command, `supervisor` does `supervisor run`. Four lines are a whole file:

  apps:
    hello:
      wsgi: hello:application        # the module hello.py, the function in it
      listen: 127.0.0.1:8000

Examples:
  supervisor check -c server.yaml    is it right, can it be imported?
  supervisor run -c server.yaml      serve it
  supervisor dev hello:application   work on it
  supervisor doctor                  what is wrong, if something is

Exit status: 0 done, 1 failed, 2 the command line or the config is wrong, 3 not running, 4 running degraded.
Signals: HUP reloads, USR1 reopens the log file, USR2 upgrades, TTIN and TTOU start one worker more and one less, WINCH drains
all workers and keeps the sockets until the next HUP, TERM stops gracefully, INT and QUIT at once.
Read on: `supervisor COMMAND --help`; docs/README.md in the source, or in /usr/share/doc/monoceros where a package was installed.";

/// Commands of a server exit so when nothing else is said.
const ASKED: &str = "0 done, 1 failed: the server goes on as before, 3 no server runs";

const LESSONS: &[Lesson] = &[
    Lesson {
        command: "run",
        more: "",
        examples: &[
            ("supervisor run -c server.yaml", "what the file says"),
            ("supervisor run shop.wsgi:application --listen 0.0.0.0:8000 --workers 4", "one application, no file"),
        ],
        exit: "0 stopped as asked, 1 failed, 2 the command line or the file is wrong and nothing was started",
        page: "docs/tutorial.md",
    },
    Lesson {
        command: "check",
        more: "",
        examples: &[
            ("supervisor check -c server.yaml", "before a reload, or in a deploy's script"),
            ("supervisor check -c server.yaml --print", "and every value as it is run, with its place"),
            ("supervisor check shop.wsgi:application", "can it be imported?"),
        ],
        exit: "0 it is right, 2 it is not",
        page: "docs/how-to/troubleshoot.md",
    },
    Lesson {
        command: "dev",
        more: "",
        examples: &[("supervisor dev shop.wsgi:application", "")],
        exit: "0 stopped as asked, 1 failed, 2 the command line is wrong",
        page: "docs/how-to/develop.md",
    },
    Lesson {
        command: "status",
        more: "",
        examples: &[
            ("supervisor status -c server.yaml", "a table"),
            ("supervisor status -c server.yaml --watch", "the same every second"),
        ],
        exit: "0 all is well, 1 failed, 3 no server runs, 4 it runs degraded",
        page: "docs/how-to/operate.md",
    },
    Lesson {
        command: "top",
        more: "",
        examples: &[("supervisor top -c server.yaml", "")],
        exit: "0 quit, 1 failed, 3 no server runs",
        page: "docs/how-to/operate.md",
    },
    Lesson {
        command: "reload",
        more: "",
        examples: &[
            ("supervisor reload -c server.yaml --wait", "a deploy: the exit status says whether the new code serves"),
            ("supervisor reload -c server.yaml", "the same as HUP: do not wait"),
        ],
        exit: "0 done, 1 nothing has changed, and why, 3 no server runs",
        page: "docs/how-to/reload.md",
    },
    Lesson {
        command: "scale",
        more: "",
        examples: &[("supervisor scale -c server.yaml shop 6", "six workers for the application `shop`")],
        exit: ASKED,
        page: "docs/how-to/operate.md",
    },
    Lesson {
        command: "reopen",
        more: "",
        examples: &[("supervisor reopen -c server.yaml", "after `mv server.log server.log.1`")],
        exit: ASKED,
        page: "docs/how-to/logs.md",
    },
    Lesson {
        command: "upgrade",
        more: "The process stays, and whoever it serves. What cannot take over is given nothing: the old program goes on.",
        examples: &[("supervisor upgrade -c server.yaml", "after another build was installed")],
        exit: "0 the new program and its workers serve, 1 the old program or the old workers do, 3 no server runs",
        page: "docs/explanation/succession.md",
    },
    Lesson {
        command: "stacks",
        more: "Waits some seconds at most. Of a worker that does not answer, what the kernel says is printed.",
        examples: &[
            ("supervisor stacks -c server.yaml", "every worker's"),
            ("supervisor stacks -c server.yaml shop", "those of one application; a number means a worker"),
        ],
        exit: ASKED,
        page: "docs/how-to/slow-requests.md",
    },
    Lesson {
        command: "stop",
        more: "",
        examples: &[(
            "supervisor stop -c server.yaml",
            "every request is answered first, for `timeouts.drain` at most",
        )],
        exit: ASKED,
        page: "docs/how-to/operate.md",
    },
    Lesson {
        command: "doctor",
        more: "Works where nothing else does, changes nothing and serves nobody. Warnings are nothing wrong.",
        examples: &[
            ("supervisor doctor", "is the installation well?"),
            ("supervisor doctor -c server.yaml", "and can this be served?"),
        ],
        exit: "0 nothing is wrong, 1 something is",
        page: "docs/how-to/troubleshoot.md",
    },
    Lesson {
        command: "schema",
        more: "In the first line of the file it is named: # yaml-language-server: $schema=monoceros.schema.json",
        examples: &[("supervisor schema > monoceros.schema.json", "for an editor's YAML language server")],
        exit: "0 printed, 1 failed",
        page: "docs/how-to/config.md",
    },
    Lesson {
        command: "migrate",
        more: "",
        examples: &[
            ("supervisor migrate gunicorn.conf.py > server.yaml", "the config file"),
            ("supervisor migrate gunicorn.conf.py -- shop.wsgi:application --workers 4", "with flags, which win"),
            ("supervisor migrate Procfile", "what starts it: a Procfile, or a unit of systemd's"),
            ("supervisor migrate uwsgi.ini", ""),
        ],
        exit: "0 printed, 1 failed, 2 the command line or what is to be read is wrong",
        page: "docs/how-to/migrate.md",
    },
    Lesson {
        command: "completions",
        more: "",
        examples: &[("supervisor completions bash > /etc/bash_completion.d/supervisor", "")],
        exit: "0 printed, 2 the command line is wrong",
        page: "docs/how-to/install.md",
    },
];

/// The command line with its lessons, the program called as `name`.
pub fn taught(line: Command, name: &str) -> Command {
    let line = line.after_help(ALL.replace("supervisor", name));
    LESSONS.iter().fold(line, |line, lesson| line.mut_subcommand(lesson.command, |command| lesson.given(command, name)))
}

impl Lesson {
    /// A command whose help ends with it.
    fn given(&self, command: Command, name: &str) -> Command {
        let typed = |words: &str| words.replacen("supervisor", name, 1);
        let width = self.examples.iter().map(|(words, _)| typed(words).len()).max().unwrap_or(0);
        let line = |(words, use_): &(&str, &str)| format!("  {:width$}  {use_}", typed(words)).trim_end().to_owned();
        let examples: Vec<String> = self.examples.iter().map(line).collect();
        let own = command.get_after_help().map(ToString::to_string);
        let more: String = own.iter().map(String::as_str).chain([self.more]).filter(|more| !more.is_empty()).collect();
        let more = if more.is_empty() { more } else { more + "\n\n" };
        let Lesson { exit, page, .. } = self;
        let text = format!("{more}Examples:\n{}\n\nExit status: {exit}.\nRead on: {page}", examples.join("\n"));
        command.after_help(text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;
    use crate::command::Line;

    #[test]
    fn each_command_that_is_shown_says_how_it_is_used_and_where_to_read_on() {
        let line = taught(Line::command(), "monoceros");
        let shown = line.get_subcommands().filter(|command| !command.is_hide_set());
        let silent: Vec<&str> = shown
            .filter(|command| {
                let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let has_example = text.contains(&format!("\n  monoceros {} ", command.get_name()))
                    || text.contains(&format!("\n  monoceros {}\n", command.get_name()));
                !has_example || !text.contains("Exit status: 0 ")
            })
            .map(Command::get_name)
            .collect();
        assert_eq!(silent, Vec::<&str>::new());
    }

    #[test]
    fn each_lesson_is_of_a_command() {
        let line = Line::command();
        let idle: Vec<&str> =
            LESSONS.iter().map(|lesson| lesson.command).filter(|name| line.find_subcommand(name).is_none()).collect();
        assert_eq!(idle, Vec::<&str>::new());
    }

    #[test]
    fn what_is_to_be_read_is_there() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let gone: Vec<&str> =
            LESSONS.iter().map(|lesson| lesson.page).filter(|page| !source.join(page).exists()).collect();
        assert_eq!(gone, Vec::<&str>::new());
    }
}
