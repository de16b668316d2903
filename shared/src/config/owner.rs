//! Names and numbers of users and groups, resolved by the machine's own lists.
//!
//! Rule: a name is always looked up, and so is a user's number, for a login name is needed to find the supplementary
//! groups. A group's number is taken as it is.

use nix::unistd::{Gid, Group, Uid, User};

use super::RunAs;
use super::fault::{Fault, shown};
use super::section::At;
use super::value::{Principal, Principals};

/// Who workers become.
pub(super) fn of_workers(
    user: &At<Principal>,
    group: Option<&At<Principal>>,
    groups: Option<&At<Principals>>,
) -> Result<RunAs, Fault> {
    let found = find_user(&user.value.0).map_err(|why| Fault::at(user.place, why).of_key("user"))?;
    let gid = match group {
        Some(group) => find_group(&group.value.0).map_err(|why| Fault::at(group.place, why).of_key("group"))?,
        None => found.gid,
    };
    let number = |group: &At<Principal>| match find_group(&group.value.0) {
        Ok(gid) => Ok(gid.as_raw()),
        Err(why) => Err(Fault::at(group.place, why).of_key("groups")),
    };
    let groups = groups.map(|groups| groups.value.0.iter().map(number).collect()).transpose()?;
    Ok(RunAs { user: found.name, uid: found.uid.as_raw(), gid: gid.as_raw(), groups, home: found.dir })
}

/// Who owns a socket's file: `user`, `user:group` or `:group`.
pub(super) fn of_socket(owner: &At<Principal>) -> Result<(Option<u32>, Option<u32>), Fault> {
    let fault = |why| Fault::at(owner.place, why).of_key("owner");
    let (user, group) = owner.value.0.split_once(':').unwrap_or((&owner.value.0, ""));
    if user.is_empty() && group.is_empty() {
        return Err(fault("expected `user`, `user:group` or `:group`, found neither".into()));
    }
    let user = some(user).map(find_user).transpose().map_err(fault)?;
    let group = some(group).map(find_group).transpose().map_err(fault)?;
    Ok((user.map(|user| user.uid.as_raw()), group.map(Gid::as_raw)))
}

fn some(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn find_user(name: &str) -> Result<User, String> {
    let found = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    found
        .map_err(|why| format!("cannot look the user {} up: {why}", shown(name)))?
        .ok_or_else(|| format!("there is no user {}", shown(name)))
}

fn find_group(name: &str) -> Result<Gid, String> {
    if let Ok(gid) = name.parse() {
        return Ok(Gid::from_raw(gid));
    }
    let found = Group::from_name(name).map_err(|why| format!("cannot look the group {} up: {why}", shown(name)))?;
    found.map(|group| group.gid).ok_or_else(|| format!("there is no group {}", shown(name)))
}
