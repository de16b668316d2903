//! Which files are an application's code, and which folders hold them.
//!
//! ```text
//!   code: (matches a glob of `reload.on_change` | a loaded module's file) and is not ignored
//!   ignored: a glob of `reload.ignore`, or what no one writes by hand: caches, repositories, editors' temporary files
//! ```
//!
//! Rules
//! * A glob is relative to `directory`; one of `reload.ignore` without a slash means the name of any file or folder.
//! * Links to folders are not followed, and a folder that is a virtualenv is not entered: what matters there is loaded.
//!
//! Known fault: at most [`FOLDERS_MAX`] folders of an application are watched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use monoceros_shared::config::App;

/// Folders of one application. More would be a data folder by mistake, and the kernel's watches are shared by all of a
/// user's programs (8192 where nobody raised it).
pub const FOLDERS_MAX: usize = 4096;

/// Names of files and folders that are written by programs.
const NOT_CODE: [&str; 19] = [
    "__pycache__",
    "node_modules",
    ".git",
    ".hg",
    ".svn",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "*.pyc",
    "*.pyo",
    // Editors: backups and locks of Emacs, swap files and the probe of Vim, what JetBrains and gedit write first.
    "*~",
    "#*#",
    ".#*",
    ".*.sw?",
    "4913",
    "*___jb_tmp___",
    ".goutputstream-*",
];

const AS_PATHS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// An application's code.
#[derive(Debug)]
pub struct Code {
    /// The application's name.
    pub app: String,
    directory: PathBuf,
    virtualenv: Option<PathBuf>,
    on_change: Vec<Glob>,
    ignored_paths: Vec<Pattern>,
    ignored_names: Vec<Pattern>,
    loaded: BTreeSet<PathBuf>,
}

/// A glob, and the folder below which all that it matches is.
#[derive(Debug)]
struct Glob {
    root: PathBuf,
    pattern: Pattern,
    depth: Depth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// It matches in `root` alone.
    Flat,
    /// It matches below, too.
    Deep,
}

impl Code {
    /// What an application asks for; `None` if it asks for nothing.
    ///
    /// # Errors
    /// `cannot watch GLOB: ...`, for a glob that is none.
    pub fn of(app: &App) -> Result<Option<Code>, String> {
        if app.reload.on_change.is_empty() {
            return Ok(None);
        }
        let names = NOT_CODE.iter().copied();
        let (paths, given): (Vec<&str>, Vec<&str>) =
            app.reload.ignore.iter().map(String::as_str).partition(|glob| glob.contains('/'));
        let names = names.chain(given).map(pattern).collect::<Result<_, _>>()?;
        let paths = paths.iter().map(|glob| Glob::new(&app.directory, glob).map(|glob| glob.pattern));
        let globs = app.reload.on_change.iter().map(|glob| Glob::new(&app.directory, glob));
        Ok(Some(Code {
            app: app.name.clone(),
            directory: app.directory.clone(),
            virtualenv: app.virtualenv.clone(),
            on_change: globs.collect::<Result<_, _>>()?,
            ignored_paths: paths.collect::<Result<_, _>>()?,
            ignored_names: names,
            loaded: BTreeSet::new(),
        }))
    }

    /// The files of the modules that it has loaded now. Whether they are others than before.
    pub fn load(&mut self, files: impl IntoIterator<Item = PathBuf>) -> bool {
        let files = files.into_iter().collect();
        let before = std::mem::replace(&mut self.loaded, files);
        before != self.loaded
    }

    /// Takes over what another had loaded.
    pub fn inherit(&mut self, other: Code) {
        self.loaded = other.loaded;
    }

    /// Whether a change of this file is a change of the code.
    pub fn contains(&self, path: &Path) -> bool {
        let is_meant = || self.on_change.iter().any(|glob| glob.pattern.matches_path_with(path, AS_PATHS));
        (self.loaded.contains(path) || is_meant()) && !self.ignores(path)
    }

    fn ignores(&self, path: &Path) -> bool {
        let is_named = |name: &Component<'_>| {
            self.ignored_names.iter().any(|pattern| pattern.matches_path_with(Path::new(name), AS_PATHS))
        };
        let named = match path.strip_prefix(&self.directory) {
            Ok(inside) => inside.components().any(|name| is_named(&name)),
            // The folders above it are not the application's; they may be called anything.
            Err(_) => path.components().next_back().is_some_and(|name| is_named(&name)),
        };
        named || self.ignored_paths.iter().any(|pattern| pattern.matches_path_with(path, AS_PATHS))
    }

    /// The folders that hold it.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for glob in &self.on_change {
            self.walk(glob, &mut folders);
        }
        let loaded = self.loaded.iter().filter_map(|file| file.parent()).map(Path::to_owned);
        folders.extend(loaded.take(FOLDERS_MAX));
        folders
    }

    fn walk(&self, glob: &Glob, folders: &mut BTreeSet<PathBuf>) {
        let mut left = vec![glob.root.clone()];
        while let Some(folder) = left.pop() {
            if folders.len() >= FOLDERS_MAX {
                return;
            }
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            if glob.depth == Depth::Deep {
                let inner = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                left.extend(inner.map(|entry| entry.path()).filter(|path| !self.is_foreign(path)));
            }
            folders.insert(folder);
        }
    }

    /// A folder whose files are not written here.
    fn is_foreign(&self, folder: &Path) -> bool {
        self.ignores(folder) || self.virtualenv.as_deref() == Some(folder) || folder.join("pyvenv.cfg").exists()
    }
}

impl Glob {
    fn new(directory: &Path, text: &str) -> Result<Glob, String> {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let is_plain = |part: &&&str| !part.contains(['*', '?', '[']);
        let plain = parts.iter().take_while(is_plain).count().min(parts.len().saturating_sub(1));
        let mut root = if text.starts_with('/') { PathBuf::from("/") } else { directory.to_owned() };
        for part in &parts[..plain] {
            match *part {
                "." => {}
                ".." => drop(root.pop()),
                name => root.push(name),
            }
        }
        let rest = parts[plain..].join("/");
        let whole = format!("{}/{rest}", Pattern::escape(&root.to_string_lossy()).trim_end_matches('/'));
        let depth = if rest.contains('/') { Depth::Deep } else { Depth::Flat };
        Ok(Glob { root, pattern: pattern(&whole)?, depth })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("cannot watch {text}: {}", error.msg))
}

#[cfg(test)]
mod tests {
    use monoceros_shared::config::{CommandLine, Reload, from_command_line};

    use super::*;

    fn code(directory: &Path, on_change: &[&str], ignore: &[&str]) -> Result<Option<Code>, String> {
        let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
        let mut app = from_command_line(line).unwrap().config.apps.remove(0);
        let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        app.directory = directory.to_owned();
        app.reload = Reload { on_change: owned(on_change), ignore: owned(ignore), ..Reload::default() };
        Code::of(&app)
    }

    #[test]
    fn code_is_what_a_glob_matches_below_the_directory() {
        let code = code(Path::new("/srv/[a]"), &["**/*.py", "conf/*.toml", "../lib/**/*.html"], &[]).unwrap().unwrap();
        for path in
            ["/srv/[a]/a.py", "/srv/[a]/b/c/d.py", "/srv/[a]/conf/x.toml", "/srv/lib/t/x.html", "/srv/lib/x.html"]
        {
            assert!(code.contains(Path::new(path)), "{path}");
        }
        for path in
            ["/srv/a/a.py", "/srv/[a]/a.txt", "/srv/[a]/conf/b/x.toml", "/srv/[a]/x.toml", "/srv/other.html", "/"]
        {
            assert!(!code.contains(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn what_programs_write_is_no_code() {
        let code = code(Path::new("/srv/.git"), &["**/*", "**/*.py"], &["migrations", "data/*.py"]).unwrap().unwrap();
        assert!(code.contains(Path::new("/srv/.git/a.py")), "the folders above are not the application's");
        let ignored = [
            "__pycache__/a.py",
            "b/__pycache__/a.cpython-311.pyc",
            "a.pyc",
            ".git/config",
            "node_modules/x/y.py",
            ".a.py.swp",
            ".#a.py",
            "#a.py#",
            "a.py~",
            "4913",
            "b/a.py___jb_tmp___",
            "migrations/1.py",
            "b/migrations/1.py",
            "data/a.py",
        ];
        for path in ignored {
            assert!(!code.contains(&Path::new("/srv/.git").join(path)), "{path}");
        }
        for path in ["data/b/a.py", ".env", "a.swp.py"] {
            assert!(code.contains(&Path::new("/srv/.git").join(path)), "{path}");
        }
    }

    #[test]
    fn loaded_modules_are_code_wherever_they_are() {
        let mut code = code(Path::new("/srv/a"), &["*.toml"], &["secret.py"]).unwrap().unwrap();
        let files = ["/lib/__pycache__/x/one.py", "/srv/a/two.py", "/lib/secret.py"].map(PathBuf::from);
        assert!(code.load(files.clone()));
        assert!(!code.load(files), "nothing new");
        assert!(code.contains(Path::new("/lib/__pycache__/x/one.py")) && code.contains(Path::new("/srv/a/two.py")));
        assert!(!code.contains(Path::new("/lib/secret.py")) && !code.contains(Path::new("/lib/other.py")));
        assert!(code.folders().contains(Path::new("/lib/__pycache__/x")));
    }

    #[test]
    fn only_folders_with_code_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["shop/views", ".git/objects", "shop/__pycache__", ".venv/lib", "env/lib", "skipped/deep"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("env/pyvenv.cfg"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), at("shop/round")).unwrap();
        let deep = code(folder.path(), &["**/*.py"], &["skipped", ".venv"]).unwrap().unwrap();
        assert_eq!(
            deep.folders(),
            BTreeSet::from([at(""), at("shop"), at("shop/views")].map(|path| path.components().collect()))
        );
        let flat = code(folder.path(), &["shop/*.py"], &[]).unwrap().unwrap();
        assert_eq!(flat.folders(), BTreeSet::from([at("shop")]));
    }

    #[test]
    fn what_is_not_asked_for_is_not_watched_and_a_glob_that_is_none_is_said() {
        assert!(code(Path::new("/srv"), &[], &[]).unwrap().is_none());
        let why = code(Path::new("/srv"), &["a[.py"], &[]).unwrap_err();
        assert!(why.starts_with("cannot watch /srv/a[.py: "), "{why}");
    }
}
