//! Tells the service manager how the server is (`sd_notify`): a datagram to the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// It serves.
pub(crate) const READY: &str = "READY=1";
/// It is going down.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells it, if there is somebody to tell.
pub(crate) fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, state, "the service manager was not told");
    }
}

/// It reads its configuration again; [`READY`] follows.
pub(crate) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    format!("RELOADING=1\nMONOTONIC_USEC={}", i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000)
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let name = socket.as_bytes();
    // An address that begins with @ is in the abstract namespace, without a file.
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_or_without_a_file_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let name = format!("comfyd-test-{}", std::process::id());
        let abstract_one = SocketAddr::from_abstract_name(&name).expect("a name");
        let bound = [
            (UnixDatagram::bind(&path).expect("bound"), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_one).expect("bound"), format!("@{name}").into()),
        ];
        for (socket, named) in bound {
            send(&named, READY).expect("sent");
            let mut said = [0; 32];
            let length = socket.recv(&mut said).expect("received");
            assert_eq!(&said[..length], READY.as_bytes());
        }
        assert!(send(OsStr::new("/nowhere/notify"), READY).is_err());
        assert!(reloading().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }
}
