//! With real files: every wait is for a fact, with a deadline.

use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use monoceros_shared::config::{ClientCertificates, CommandLine, Reload, TlsVersion, from_command_line};
use monoceros_shared::tls::Material;
use slog::{Discard, o};

use super::*;

struct Site {
    folder: tempfile::TempDir,
    watch: Watch,
    woken: Receiver<()>,
}

impl Site {
    fn new() -> Site {
        let (sender, woken) = channel();
        // The receiver is gone at the end of a test, when nobody looks any more.
        let watch = Watch::new(
            move || {
                let _ = sender.send(());
            },
            &Logger::root(Discard, o!()),
        );
        Site { folder: tempfile::tempdir().unwrap(), watch, woken }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// As editors do: beside it, then over it.
    fn save(&self, name: &str, text: &str) {
        self.write("new~", text);
        fs::rename(self.at("new~"), self.at(name)).unwrap();
    }

    fn watch_code(&mut self) {
        let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
        let mut app = from_command_line(line).unwrap().config.apps.remove(0);
        app.name = "shop".into();
        app.directory = self.folder.path().to_owned();
        app.reload = Reload { on_change: vec!["**/*.py".into()], ..Reload::default() };
        self.watch.aim(None, &[app]);
    }

    fn watch_file(&mut self, name: &str) {
        let path = self.at(name);
        self.watch.aim(Some(&path), &[]);
    }

    /// The next wishes; none for batches that mean nothing.
    fn next(&mut self) -> Vec<Cause> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let now = Instant::now();
            assert!(now < deadline, "nothing was noticed");
            let wishes = self.watch.take(now);
            if !wishes.is_empty() {
                return wishes.into_iter().map(cause).collect();
            }
            let until = self.watch.deadline().unwrap_or(deadline).saturating_duration_since(now);
            // Woken or not, it looks again.
            let _ = self.woken.recv_timeout(until);
        }
    }

    fn code_at(&self, name: &str) -> Vec<Cause> {
        vec![Cause::CodeChanged { app: "shop".into(), path: self.at(name).display().to_string() }]
    }
}

fn cause(wish: Wish) -> Cause {
    match wish {
        Wish::Reload { cause } => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_content_of_the_file_is_a_reload_however_it_comes() {
    let mut site = Site::new();
    site.write("server.yaml", "one");
    site.watch_file("server.yaml");
    site.write("server.yaml", "two");
    assert_eq!(site.next(), [Cause::FileChanged]);
    site.save("server.yaml", "three");
    assert_eq!(site.next(), [Cause::FileChanged]);
    // The same again, other files and reading are none: only what follows them is noticed.
    site.save("server.yaml", "three");
    site.write("other.yaml", "x");
    assert_eq!(fs::read_to_string(site.at("server.yaml")).unwrap(), "three");
    fs::remove_file(site.at("server.yaml")).unwrap();
    site.write("server.yaml", "four");
    assert_eq!(site.next(), [Cause::FileChanged]);
}

#[test]
fn a_volume_that_kubernetes_swaps_is_a_reload() {
    let mut site = Site::new();
    let deploy = |site: &Site, name: &str| {
        fs::create_dir(site.at(name)).unwrap();
        site.write(&format!("{name}/server.yaml"), name);
        symlink(name, site.at("..data_tmp")).unwrap();
        fs::rename(site.at("..data_tmp"), site.at("..data")).unwrap();
    };
    deploy(&site, "..2026_a");
    symlink("..data/server.yaml", site.at("server.yaml")).unwrap();
    site.watch_file("server.yaml");
    for name in ["..2026_b", "..2026_c", "..2026_d"] {
        deploy(&site, name);
        assert_eq!(site.next(), [Cause::FileChanged], "{name}");
    }
    // The folder that the link leads to is watched too.
    site.write("..2026_d/server.yaml", "by hand");
    assert_eq!(site.next(), [Cause::FileChanged]);
}

#[test]
fn a_certificate_that_is_renewed_is_a_reload_where_the_file_is_watched() {
    let mut site = Site::new();
    ["server.yaml", "a.pem", "a.key", "ca.pem"].iter().for_each(|name| site.write(name, "one"));
    let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
    let mut app = from_command_line(line).unwrap().config.apps.remove(0);
    app.listen[0].tls = Some(Tls {
        certificates: vec![(site.at("a.pem"), site.at("a.key"))],
        client_certificates: ClientCertificates::Required,
        client_authorities: vec![site.at("ca.pem")],
        min_version: TlsVersion::Tls12,
        material: Material::default(),
    });
    let path = site.at("server.yaml");
    site.watch.aim(Some(&path), &[app.clone()]);
    for name in ["a.pem", "a.key", "ca.pem", "server.yaml"] {
        site.save(name, "two");
        assert_eq!(site.next(), [Cause::FileChanged], "{name}");
    }
    // Whoever does not watch the file does not watch what it names.
    site.watch.aim(None, &[app]);
    assert!(site.watch.files.is_empty());
}

#[test]
fn a_save_of_code_is_a_reload_of_its_application() {
    let mut site = Site::new();
    site.write("shop.py", "one");
    site.watch_code();
    site.save("shop.py", "two");
    assert_eq!(site.next(), site.code_at("shop.py"));
    // Saving the same again is one too: that is how people ask for it.
    site.write("shop.py", "two");
    assert_eq!(site.next(), site.code_at("shop.py"));
}

#[test]
fn a_storm_of_saves_is_one_reload() {
    let mut site = Site::new();
    site.watch_code();
    let began = Instant::now();
    for number in 0..200 {
        site.save(&format!("m{number:03}.py"), "x");
    }
    assert_eq!(site.next(), site.code_at("m000.py"));
    site.save("z.py", "after the storm");
    let mut reloads = 1;
    while site.next() != site.code_at("z.py") {
        reloads += 1;
    }
    // On a machine that is busy the storm itself can last.
    let longest = 1 + began.elapsed().div_duration_f64(basket::CAP) as u32;
    assert!(reloads <= longest, "{reloads} reloads of one storm");
}

#[test]
fn folders_that_come_and_go_are_followed() {
    let mut site = Site::new();
    site.watch_code();
    fs::create_dir(site.at("sub")).unwrap();
    site.write("sub/a.py", "in a folder that was not there before");
    assert_eq!(site.next(), site.code_at("sub/a.py"));
    fs::create_dir(site.at("aside")).unwrap();
    site.write("aside/b.py", "x");
    assert_eq!(site.next(), site.code_at("aside/b.py"));
    fs::rename(site.at("sub"), site.at("was~")).unwrap();
    fs::rename(site.at("aside"), site.at("sub")).unwrap();
    assert_eq!(site.next(), site.code_at("sub/b.py"));
    site.write("sub/c.py", "x");
    assert_eq!(site.next(), site.code_at("sub/c.py"));
}

#[test]
fn a_loaded_module_is_watched_wherever_it_is() {
    let mut site = Site::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let module = elsewhere.path().join("lib.py");
    fs::write(&module, "one").unwrap();
    site.watch_code();
    site.watch.loaded("shop", vec![module.clone()]);
    fs::write(elsewhere.path().join("other.py"), "not loaded").unwrap();
    fs::write(&module, "two").unwrap();
    let expected = Cause::CodeChanged { app: "shop".into(), path: module.display().to_string() };
    assert_eq!(site.next(), std::slice::from_ref(&expected));
    // What is loaded stays known when the config is taken up again, and when a worker was not asked.
    site.watch_code();
    site.watch.loaded("shop", Vec::new());
    fs::write(&module, "three").unwrap();
    assert_eq!(site.next(), [expected]);
}

#[test]
fn a_server_that_watches_nothing_runs_nothing() {
    let mut site = Site::new();
    site.watch_code();
    site.watch.aim(None, &[]);
    site.write("shop.py", "x");
    assert!(site.watch.take(Instant::now() + Duration::from_secs(5)).is_empty());
    assert!(site.woken.recv_timeout(Duration::ZERO).is_err());
}

#[test]
fn what_the_kernel_does_not_tell_is_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, woken) = channel();
    let basket = Basket::new(move || {
        let _ = sender.send(());
    });
    let mut eye = Eyes::new(basket.clone(), &Logger::root(Discard, o!()));
    eye.look_again_at(folder.path()).unwrap();
    fs::write(folder.path().join("a.py"), "x").unwrap();
    woken.recv_timeout(Duration::from_secs(10)).expect("the new file is seen");
    let batch = basket.take(Instant::now() + basket::CAP).unwrap();
    assert!(batch.paths.contains(&folder.path().join("a.py")), "{batch:?}");
}
