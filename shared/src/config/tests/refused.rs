//! What is refused, where, and in which words.

use super::*;

#[test]
fn show() {
    for lines in [
        "worker: 2",
        "workers: 0",
        "workers: x",
        "workers: [1]",
        "workers: {a: 1}",
        "workers:",
        "workers: 1.5",
        "workers: 999999999999999999999999999999",
        "workers: -1",
        "workers: yes",
        "workers: true",
        "workers: 010",
        "workers: 0x10",
        "workers: 2\nworkers: 3",
        "limits: {boot: 3s}",
        "limits: 3",
        "limits: [a, b]",
        "timeouts:\n  boot: 3",
        "timeouts: {boot: 0}",
        "timeouts: {boot: 3x}",
        "timeouts: {boot: 1h30m}",
        "timeouts: {boot: 1h30}",
        "timeouts: {request: 3s}",
        "tls: 3",
        "recycle: {a: b}",
        "bind: x",
        "engine: gevent",
        "engine: thread",
        "engine: sync\nthreads: 2",
        "user: nosuchuser",
        "user: root\ngroup: nosuch",
        "group: root",
        "directory: nosuch",
        "directory: /etc/passwd",
        "virtualenv: .",
        "python_path: [., a]",
        "environment: {A: }",
        "environment: {A: [1]}",
        "environment: {A: ${NO}}",
        "environment: {A: \"${NO\"}",
        "environment: {A: \"${NO}\"}",
        "environment: {A: \"$NO\"}",
        "environment: {A: !x 3}",
        "? [a]\n: b",
        "environment: {A: 3",
        "environment:\n\tA: 3",
        "environment: {A: *x}",
        "environment: {A: &x 3, B: *x}",
        "a: &x [*x]",
        "<<: 3",
        "environment: {A: \"\\0\"}",
        "--- a",
    ] {
        println!(
            "{:60} {}",
            format!("{lines:?}"),
            Folder::new()
                .check(&app_with(lines))
                .map_or_else(|e| e, |_| "OK".into())
        );
    }
    for listen in [
        "8000",
        "a",
        ":8000",
        "[a]",
        "[::1]:8000",
        "\"[::1]:8000\"",
        "::1:8000",
        "[]",
        "[{}]",
        "{address: :1, mode: 0660}",
        "{address: :1, mode: \"0660\"}",
        "{address: unix:a, mode: 0660}",
        "{address: unix:a, mode: 660}",
        "{address: unix:a, mode: \"0960\"}",
        "{address: unix:a, mode: \"0660\", owner: root:root}",
        "{address: unix:a, owner: \":\"}",
        "[:1, :1]",
        "unix:",
        "unix:@",
        "[[a]]",
        "[{mode: \"0660\"}]",
        "{address: :1, protocol: fastcgi}",
        "{address: :1, protocol: https}",
        "localhost:70000",
        "example.org:80",
        "{address: :1, tls: {}}",
        "[:1, {address: \":${NUMBER}\"}]",
        "\"${HOST}:1\"",
    ] {
        println!(
            "{:60} {}",
            listen,
            Folder::new()
                .check(&format!(
                    "apps:\n  hello:\n    wsgi: a:b\n    listen: {listen}\n"
                ))
                .map_or_else(|e| e, |_| "OK".into())
        );
    }
    for text in [
        "",
        "# c",
        "apps:",
        "apps: {}",
        "- a",
        "app: 3",
        "apps: {a: 3}",
        "apps: {a: {}}",
        "apps: {a b: {}}",
        "apps: {a: {wsgi: hello, listen: :1}}",
        "apps: {a: {wsgi: ./shop/hello.py:x, listen: :1}}",
        "apps: {a: {wsgi: \"a:b\", listen: \":1\"}}\n---\n",
        "metrics: 3",
        "\u{1}",
        "a: \u{1}",
        "log: {level: warn}\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "workers: 3\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "a",
        "\u{feff}app: 3",
    ] {
        println!(
            "{:60} {}",
            format!("{text:?}"),
            Folder::new()
                .check(text)
                .map_or_else(|e| e, |_| "OK".into())
        );
    }
}
