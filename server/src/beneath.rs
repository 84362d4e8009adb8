//! Opens what lies beneath a folder that was allowed, whatever links are put in the way meanwhile.
//!
//! Invariants: no component below the root is followed if it is a link; only regular files are read; descriptors are never inherited.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;

/// How folders on the way are opened: for what is in them, whether they can be listed or not.
const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the folder at this path below the root, to list and to sync it; what is not there is made, for its owner alone.
pub(crate) fn folder(root: &Path, below: &Path) -> io::Result<OwnedFd> {
    let mut at = open(root, WAY, Mode::empty())?;
    for part in below.components() {
        let Component::Normal(name) = part else { return Err(not_plain(below)) };
        match mkdirat(&at, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = openat(&at, name, WAY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(openat(&at, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens the regular file at this path below the root.
pub(crate) fn file(root: &Path, below: &Path) -> io::Result<File> {
    let name = below.file_name().ok_or_else(|| not_plain(below))?;
    let mut at = open(root, WAY, Mode::empty())?;
    for part in below.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(name) = part else { return Err(not_plain(below)) };
        at = openat(&at, name, WAY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    regular(openat(&at, name, READ, Mode::empty())?)
}

/// Opens a regular file by a path that is ours; only a link in its place is not followed.
pub(crate) fn regular_file(path: &Path) -> io::Result<File> {
    regular(openat(CWD, path, READ, Mode::empty())?)
}

/// How files are opened: a pipe without a writer must not hold us up.
pub(crate) const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn regular(file: OwnedFd) -> io::Result<File> {
    let file = File::from(file);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")) }
}

fn not_plain(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a plain path", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_below_the_root_is_followed() {
        let (root, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (root, elsewhere) = (root.path(), elsewhere.path());
        std::fs::create_dir(root.join("in")).expect("made");
        std::fs::write(root.join("in/a"), "a").expect("written");
        std::fs::write(elsewhere.join("secret"), "s").expect("written");
        symlink(elsewhere, root.join("way")).expect("linked");
        symlink(elsewhere.join("secret"), root.join("link")).expect("linked");
        rustix::fs::mknodat(CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
        let mut text = String::new();
        file(root, Path::new("in/a")).and_then(|mut file| file.read_to_string(&mut text)).expect("a file");
        assert_eq!(text, "a");
        for bad in ["way/secret", "link", "in", "pipe", "../x", "in/../in/a", "", "/etc/passwd", "none"] {
            assert!(file(root, Path::new(bad)).is_err(), "{bad}");
        }
        for bad in ["way", "way/new", "in/a", "../x", "link"] {
            assert!(folder(root, Path::new(bad)).is_err(), "{bad}");
        }
        assert!(!elsewhere.join("new").exists());
        folder(root, Path::new("new/deep")).expect("made");
        folder(root, Path::new("new/deep")).expect("there");
        assert!(regular_file(&root.join("link")).is_err() && regular_file(&root.join("pipe")).is_err());
        regular_file(&root.join("in/a")).expect("a file");
    }
}
