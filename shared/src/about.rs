//! What a worker's program says of itself when it is asked by `worker --about`, and of the Python that it starts.
//!
//! Words and values, one pair a line. It is asked by a supervisor that may be of another version, so words are added and never
//! change; what is not known is passed over.

use std::fmt;
use std::path::PathBuf;

/// What a worker's program says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its own version, `0.1.0`.
    pub version: String,
    /// The version of the words that it understands.
    pub link: u16,
    /// The Python that it was built for, `3.11`.
    pub built_for: String,
    /// The libpython that the loader found.
    pub library: Option<PathBuf>,
    /// What Python says when it runs; why it does not, otherwise.
    pub python: Option<Result<Python, String>>,
}

/// What Python says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Python {
    /// `3.11.7`.
    pub version: String,
    /// `sys.executable`.
    pub executable: PathBuf,
    /// `sys.prefix`: the virtualenv's root, if it is in one.
    pub prefix: PathBuf,
    /// `sys.base_prefix`: where the standard library lies.
    pub base: PathBuf,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version {}\nlink {}\nbuilt-for {}", self.version, self.link, self.built_for)?;
        if let Some(library) = &self.library {
            writeln!(f, "library {}", library.display())?;
        }
        match &self.python {
            Some(Ok(python)) => {
                let Python { version, executable, prefix, base } = python;
                writeln!(f, "python {version}\nexecutable {}", executable.display())?;
                writeln!(f, "prefix {}\nbase {}", prefix.display(), base.display())
            }
            Some(Err(why)) => writeln!(f, "no-python {}", why.replace('\n', " ")),
            None => Ok(()),
        }
    }
}

impl About {
    /// Reads what one has said; `None` when it said nothing of the kind.
    pub fn read(said: &str) -> Option<About> {
        let mut about = About::default();
        let mut python = Python::default();
        for (word, value) in said.lines().filter_map(|line| line.split_once(' ')) {
            match word {
                "version" => about.version = value.to_owned(),
                "link" => about.link = value.parse().ok()?,
                "built-for" => about.built_for = value.to_owned(),
                "library" => about.library = Some(value.into()),
                "python" => python.version = value.to_owned(),
                "executable" => python.executable = value.into(),
                "prefix" => python.prefix = value.into(),
                "base" => python.base = value.into(),
                "no-python" => about.python = Some(Err(value.to_owned())),
                // What the loader or Python prints in between, and what later versions add.
                _ => {}
            }
        }
        if !python.version.is_empty() {
            about.python = Some(Ok(python));
        }
        (!about.version.is_empty() && !about.built_for.is_empty()).then_some(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_among_what_else_is_printed() {
        let said = "worker: warming up\nversion 0.1.0\nlink 6\nbuilt-for 3.11\nlibrary /usr/lib/libpython3.11.so.1.0\n\
            colour blue\npython 3.11.2\nexecutable /srv/my shop/bin/python\nprefix /srv/my shop\nbase /usr\n";
        let about = About::read(said).unwrap();
        assert_eq!((about.version.as_str(), about.link, about.built_for.as_str()), ("0.1.0", 6, "3.11"));
        let python = about.python.unwrap().unwrap();
        assert_eq!(python.executable, PathBuf::from("/srv/my shop/bin/python"));
        assert_eq!((python.version.as_str(), python.base), ("3.11.2", PathBuf::from("/usr")));
    }

    #[test]
    fn a_python_that_does_not_start_is_told_in_one_line() {
        let about = About { python: Some(Err("no module named\nencodings".into())), ..About::default() };
        assert!(about.to_string().ends_with("\nno-python no module named encodings\n"));
    }

    #[test]
    fn what_says_nothing_of_the_kind_is_no_account() {
        assert_eq!(About::read("worker: the supervisor starts me\n"), None);
        assert_eq!(About::read("version 0.1.0\nlink many\nbuilt-for 3.11\n"), None);
    }
}
