//! `--user USER[:GROUP]`: names and numbers, from /etc/passwd and /etc/group read by ourselves.
//!
//! libc's own look-up would bring in NSS, and with it shared libraries that a static binary cannot have. A number needs
//! no file at all.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::sys::Identity;

/// Whom to run as, and what the environment says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) identity: Identity,
    /// `HOME`; `/` where /etc/passwd does not know the user.
    pub(super) home: String,
    /// `USER` and `LOGNAME`; None where /etc/passwd does not know the user.
    pub(super) name: Option<String>,
}

/// A line of /etc/passwd, as far as we need it (passwd(5)).
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Finds the user that `USER[:GROUP]` names; `own_gid` is for a number that /etc/passwd does not know and no group.
///
/// # Errors
/// The cause, for `cannot run as ...`.
pub(super) fn find(spec: &str, own_gid: u32) -> Result<User, String> {
    find_in(spec, own_gid, || read("/etc/passwd"), || read("/etc/group"))
}

/// The text of a file, nothing where there is none.
pub(super) fn read(path: &str) -> Result<String, String> {
    let read = || {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("cannot read `{path}`: {error}")),
    }
}

fn find_in(
    spec: &str,
    own_gid: u32,
    passwd: impl Fn() -> Result<String, String>,
    group: impl Fn() -> Result<String, String>,
) -> Result<User, String> {
    let (user, wanted_group) = spec.split_once(':').map_or((spec, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    // Only a name needs the file; to a number it adds what it can.
    let passwd = if number.is_some() { passwd().unwrap_or_default() } else { passwd()? };
    // A name that is all digits is found by name first, as chown(1) does it.
    let entry = entries(&passwd)
        .find(|entry| entry.name == user)
        .or_else(|| entries(&passwd).find(|entry| Some(entry.uid) == number));
    let uid = match (&entry, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(format!("/etc/passwd has no user `{user}`; a number needs no such file")),
    };
    let gid = match wanted_group {
        Some(wanted) => group_number(wanted, &group)?,
        None => entry.as_ref().map_or(own_gid, |entry| entry.gid),
    };
    let groups = match (&entry, wanted_group) {
        (Some(entry), None) => memberships(&group()?, entry.name, gid),
        _ => vec![gid],
    };
    if uid == u32::MAX || gid == u32::MAX {
        return Err(format!("{} is no number of a user or group", u32::MAX)); // setresuid(2): "leave it as it is"
    }
    Ok(User {
        identity: Identity { uid, gid, groups },
        home: entry.as_ref().map_or("/", |entry| entry.home).to_owned(),
        name: entry.map(|entry| entry.name.to_owned()),
    })
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_gecos, home) = (fields.next()?, fields.next()?);
        Some(Entry { name, uid, gid, home: if home.is_empty() { "/" } else { home } })
    })
}

/// The name, the number and the members of each group (group(5)).
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next().unwrap_or("")))
    })
}

fn group_number(wanted: &str, group: &impl Fn() -> Result<String, String>) -> Result<u32, String> {
    if let Ok(number) = wanted.parse() {
        return Ok(number);
    }
    let text = group()?;
    let found = groups(&text).find(|(name, ..)| *name == wanted).map(|(_, number, _)| number);
    found.ok_or_else(|| format!("/etc/group has no group `{wanted}`; a number needs no such file"))
}

/// The user's own group and those that list it.
fn memberships(group: &str, user: &str, gid: u32) -> Vec<u32> {
    let mut numbers = vec![gid];
    for (_, number, members) in groups(group) {
        if number != gid && members.split(',').any(|member| member == user) {
            numbers.push(number);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33:web:/var/www:\n1000:x:5:5::/odd:\nnohome:x:7:7:::\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlog:x:40:web,other\ntape:x:41:other\n";

    fn found(spec: &str) -> Result<User, String> {
        find_in(spec, 99, || Ok(PASSWD.to_owned()), || Ok(GROUP.to_owned()))
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str, name: Option<&str>) -> User {
        let identity = Identity { uid, gid, groups: groups.to_vec() };
        User { identity, home: home.to_owned(), name: name.map(str::to_owned) }
    }

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        assert_eq!(found("web"), Ok(user(33, 33, &[33, 40], "/var/www", Some("web"))));
        assert_eq!(found("33"), Ok(user(33, 33, &[33, 40], "/var/www", Some("web"))));
        assert_eq!(found("web:log"), Ok(user(33, 40, &[40], "/var/www", Some("web"))));
        assert_eq!(found("web:7"), Ok(user(33, 7, &[7], "/var/www", Some("web"))));
        assert_eq!(found("nohome"), Ok(user(7, 7, &[7], "/", Some("nohome"))));
    }

    #[test]
    fn a_number_that_nobody_knows_needs_no_file() {
        let nothing = || Ok(String::new());
        assert_eq!(find_in("1234:5678", 0, nothing, nothing), Ok(user(1234, 5678, &[5678], "/", None)));
        assert_eq!(found("1234"), Ok(user(1234, 99, &[99], "/", None)));
    }

    #[test]
    fn a_name_of_digits_is_a_name_first() {
        assert_eq!(found("1000"), Ok(user(5, 5, &[5], "/odd", Some("1000"))));
    }

    #[test]
    fn the_number_that_changes_nothing_is_refused() {
        for spec in ["4294967295", "4294967295:1", "1:4294967295"] {
            assert_eq!(found(spec), Err("4294967295 is no number of a user or group".to_owned()), "{spec}");
        }
    }

    #[test]
    fn who_is_not_there_is_named() {
        assert_eq!(
            found("nobody"),
            Err("/etc/passwd has no user `nobody`; a number needs no such file".to_owned())
        );
        assert_eq!(
            found("web:x"),
            Err("/etc/group has no group `x`; a number needs no such file".to_owned())
        );
    }
}
