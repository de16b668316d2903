//! What we were given as standard input: by a FastCGI process manager (spawn-fcgi, `mod_fcgid`, lighttpd) the socket to listen on (FastCGI 1.0,
//! 2.2), by a web server that wants one CGI request answered that request's body.
//!
//! Rules
//! * A listening socket there is one more listener, which speaks FastCGI, for the application on the command line in the place of the
//!   default address, for those of a file beside what they have. Where the file names its address, what the file says of it holds.
//! * FCGI_WEB_SERVER_ADDRS says who may connect to it, if it is there (FastCGI 1.0, 3.2).
//! * CGI is meant where GATEWAY_INTERFACE is set and there is no such socket, or FCGI_FORCE_CGI says `Y`.
//! * The descriptor itself stays, so that the next program of an upgrade finds it too.

use std::env;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use monoceros_shared::config::{Address, Config};
use nix::sys::socket::{getsockopt, sockopt};
use socket2::SockRef;

use crate::listen::address_of;
use crate::spawn;
use crate::systemd::given::Given;

/// The name of the socket among those that were given.
const NAME: &str = "standard input";

/// Where the socket listens that is our standard input, if it is one.
pub fn listener() -> Option<Address> {
    let input = io::stdin();
    let is_listening = getsockopt(&input, sockopt::AcceptConn).is_ok_and(|listens| listens);
    let is_cgi = env::var_os("FCGI_FORCE_CGI").is_some_and(|value| value.as_bytes().first() == Some(&b'Y'));
    if is_listening && !is_cgi { address_of(&SockRef::from(&input)) } else { None }
}

/// A copy of it, to be offered to who listens there.
pub fn given() -> Option<Given> {
    listener()?;
    Some(Given { name: NAME.to_owned(), socket: io::stdin().as_fd().try_clone_to_owned().ok()? })
}

/// Has the config serve FastCGI at that socket, if there is one.
///
/// # Errors
/// When FCGI_WEB_SERVER_ADDRS names no addresses.
pub fn serve(config: &mut Config) -> Result<(), String> {
    match listener() {
        Some(address) => config.serve_fastcgi(address, env::var("FCGI_WEB_SERVER_ADDRS").ok().as_deref()),
        None => Ok(()),
    }
}

/// Whether we were started to answer one CGI request.
pub fn is_cgi_request() -> bool {
    env::var_os("GATEWAY_INTERFACE").is_some() && env::var_os("REQUEST_METHOD").is_some() && listener().is_none()
}

/// Becomes the worker that answers it; why that cannot be, if it returns.
pub fn answer_cgi_request(wsgi: &str) -> String {
    let own = match env::current_exe() {
        Ok(own) => own,
        Err(why) => return format!("cannot find the worker: {why}"),
    };
    let words = ["worker".into(), "--cgi".into(), wsgi.to_owned().into_bytes()];
    let environment = env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let text = |bytes: Vec<u8>| CString::new(bytes).ok();
    let path = text(own.with_file_name("worker").into_os_string().into_vec());
    let words: Option<Vec<CString>> = words.into_iter().map(text).collect();
    let environment: Option<Vec<CString>> = environment.map(text).collect();
    match (path, words, environment) {
        (Some(path), Some(words), Some(environment)) => {
            format!("cannot become the worker: {}", spawn::become_path(&path, &words, &environment))
        }
        (_, _, _) => "cannot become the worker: there is a NUL in what it is to be given".to_owned(),
    }
}
