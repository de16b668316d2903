//! What a virtual environment says of itself (PEP 405).

/// The `major.minor` that a `pyvenv.cfg` names: by `version` (venv, PEP 405's own tool) or `version_info` (virtualenv, uv).
pub fn version(pyvenv_cfg: &str) -> Option<String> {
    let mut values = pyvenv_cfg.lines().filter_map(|line| line.split_once('='));
    let (_, full) = values.find(|(key, _)| matches!(key.trim(), "version" | "version_info"))?;
    let mut parts = full.trim().split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_virtualenv_is_read_as_each_tool_writes_it() {
        let venv = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.1\n";
        let virtualenv = "home = /usr/bin\nimplementation = CPython\nversion_info = 3.9.18.final.0\n";
        assert_eq!(version(venv).as_deref(), Some("3.12"));
        assert_eq!(version(virtualenv).as_deref(), Some("3.9"));
        assert_eq!(version("home = /usr/bin\n"), None);
    }
}
