//! Lets `worker` find the libpython that it was built against, wherever that is, and tells it which `python` that was.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
    let python = pyo3_build_config::get();
    let executable = python.executable().unwrap_or("python3");
    println!("cargo::rustc-env=MONOCEROS_PYTHON={executable}");
    println!("cargo::rustc-env=MONOCEROS_PYTHON_VERSION={}", python.version());
}
