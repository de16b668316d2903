//! What is refused, where, and in which words.

use std::collections::HashMap;

use super::super::{Key, keys};
use super::*;

/// Lines of an application, from line 5 and column 5 on, and what is said of them after the file's name.
const LINES: &[(&str, &str)] = &[
    ("worker: 2", "5:5: unknown key `worker`: did you mean `workers`?"),
    ("WORKERS: 2", "5:5: unknown key `WORKERS`: did you mean `workers`?"),
    ("python-path: a", "5:5: unknown key `python-path`: did you mean `python_path`?"),
    ("env: {}", "5:5: unknown key `env`: did you mean `environment`?"),
    (
        "bind: x",
        "5:5: unknown key `bind`: expected one of `wsgi`, `paste`, `directory`, `virtualenv`, `python_path`, `hooks`, `environment`, `user`, `group`, `groups`, `umask`, `no_new_privileges`, `listen`, `static`, `backlog`, `workers`, `threads`, `engine`, `body`, `switch_interval`, `limits`, `timeouts`, `reload`, `on_broken_start`, `recycle`, `trusted_proxies`, `forwarded`, `scheme_headers`, `mount`, `underscore_headers`, `request_id`",
    ),
    ("tls: 3", "5:5: unknown key `tls`: it belongs to apps.NAME.listen"),
    ("boot: 3s", "5:5: unknown key `boot`: it belongs to apps.NAME.timeouts"),
    ("<<: 3", "5:5: `<<`: merge keys are not supported: use an alias for a whole value"),
    (
        "trusted_proxies: [10.0.0.1/8]",
        "5:23: `trusted_proxies`: `10.0.0.1/8` is no network: it has bits that do not count: did you mean `10.0.0.0/8`?: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    (
        "trusted_proxies: 10.0.0.0/33",
        "5:22: `trusted_proxies`: `10.0.0.0/33` is no network: at most 32 bits can count: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    (
        "trusted_proxies: 10.0.0.0/",
        "5:22: `trusted_proxies`: `10.0.0.0/` is no network: behind the `/` stands how many bits count: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    (
        "trusted_proxies: \"::ffff:10.0.0.1\"",
        "5:22: `trusted_proxies`: `::ffff:10.0.0.1` is no network: write an IPv4 address as such: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    (
        "trusted_proxies: proxy.example",
        "5:22: `trusted_proxies`: `proxy.example` is no network: host names are not looked up, and this is no address: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    (
        "trusted_proxies: 10",
        "5:22: `trusted_proxies`: expected a network such as `10.0.0.0/8`, `unix` or `all`, found the number `10`",
    ),
    ("forwarded: {for: Forwarded}", "5:17: unknown key `for`: expected one of `client`, `host`, `prefix`"),
    (
        "forwarded: {client: X Y}",
        "5:25: `client`: `X Y` cannot name a header field: write for example `X-Forwarded-For`",
    ),
    ("forwarded: {host: Host}", "5:23: `host`: `Host` tells no proxy's word: name a field that the proxy sets"),
    ("forwarded: {prefix: forwarded}", "5:25: `prefix`: `Forwarded` does not tell it (RFC 7239 5)"),
    ("scheme_headers: [X-Ssl]", "5:5: `scheme_headers`: expected a map, found a list"),
    (
        "scheme_headers: {X-Ssl: }",
        "5:29: `X-Ssl`: expected the value that means https, found nothing: give it a value, or remove the key",
    ),
    (
        "scheme_headers: {\"X:\": on}",
        "5:22: `scheme_headers`: `X:` cannot name a header field: write for example `X-Forwarded-For`",
    ),
    (
        "mount: /shop\nreload: {ready: /healthz}",
        "6:21: `ready`: `/healthz` is not below `mount`: write `/shop/healthz`",
    ),
    ("mount: /shop\nreload: {ready: /shops}", "6:21: `ready`: `/shops` is not below `mount`: write `/shop/shops`"),
    ("hooks: shop/hooks.py", "5:12: `hooks`: `shop/hooks.py` is no dotted module name: write for example `shop.hooks`"),
    ("hooks: 3", "5:12: `hooks`: expected a module such as `shop.hooks`, found the number `3`"),
    ("mount: shop", "5:12: `mount`: `shop` is no path to stand under: it begins with `/`"),
    ("mount: /a//b", "5:12: `mount`: `/a//b` is no path to stand under: a part of it is empty or made of dots"),
    ("mount: /a/..", "5:12: `mount`: `/a/..` is no path to stand under: a part of it is empty or made of dots"),
    ("mount: //", "5:12: `mount`: `//` is no path to stand under: a part of it is empty or made of dots"),
    ("mount: /a?b", "5:12: `mount`: `/a?b` is no path to stand under: it has no `?`"),
    ("mount: /%61", "5:12: `mount`: `/%61` is no path to stand under: write it decoded, as the application sees it"),
    (
        "underscore_headers: dangerous",
        "5:25: `underscore_headers`: unknown value `dangerous`: expected one of `drop`, `refuse`, `keep`",
    ),
    (
        "request_id: \"X Y\"",
        "5:17: `request_id`: `X Y` cannot name a header field: write for example `X-Forwarded-For`",
    ),
    ("umask: 0027", "5:12: `umask`: `0027` is a number to YAML: write \"0660\", in quotes"),
    ("no_new_privileges: 1", "5:24: `no_new_privileges`: expected true or false, found the number `1`"),
    ("workers: 2\nworkers: 3", "6:5: duplicate key `workers`: it is already on line 5"),
    ("wsgi: a:b", "5:5: duplicate key `wsgi`: it is already on line 3"),
    ("environment: {A: 1, \"A\": 2}", "5:25: duplicate key `A`: it is already on line 5"),
    ("static: ./static", "5:13: `static`: expected a map, found the text `./static`"),
    ("static: {/s: no}", "5:18: `/s`: cannot find the folder `DIR/no`: it does not exist"),
    ("static: {s: .}", "5:14: `s` is no path of static files: write `/static`, without a `/` at its end"),
    ("static: {/s/: .}", "5:14: `/s/` is no path of static files: write `/static`, without a `/` at its end"),
    ("static: {/s/../t: .}", "5:14: `/s/../t` is no path of static files: write `/static`, without a `/` at its end"),
    ("static: {/s%20: .}", "5:14: `/s%20` is no path of static files: write `/static`, without a `/` at its end"),
    ("static: {/s: ., /s: .}", "5:21: duplicate key `/s`: it is already on line 5"),
    ("static: {/s: {cache_control: a}}", "5:14: missing key `path`: add it, with a path"),
    (
        "static: {/s: {path: ., cache_control: \"a\\nb\"}}",
        "5:43: `cache_control`: `a\\nb` cannot stand in a header field: use printable ASCII",
    ),
    ("static: {/s: {path: ., index: a}}", "5:28: unknown key `index`: expected one of `path`, `cache_control`"),
    ("workers: 0", "5:14: `workers`: `0` is out of range: 1 to 512"),
    ("workers: x", "5:14: `workers`: expected a whole number or `auto`, found the text `x`"),
    ("workers: [1]", "5:5: `workers`: expected a whole number or `auto`, found a list"),
    ("workers: {a: 1}", "5:5: `workers`: expected a whole number or `auto`, found a map"),
    (
        "workers:",
        "5:13: `workers`: expected a whole number or `auto`, found nothing: give it a value, or remove the key",
    ),
    (
        "workers: ~",
        "5:14: `workers`: expected a whole number or `auto`, found nothing: give it a value, or remove the key",
    ),
    ("workers: \"2\"", "5:14: `workers`: expected a whole number or `auto`, found the text `2`"),
    ("workers: 1.5", "5:14: `workers`: expected a whole number in decimal digits, found the number `1.5`"),
    ("workers: 0x10", "5:14: `workers`: expected a whole number in decimal digits, found the number `0x10`"),
    (
        "workers: 010",
        "5:14: `workers`: expected a whole number or `auto`, found `010`, which some programs read as octal",
    ),
    (
        "workers: 999999999999999999999999999999",
        "5:14: `workers`: `999999999999999999999999999999` is out of range: 1 to 512",
    ),
    ("workers: -1", "5:14: `workers`: `-1` is out of range: 1 to 512"),
    ("workers: yes", "5:14: `workers`: expected a whole number or `auto`, found the text `yes`"),
    ("workers: true", "5:14: `workers`: expected a whole number or `auto`, found the boolean `true`"),
    ("workers: ${HOST}", "5:14: `workers`: expected a whole number or `auto`, found the text `127.0.0.1`"),
    ("workers: ${NO}", "5:14: the environment variable `NO` is not set: set it, or write `${NO:-default}`"),
    ("workers: ${EMPTY}", "5:14: `workers`: expected a whole number or `auto`, found the text ``"),
    ("limits: {boot: 3s}", "5:14: unknown key `boot`: it belongs to apps.NAME.timeouts"),
    ("limits: 3", "5:13: `limits`: expected a map, found the number `3`"),
    ("limits: [a, b]", "5:5: `limits`: expected a map, found a list"),
    ("limits:", "5:12: `limits`: expected a map, found nothing: give it a value, or remove the key"),
    (
        "limits: {request_line_max: 64KiB, header_bytes_max: 63KiB}",
        "5:32: `request_line_max`: it is above `header_bytes_max`, which counts the request line too",
    ),
    (
        "limits: {body_bytes_max: 0}",
        "5:30: `body_bytes_max`: expected a size such as `8KiB`, `100MiB` or `1MB`, found `0`: add a unit (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)",
    ),
    (
        "limits: {body_bytes_max: 8K}",
        "5:30: `body_bytes_max`: expected a size such as `8KiB`, `100MiB` or `1MB`, found `8K`: the units are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB",
    ),
    (
        "limits: {body_bytes_max: 8kb}",
        "5:30: `body_bytes_max`: expected a size such as `8KiB`, `100MiB` or `1MB`, found `8kb`: the units are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB",
    ),
    (
        "limits: {body_bytes_max: 1MiB1}",
        "5:30: `body_bytes_max`: expected a size such as `8KiB`, `100MiB` or `1MB`, found `1MiB1`: `1` is too much",
    ),
    (
        "limits: {body_bytes_max: MiB}",
        "5:30: `body_bytes_max`: expected a size such as `8KiB`, `100MiB` or `1MB`, found `MiB`: it does not begin with a whole number",
    ),
    (
        "limits: {header_count_max: 100B}",
        "5:32: `header_count_max`: expected a whole number in decimal digits, found the text `100B`",
    ),
    (
        "timeouts:\n  boot: 3",
        "6:13: `boot`: expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found `3`: add a unit (d, h, m, s, ms)",
    ),
    (
        "timeouts: {boot: 0}",
        "5:22: `boot`: expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found `0`: add a unit (d, h, m, s, ms)",
    ),
    (
        "timeouts: {boot: 1.5s}",
        "5:22: `boot`: expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found `1.5s`: it is no whole number: use a smaller unit",
    ),
    (
        "timeouts: {boot: 3x}",
        "5:22: `boot`: expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found `3x`: the units are d, h, m, s, ms",
    ),
    ("timeouts: {boot: 1h30m}", "5:22: `boot`: `1h30m` is out of range: 100ms to 1h"),
    (
        "timeouts: {boot: 1h30}",
        "5:22: `boot`: expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found `1h30`: add a unit (d, h, m, s, ms)",
    ),
    (
        "timeouts: {boot: -3s}",
        "5:22: `boot`: expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found `-3s`: it does not begin with a whole number",
    ),
    ("timeouts: {boot: 99999999999999999999d}", "5:22: `boot`: `99999999999999999999d` is out of range: 100ms to 1h"),
    ("body: lazy", "5:11: `body`: unknown value `lazy`: expected one of `buffer`, `stream`"),
    ("engine: thread", "5:13: `engine`: unknown value `thread`: did you mean `threads`?"),
    (
        "engine: asyncio",
        "5:13: `engine`: unknown value `asyncio`: expected one of `threads`, `sync`, `gevent`, `eventlet`, `tornado`",
    ),
    ("threads: {min: 3, max: 2}", "5:20: `min`: 3 is above `max`, 2"),
    ("threads: {min: 3}", "5:5: missing key `max`: add it, with a whole number"),
    ("threads: {maximum: 3}", "5:15: unknown key `maximum`: expected one of `min`, `max`"),
    (
        "engine: tornado\nthreads: {max: 2}",
        "6:5: `threads`: `engine: tornado` has one thread, not 2: remove one of the two, or write `engine: threads`",
    ),
    (
        "engine: gevent\nthreads: 2",
        "6:14: `threads`: `engine: gevent` has one thread, not 2: remove one of the two, or write `engine: threads`",
    ),
    (
        "threads: 2\nengine: eventlet",
        "5:14: `threads`: `engine: eventlet` has one thread, not 2: remove one of the two, or write `engine: threads`",
    ),
    (
        "engine: tornado\nthreads: 2",
        "6:14: `threads`: `engine: tornado` has one thread, not 2: remove one of the two, or write `engine: threads`",
    ),
    (
        "engine: sync\nthreads: 2",
        "6:14: `threads`: `engine: sync` has one thread, not 2: remove one of the two, or write `engine: threads`",
    ),
    ("user: nosuchuser", "5:11: `user`: there is no user `nosuchuser`"),
    ("user: 3999999999", "5:11: `user`: there is no user `3999999999`"),
    ("user: \"\"", "5:11: `user`: it is empty: give it a value, or remove the key"),
    ("user: root\ngroup: nosuch", "6:12: `group`: there is no group `nosuch`"),
    ("group: root", "5:12: `group`: it needs `user` beside it"),
    ("groups: [root]", "5:5: `groups`: it needs `user` beside it"),
    ("directory: nosuch", "5:16: `directory`: cannot find the folder `DIR/nosuch`: it does not exist"),
    ("directory: /etc/passwd", "5:16: `directory`: `/etc/passwd` is not a folder"),
    ("directory: [a]", "5:5: `directory`: expected text, found a list"),
    ("virtualenv: .", "5:17: `virtualenv`: `DIR` is not a virtualenv: it has no pyvenv.cfg"),
    ("virtualenv: .venv", "5:17: `virtualenv`: cannot find the folder `DIR/.venv`: it does not exist"),
    ("python_path: [., a]", "5:22: `python_path`: cannot find the folder `DIR/a`: it does not exist"),
    ("python_path: []", "5:5: `python_path`: the list is empty"),
    ("python_path: [[a]]", "5:20: `python_path`: expected text, found a list"),
    ("environment: {A: }", "5:22: `A`: expected a value, found nothing: write `\"\"` for an empty one"),
    ("environment: {A: [1]}", "5:19: `A`: expected text, a number or a boolean, found a list"),
    (
        "environment: {\"A=B\": x}",
        "5:19: `environment`: `A=B` cannot name a variable: a name has no `=` and is not empty",
    ),
    ("environment: {\"\": x}", "5:19: `environment`: `` cannot name a variable: a name has no `=` and is not empty"),
    ("environment: [A=1]", "5:5: `environment`: expected a map, found a list"),
    (
        "environment: {A: ${NO}}",
        "5:23: cannot parse YAML: did not find expected ',' or '}': put values with `{`, `[` or a leading `:` in quotes",
    ),
    ("environment: {A: \"${NO\"}", "5:22: `${NO` is not closed: write `${NAME}`, or `$$` for a `$`"),
    (
        "environment: {A: \"${NO}\"}",
        "5:22: the environment variable `NO` is not set: set it, or write `${NO:-default}`",
    ),
    ("environment: {A: \"$NO\"}", "5:22: a single `$`: write `${NAME}` for a variable, or `$$` for a `$`"),
    ("environment: {A: \"x$\"}", "5:22: a single `$`: write `${NAME}` for a variable, or `$$` for a `$`"),
    ("environment: {A: \"${}\"}", "5:22: `${}` names no variable: write `${NAME}` or `${NAME:-default}`"),
    ("environment: {A: \"${1A}\"}", "5:22: `${1A}` names no variable: write `${NAME}` or `${NAME:-default}`"),
    (
        "environment: {A: \"${NO:-${HOST}}\"}",
        "5:22: `${NO:-${HOST}` has a variable within its default, which is not expanded",
    ),
    ("environment: {A: !x 3}", "5:22: tags such as `!name` mean nothing here: remove it"),
    ("environment: {A: \"\\0\"}", "5:22: a NUL character, which no value can have"),
    ("? [a]\n: b", "3:5: a key must be text, not a list or a map"),
    ("environment: {A: 3", "6:1: cannot parse YAML: did not find expected ',' or '}'"),
    (
        "environment:\n\tA: 3",
        "6:5: cannot parse YAML: found character that cannot start any token: indent with spaces, not with tabs",
    ),
    ("environment: {A: *x}", "5:22: cannot parse YAML: unknown anchor"),
    ("a: &x [*x]", "5:8: nested too deeply: make it flatter, or use fewer aliases"),
    ("ready: /", "5:5: unknown key `ready`: it belongs to apps.NAME.reload"),
    ("reload: {redy: /}", "5:14: unknown key `redy`: did you mean `ready`?"),
    ("reload: {ready: healthz}", "5:21: `ready`: `healthz` is no path of a request: it begins with `/`"),
    ("reload: {ready: 3}", "5:21: `ready`: expected a path such as `/healthz`, found the number `3`"),
    ("reload: {ready: [/]}", "5:14: `ready`: expected a path, found a list"),
    ("reload: {ready: \"/a b\"}", "5:21: `ready`: `/a b` is no path of a request: write ` ` percent-encoded"),
    ("reload: {ready: /é}", "5:21: `ready`: `/é` is no path of a request: write `é` percent-encoded"),
    ("reload: {ready: /a#b}", "5:21: `ready`: `/a#b` is no path of a request: a fragment is not sent"),
    ("reload: {ready: {host: a}}", "5:14: missing key `path`: add it, with a path"),
    ("reload: {ready: {path: a}}", "5:28: `path`: `a` is no path of a request: it begins with `/`"),
    ("reload: {ready: {paht: /}}", "5:22: unknown key `paht`: did you mean `path`?"),
    (
        "reload: {ready: {path: /, host: http://a/}}",
        "5:37: `host`: `http://a/` is no host: write a name or an address, without `http://` and path",
    ),
    (
        "reload: {ready: {path: /, host: \"\"}}",
        "5:37: `host`: `` is no host: write a name or an address, without `http://` and path",
    ),
    ("reload: {ready: {path: /, scheme: ftp}}", "5:39: `scheme`: unknown value `ftp`: expected one of `http`, `https`"),
    ("reload: {surge: 0}", "5:21: `surge`: `0` is out of range: 1 to 512"),
    ("reload: {surge: some}", "5:21: `surge`: expected a whole number or `all`, found the text `some`"),
    (
        "reload: {on_change: /srv/*.py}",
        "5:25: `on_change`: `/srv/*.py` is no glob: it begins with `/`, but is relative to the folder of the application",
    ),
    ("reload: {on_change: [a, \"[b\"]}", "5:29: `on_change`: `[b` is no glob: its `[` is not closed"),
    ("reload: {on_change: []}", "5:14: `on_change`: the list is empty"),
    ("reload: {ignore: a**}", "5:22: `ignore`: `a**` is no glob: `**` stands alone between slashes"),
    ("on_broken_start: apologize", "5:22: `on_broken_start`: unknown value `apologize`: did you mean `apologise`?"),
    ("recycle: {request: 1}", "5:15: unknown key `request`: it belongs to apps.NAME.timeouts"),
    (
        "recycle: {memory: 3}",
        "5:23: `memory`: expected a size such as `8KiB`, `100MiB` or `1MB`, found `3`: add a unit (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)",
    ),
    ("listen: :1", "5:5: duplicate key `listen`: it is already on line 4"),
];

/// Values of `listen`, from line 4 and column 13 on.
const LISTEN: &[(&str, &str)] = &[
    (
        "8000",
        "4:13: `listen`: expected an address such as `127.0.0.1:8000` or `unix:/run/shop.sock`, found the number `8000`",
    ),
    (
        "a",
        "4:13: `listen`: `a` is no address: it has no port: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "true",
        "4:13: `listen`: expected an address such as `127.0.0.1:8000` or `unix:/run/shop.sock`, found the boolean `true`",
    ),
    (
        "[a]",
        "4:14: `listen`: `a` is no address: it has no port: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "[::1]:8000",
        "4:14: cannot parse YAML: did not find expected node content: put values with `{`, `[` or a leading `:` in quotes",
    ),
    (
        "::1:8000",
        "4:13: `listen`: `::1:8000` is no address: an IPv6 address stands in brackets: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "\"[::1]\"",
        "4:13: `listen`: `[::1]` is no address: its port is no number: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "\"[::x]:80\"",
        "4:13: `listen`: `[::x]:80` is no address: no IPv6 address is in the brackets: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    ("[]", "4:5: `listen`: the list is empty"),
    ("[{}]", "4:5: missing key `address`: add it, with an address"),
    ("[[a]]", "4:15: `listen`: expected an address, found a list"),
    (
        "~",
        "4:13: `listen`: expected an address such as `127.0.0.1:8000` or `unix:/run/shop.sock`, found nothing: give it a value, or remove the key",
    ),
    ("127.0.0.1:", "4:22: cannot parse YAML: mapping values are not allowed in this context"),
    (
        "127.0.0.1:http",
        "4:13: `listen`: `127.0.0.1:http` is no address: its port is no number: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "127.0.0.1:+80",
        "4:13: `listen`: `127.0.0.1:+80` is no address: its port is no number: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "256.0.0.1:80",
        "4:13: `listen`: `256.0.0.1:80` is no address: that is no IPv4 address: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "localhost:70000",
        "4:13: `listen`: `localhost:70000` is no address: ports end at 65535: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "example.org:80",
        "4:13: `listen`: `example.org:80` is no address: host names other than localhost are not looked up: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    ("*:80", "4:14: cannot parse YAML: did not find expected alphabetic or numeric character"),
    (
        "tcp://127.0.0.1:80",
        "4:13: `listen`: `tcp://127.0.0.1:80` is no address: host names other than localhost are not looked up: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    ("{address: localhost:1, mode: \"0660\"}", "4:42: `mode`: `127.0.0.1:1` has no file: remove it"),
    ("{address: \"unix:@a\", owner: root}", "4:41: `owner`: `unix:@a` has no file: remove it"),
    ("{address: unix:a, mode: 0660}", "4:37: `mode`: `0660` is a number to YAML: write \"0660\", in quotes"),
    ("{address: unix:a, mode: 660}", "4:37: `mode`: `660` is a number to YAML: write \"0660\", in quotes"),
    ("{address: unix:a, mode: 0o660}", "4:37: `mode`: `0o660` is a number to YAML: write \"0660\", in quotes"),
    (
        "{address: unix:a, mode: \"0960\"}",
        "4:37: `mode`: expected three or four octal digits such as \"0660\", found `0960`",
    ),
    (
        "{address: unix:a, mode: \"66\"}",
        "4:37: `mode`: expected three or four octal digits such as \"0660\", found `66`",
    ),
    (
        "{address: unix:a, mode: \"+660\"}",
        "4:37: `mode`: expected three or four octal digits such as \"0660\", found `+660`",
    ),
    ("{address: unix:a, owner: \":\"}", "4:38: `owner`: expected `user`, `user:group` or `:group`, found neither"),
    ("{address: unix:a, owner: nosuch}", "4:38: `owner`: there is no user `nosuch`"),
    ("{address: unix:a, owner: \"root:nosuch\"}", "4:38: `owner`: there is no group `nosuch`"),
    ("\"unix:\"", "4:13: `listen`: `unix:` has no name: write `unix:/run/shop.sock` or `unix:@name`"),
    ("unix:@", "4:13: `listen`: `unix:@` has no name: write `unix:/run/shop.sock` or `unix:@name`"),
    ("[{mode: \"0660\"}]", "4:15: missing key `address`: add it, with an address"),
    ("{address: localhost:1, protocol: cgi}", "4:46: `protocol`: unknown value `cgi`: did you mean `scgi`?"),
    ("{address: localhost:1, protocol: https}", "4:46: `protocol`: unknown value `https`: did you mean `http`?"),
    ("{address: localhost:1, tls: {}}", "4:36: missing key `certificate`: add it, with a path, or a list of them"),
    (
        "{address: localhost:1, allow: here}",
        "4:43: `allow`: `here` is no network: host names are not looked up, and this is no address: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    ("{address: localhost:1, secret: a}", "4:44: `secret`: only AJP has one: remove it, or write `protocol: ajp`"),
    (
        "{address: localhost:1, protocol: ajp, secret: \"\"}",
        "4:59: `secret`: it is empty: give it a value, or remove the key",
    ),
    (
        "{address: localhost:1, protocol: ajp, secret: \"a\\x01\"}",
        "4:59: `secret`: it must be printable ASCII, with no space at its ends, and not empty",
    ),
    (
        "{address: localhost:1, protocol: scgi, tls: {certificate: a.pem}}",
        "4:52: `tls`: only HTTP is encrypted here: remove it, or write `protocol: http`",
    ),
    (
        "{address: localhost:1, protocol: uwsgi, proxy_protocol: true}",
        "4:69: `proxy_protocol`: the web server tells its client by itself: remove it, or write `protocol: http`",
    ),
    (
        "{address: localhost:1, proxy_protocol: v2}",
        "4:52: `proxy_protocol`: `v2` is no network: host names are not looked up, and this is no address: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`",
    ),
    ("{adress: localhost:1}", "4:14: unknown key `adress`: did you mean `address`?"),
    (
        "{address: 80}",
        "4:23: `address`: expected an address such as `127.0.0.1:8000` or `unix:/run/shop.sock`, found the number `80`",
    ),
    ("[localhost:1, localhost:1]", "4:27: `listen`: duplicate address `127.0.0.1:1`: it is already on line 4"),
    ("\"${NO}:80\"", "4:13: the environment variable `NO` is not set: set it, or write `${NO:-default}`"),
    (
        "[localhost:1, \"${NO}:80\"]",
        "4:27: the environment variable `NO` is not set: set it, or write `${NO:-default}`",
    ),
];

/// Values of `wsgi`, from line 3 and column 11 on.
const WSGI: &[(&str, &str)] = &[
    (
        "hello",
        "3:11: `wsgi`: expected `module:attribute`, found `hello` without a colon: write for example `hello:application`",
    ),
    (
        "hello.py",
        "3:11: `wsgi`: expected `module:attribute`, found `hello.py` without a colon: write for example `hello:application`",
    ),
    (
        "./shop/hello.py",
        "3:11: `wsgi`: expected `module:attribute`, found `./shop/hello.py` without a colon: write for example `hello:application`",
    ),
    ("8000", "3:11: `wsgi`: expected text such as `hello:application`, found the number `8000`: write it in quotes"),
    ("[a]", "3:5: `wsgi`: expected text such as `hello:application`, found a list"),
    (
        "\"\"",
        "3:11: `wsgi`: expected `module:attribute`, found `` without a colon: write for example `hello:application`",
    ),
    ("\":app\"", "3:11: `wsgi`: `:app` begins with no dotted module name: write for example `hello:application`"),
    (
        "shop/hello:app",
        "3:11: `wsgi`: `shop/hello:app` begins with no dotted module name: write for example `hello:application`",
    ),
    (
        "hello-world:app",
        "3:11: `wsgi`: `hello-world:app` begins with no dotted module name: write for example `hello:application`",
    ),
    (
        "\"hello:\"",
        "3:11: `wsgi`: `hello:` names no attribute: write `hello:application`, or `hello:factory()` for what makes one",
    ),
    (
        "hello:app(1)",
        "3:11: `wsgi`: `hello:app(1)` names no attribute: write `hello:application`, or `hello:factory()` for what makes one",
    ),
    (
        "hello:app()()",
        "3:11: `wsgi`: `hello:app()()` names no attribute: write `hello:application`, or `hello:factory()` for what makes one",
    ),
    (
        "hello:a:b",
        "3:11: `wsgi`: `hello:a:b` names no attribute: write `hello:application`, or `hello:factory()` for what makes one",
    ),
    ("a..b:c", "3:11: `wsgi`: `a..b:c` begins with no dotted module name: write for example `hello:application`"),
    (
        "${NO:-hello}",
        "3:11: `wsgi`: expected `module:attribute`, found `hello` without a colon: write for example `hello:application`",
    ),
];

/// Whole files.
const FILES: &[(&str, &str)] = &[
    ("", "1:1: the file is empty: it needs at least `apps:`"),
    ("# c", "1:1: the file is empty: it needs at least `apps:`"),
    ("apps:", "1:6: `apps`: expected a map, found nothing: give it a value, or remove the key"),
    ("apps: {}", "1:1: `apps`: there is no application in it"),
    ("apps: []", "1:1: `apps`: expected a map, found a list"),
    ("- a", "1:1: expected a map with `apps` in it, found a list"),
    ("a", "1:1: expected a map with `apps` in it, found the text `a`"),
    ("3", "1:1: expected a map with `apps` in it, found the number `3`"),
    ("log: {}", "1:1: missing key `apps`: add it, with a map of names to applications"),
    ("app: 3", "1:1: unknown key `app`: did you mean `apps`?"),
    ("apps: {a: 3}", "1:11: `a`: expected a map, found the number `3`"),
    ("apps: {a: }", "1:11: `a`: expected a map, found nothing: give it a value, or remove the key"),
    (
        "apps: {a: {listen: \"localhost:1\"}}",
        "1:8: missing key `wsgi`: add it, with module:attribute | module:factory(); or `paste`, with PATH | PATH#NAME",
    ),
    ("apps: {a: {wsgi: \"a:b\"}}", "1:8: missing key `listen`: add it, with an address, a map, or a list of them"),
    ("apps: {a: {wsgi: \"a:b\", listen: \":1\"}}\n---\n", "2:1: a second YAML document begins here: a config is one"),
    (
        "apps: {a b: {}}",
        "1:8: `a b` cannot name an application: use at most 64 letters, digits, `-`, `_` and `.`, a letter or digit first",
    ),
    (
        "apps: {\"\": {}}",
        "1:8: `` cannot name an application: use at most 64 letters, digits, `-`, `_` and `.`, a letter or digit first",
    ),
    (
        "apps: {-a: {}}",
        "1:8: `-a` cannot name an application: use at most 64 letters, digits, `-`, `_` and `.`, a letter or digit first",
    ),
    ("apps: {a: {}, a: {}}", "1:15: duplicate key `a`: it is already on line 1"),
    ("watch: yes", "1:8: `watch`: expected true or false, found the text `yes`"),
    ("control: {}", "1:1: `control`: expected text, found a map"),
    (
        "pid_file: no/a.pid\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "1:11: `pid_file`: cannot make `DIR/no/a.pid`: its folder does not exist",
    ),
    (
        "log: {file: ./}\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "1:13: `file`: `DIR/` is a folder: name a file in it",
    ),
    ("on_supervisor_loss: die", "1:21: `on_supervisor_loss`: unknown value `die`: expected one of `adopt`, `drain`"),
    ("reload: {}", "1:1: unknown key `reload`: it belongs to apps.NAME"),
    ("workers: 3", "1:1: unknown key `workers`: it belongs to apps.NAME"),
    ("log: {level: warn}", "1:14: `level`: unknown value `warn`: did you mean `warning`?"),
    (
        "log: {access: {format: \"%(x)s\"}}",
        "1:24: `format`: `x` is no atom: the atoms are `h`, `l`, `u`, `t`, `r`, `s`, `m`, `U`, `q`, `H`, `b`, `B`, `f`, `a`, `T`, `D`, `M`, `L`, `p`, `{field}i`, `{field}o` and `{VARIABLE}e`",
    ),
    ("log: {access: {format: \"a %h\"}}", "1:24: `format`: `%h` begins no atom: write `%(h)s`, or `%%` for a `%`"),
    ("log: {access: {format: \"%(h)d\"}}", "1:24: `format`: `%(h)d` begins no atom: write `%(h)s`, or `%%` for a `%`"),
    ("log: {access: {format: \"%(h)s\\n%(s)s\"}}", "1:24: `format`: it has a control character: a request is one line"),
    (
        "log: {access: {format: \"%({a}x)s\"}}",
        "1:24: `format`: `{a}x` is no atom: the atoms are `h`, `l`, `u`, `t`, `r`, `s`, `m`, `U`, `q`, `H`, `b`, `B`, `f`, `a`, `T`, `D`, `M`, `L`, `p`, `{field}i`, `{field}o` and `{VARIABLE}e`",
    ),
    ("log: {access: {format: jason}}", "1:24: `format`: unknown format `jason`: did you mean `json`?"),
    ("log: {access: [true]}", "1:7: `access`: expected true, false or a map, found a list"),
    ("log: {format: xml}", "1:15: `format`: unknown value `xml`: expected one of `text`, `json`"),
    ("log: 3", "1:6: `log`: expected a map, found the number `3`"),
    ("\u{1}", "1:1: cannot parse YAML: control characters are not allowed"),
    ("a: \u{1}", "1:4: a character that YAML does not allow"),
    ("é: \u{7}", "1:4: a character that YAML does not allow"),
    ("a: b: c", "1:5: cannot parse YAML: mapping values are not allowed in this context"),
    ("@", "1:1: cannot parse YAML: found character that cannot start any token, while scanning for the next token"),
    ("%x", "1:3: cannot parse YAML: found unknown directive name"),
];

fn compare(cases: &[(&str, &str)], text: impl Fn(&str) -> String) {
    for (written, told) in cases {
        let folder = Folder::new();
        let error = folder.check(&text(written)).expect_err(written).replace(&*folder.path().to_string_lossy(), "DIR");
        assert_eq!(error, format!("f:{told}"), "for {written:?}");
    }
}

#[test]
fn an_application_that_is_wrong_is_told_so_at_its_place() {
    compare(LINES, app_with);
}

#[test]
fn a_listener_that_is_wrong_is_told_so_at_its_place() {
    compare(LISTEN, |listen| format!("apps:\n  hello:\n    wsgi: a:b\n    listen: {listen}\n"));
}

#[test]
fn a_callable_that_is_none_is_told_so_at_its_place() {
    compare(WSGI, |wsgi| format!("apps:\n  hello:\n    wsgi: {wsgi}\n    listen: localhost:1\n"));
}

#[test]
fn a_file_that_is_wrong_is_told_so_at_its_place() {
    compare(FILES, str::to_owned);
}

#[test]
fn an_address_belongs_to_one_listener_of_all_apps() {
    let text = "apps:\n  a: {wsgi: \"a:b\", listen: localhost:1}\n  b:\n    wsgi: a:b\n    listen:\n      - localhost:2\n      - address: 127.0.0.1:1\n";
    assert_eq!(error(text), "f:7:18: `listen`: duplicate address `127.0.0.1:1`: it is already on line 2");
}

#[test]
fn the_control_socket_is_a_path_that_no_listener_has() {
    let text = |path: &str| format!("control: {path}\napps: {{a: {{wsgi: \"a:b\", listen: unix:/run/a.sock}}}}\n");
    assert_eq!(
        error(&text("/run/a.sock")),
        "f:2:33: `listen`: duplicate address `unix:/run/a.sock`: it is already on line 1"
    );
    for path in ["unix:/run/b.sock", "\"@b\""] {
        let written = path.trim_matches('"');
        let told = format!("f:1:10: `control`: `{written}` is no path: write `/run/monoceros/control.sock`");
        assert_eq!(error(&text(path)), told);
    }
    let long = format!("/{}", "a".repeat(107));
    assert!(
        error(&text(&long)).starts_with(&format!("f:1:10: `control`: `unix:{long}` is too long for a Unix socket"))
    );
}

#[test]
fn a_unix_path_above_what_the_kernel_takes_is_refused() {
    let text = |path: &str| format!("apps:\n  a:\n    wsgi: a:b\n    listen: {path}\n");
    let path = format!("/{}", "a".repeat(107));
    let told = |name: &str| {
        format!("f:4:13: `listen`: `unix:{name}` is too long for a Unix socket: 108 bytes, and 107 are the most")
    };
    assert_eq!(error(&text(&format!("unix:{path}"))), told(&path));
    let name = format!("@{}", "a".repeat(108));
    assert_eq!(error(&text(&format!("unix:{name}"))), told(&name));
}

#[test]
fn a_long_value_is_cut_in_the_error() {
    let error = app_error(&format!("body: {}", "é".repeat(1000)));
    assert!(error.chars().count() < 300 && error.contains("é…`"), "{error}");
}

/// One below the smallest value of each key with a range, and one above the largest.
fn beyond() -> HashMap<&'static str, (&'static str, &'static str)> {
    HashMap::from([
        ("workers", ("0", "513")),
        ("threads", ("0", "513")),
        ("min", ("0", "513")),
        ("max", ("0", "513")),
        ("switch_interval", ("0ms", "1001ms")),
        ("backlog", ("0", "65536")),
        // Not out of range: no number is, below.
        ("mode", ("\"-1\"", "\"1000\"")),
        ("umask", ("\"-1\"", "\"1000\"")),
        ("orphan_timeout", ("999ms", "31536000001ms")),
        ("request", ("99ms", "86400001ms")),
        ("heartbeat", ("999ms", "3600001ms")),
        ("request_line_max", ("255B", "65537B")),
        ("header_count_max", ("15", "1001")),
        ("header_bytes_max", ("1023B", "1048577B")),
        ("body_bytes_max", ("-1B", "1099511627777B")),
        ("body_memory_max", ("1023B", "1073741825B")),
        ("connections_max", ("0", "1000001")),
        ("queue_max", ("0", "1000001")),
        ("body_rate_min", ("-1B", "1073741825B")),
        ("boot", ("99ms", "3600001ms")),
        ("head", ("99ms", "3600001ms")),
        ("body", ("99ms", "3600001ms")),
        ("queue", ("99ms", "86400001ms")),
        ("keepalive", ("99ms", "86400001ms")),
        ("write", ("99ms", "3600001ms")),
        ("drain", ("99ms", "86400001ms")),
        ("drain_delay", ("-1ms", "600001ms")),
        ("timeout", ("99ms", "600001ms")),
        ("surge", ("0", "513")),
        ("status", ("199", "600")),
        ("requests", ("0", "1000000001")),
        ("memory", ("8388607B", "1099511627777B")),
        ("age", ("999ms", "31536000001ms")),
        ("interval", ("99ms", "60001ms")),
    ])
}

/// An application that has this key with this value.
fn with(key: &Key, value: &str) -> String {
    let Key { section, name, .. } = key;
    if *section == "commands" {
        return format!("commands: {{{name}: {value}}}\n{}", app_with(""));
    }
    let Some(section) = section.strip_prefix("apps.NAME") else {
        if *section == "statsd" {
            return format!("statsd: {{address: localhost:1, {name}: {value}}}\n{}", app_with(""));
        }
        return format!("{name}: {value}\n{}", app_with(""));
    };
    match section {
        "" => app_with(&format!("{name}: {value}")),
        ".listen" => {
            format!("apps:\n  a:\n    wsgi: a:b\n    listen: {{address: unix:s, {name}: {value}}}\n")
        }
        ".listen.tls" => {
            let certificate = if *name == "certificate" { "" } else { "certificate: c.pem, " };
            format!(
                "apps:\n  a:\n    wsgi: a:b\n    listen: {{address: unix:s, tls: {{{certificate}{name}: {value}}}}}\n"
            )
        }
        ".threads" if *name == "min" => app_with(&format!("threads: {{min: {value}, max: 512}}")),
        ".static.PATH" if *name == "path" => app_with(&format!("static: {{/s: {{path: {value}}}}}")),
        ".static.PATH" => app_with(&format!("static: {{/s: {{path: ., {name}: {value}}}}}")),
        ".reload.ready" if name == &"path" => app_with(&format!("reload: {{ready: {{path: {value}}}}}")),
        ".reload.ready" => app_with(&format!("reload: {{ready: {{path: /, {name}: {value}}}}}")),
        section => app_with(&format!("{}: {{{name}: {value}}}", &section[1..])),
    }
}

#[test]
fn every_range_takes_its_ends_and_nothing_beyond_them() {
    let ranged: Vec<_> = keys().into_iter().filter(|key| key.range.is_some()).collect();
    assert!(ranged.len() >= beyond().len());
    for key in ranged {
        let (min, max) = key.range.unwrap();
        for end in [min, max] {
            let quoted = if matches!(key.name, "mode" | "umask") { format!("\"{end}\"") } else { end.to_owned() };
            Folder::new().check(&with(&key, &quoted)).unwrap();
        }
        let (below, above) = beyond()[key.name];
        for value in [below, above] {
            let error = error(&with(&key, value));
            let told = format!("is out of range: {min} to {max}");
            assert!(error.contains(&format!("`{}`", key.name)), "{error}");
            assert!(error.ends_with(&told) || value.contains('-'), "{error}");
        }
    }
}

#[test]
fn every_key_refuses_a_value_of_another_kind() {
    for key in keys().iter().filter(|key| key.section.starts_with("apps.NAME")) {
        let wrong = if key.form.contains("map") { "true" } else { "{a: b}" };
        let text = with(key, wrong).replacen(&format!("    {}: hello:application\n", key.name), "", 1);
        let text = if key.name == "listen" { text.replacen("    listen: 127.0.0.1:8000\n", "", 1) } else { text };
        let text = text.replacen("address: unix:s, address:", "address:", 1);
        let error = error(&text);
        assert!(error.contains(&format!("`{}`: expected ", key.name)), "{error} for {text}");
    }
    for key in keys().iter().filter(|key| key.section == "commands") {
        let error = error(&with(key, "{a: b}"));
        assert!(error.starts_with("f:1:12: `") && error.contains(&format!("`{}`: expected ", key.name)), "{error}");
    }
    assert_eq!(error("watch: 1"), "f:1:8: `watch`: expected true or false, found the number `1`");
    assert_eq!(error("log: {format: [a]}"), "f:1:7: `format`: expected one of `text`, `json`, found a list");
    assert_eq!(
        error("log: {level: 3}"),
        "f:1:14: `level`: expected one of `critical`, `error`, `warning`, `info`, `debug`, found the number `3`"
    );
    assert_eq!(error("log: {access: yes}"), "f:1:15: `access`: expected true, false or a map, found the text `yes`");
    assert_eq!(
        error("log: {access: {format: 3}}"),
        "f:1:24: `format`: expected `lines`, `json`, `combined` or a format such as `%(h)s \"%(r)s\" %(s)s`, found the number `3`"
    );
}

#[test]
fn an_application_of_pastes_is_refused_with_its_place() {
    let folder = Folder::new();
    folder.write("right.ini", "[app:main]\n");
    std::fs::create_dir(folder.path().join("folder.ini")).unwrap();
    for (keys, expected) in [
        (
            "paste: \"#main\"",
            "4:12: `paste`: `#main` names no file and no application in it: write `production.ini#main`",
        ),
        (
            "paste: right.ini#",
            "4:12: `paste`: `right.ini#` names no file and no application in it: write `production.ini#main`",
        ),
        ("paste: [right.ini]", "4:5: `paste`: expected text such as `production.ini#main`, found a list"),
        ("paste: gone.ini", "4:12: `paste`: cannot read `FOLDER/gone.ini`: it does not exist"),
        ("paste: folder.ini#main", "4:12: `paste`: cannot read `FOLDER/folder.ini`: it is a folder"),
        (
            "wsgi: a:b\n    paste: right.ini",
            "5:12: `paste`: what is served stands on line 4 already, as `wsgi`: keep one of the two",
        ),
    ] {
        let text = format!("apps:\n  a:\n    listen: localhost:1\n    {keys}\n");
        let expected = format!("f:{}", expected.replace("FOLDER", folder.path().to_str().unwrap()));
        assert_eq!(folder.check(&text).unwrap_err(), expected, "{keys}");
    }
}
