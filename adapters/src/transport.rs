//! Byte streams to a server, whatever carries them.
//!
//! One [`Transport`] is one server. TCP stands here; an SSH channel or a pipe in memory are the same to everything above.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use comfyd_engine::InstanceId;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::digest::sha256;
use crate::ssh::SshTransport;

/// How long a connection may take (reliability.md 8).
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection: bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The way to one server.
pub trait Transport: Send + Sync {
    /// Opens a new connection.
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// What goes into the `Host` header.
    fn host(&self) -> String;

    /// The addresses that a connection would go to; empty where nothing has to be looked up.
    fn resolve(&self) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Which process the server is, where the way there can tell: none where it cannot be told, or not now.
    fn process(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(std::future::ready(None))
    }

    /// The way over SSH, if that is it.
    fn ssh(&self) -> Option<&SshTransport> {
        None
    }

    /// Another way to the same server, for what is large and must not hold up the rest; none where this one does for both.
    fn bulk(&self) -> Option<Arc<dyn Transport>> {
        None
    }
}

/// Why no connection ever goes to an address: it is no server's, or it hands out secrets of the machine.
///
/// ```
/// use comfyd_adapters::transport::refused_address;
/// assert!(refused_address("169.254.169.254".parse()?).is_some());
/// assert!(refused_address("::ffff:169.254.169.254".parse()?).is_some());
/// assert_eq!(refused_address("192.168.1.7".parse()?), None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn refused_address(address: IpAddr) -> Option<&'static str> {
    // The services of clouds that tell a machine its credentials, where they are not link-local anyway.
    const METADATA: [IpAddr; 2] =
        [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];
    // An IPv4 address in an IPv6 dress is what it is.
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let nobody = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    };
    match () {
        () if METADATA.contains(&address) => Some("a metadata service of a cloud"),
        () if link_local => Some("link-local"),
        () if nobody || address.is_multicast() => Some("the address of no single server"),
        () => None,
    }
}

/// Where a server listens: `http://host:port`.
///
/// ```
/// use comfyd_adapters::transport::Address;
/// let address: Address = "http://127.0.0.1:8188".parse()?;
/// assert_eq!((address.host(), address.port()), ("127.0.0.1", 8188));
/// assert_eq!(address.instance_id().as_str(), "127.0.0.1-8188");
/// # Ok::<(), comfyd_adapters::transport::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// A text is not the address of a ComfyUI server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It begins with `https://`.
    #[error("use `{0}`: TLS is not spoken here")]
    Tls(String),
    /// It begins with another scheme, or none.
    #[error("read `{0}` as an address: it does not begin with `http://`")]
    Scheme(String),
    /// It holds a user or a password.
    #[error("use an address with a user or a password in it")]
    UserInfo,
    /// It goes on after host and port.
    #[error("use `{0}`: it has a path, a query or a fragment")]
    Path(String),
    /// The port is missing or no number from 1 to 65535.
    #[error("read the port of `{0}`")]
    Port(String),
    /// The host is empty or has characters that no host name has.
    #[error("read the host of `{0}`")]
    Host(String),
}

impl AddressError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tls(_) => "address_tls",
            Self::Scheme(_) => "address_scheme",
            Self::UserInfo => "address_userinfo",
            Self::Path(_) => "address_path",
            Self::Port(_) => "address_port",
            Self::Host(_) => "address_host",
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Tls(_) => "Reach the server over an SSH tunnel, or give the http:// address behind the proxy.",
            Self::Scheme(_) => "Write it as http://HOST:PORT, for example http://127.0.0.1:8188.",
            Self::UserInfo => {
                "ComfyUI knows no users: remove everything up to the @. For a protected server use an SSH connection."
            }
            Self::Path(_) => "Give scheme, host and port only, for example http://127.0.0.1:8188.",
            Self::Port(_) => "Add the port, a number from 1 to 65535. ComfyUI's own is 8188.",
            Self::Host(_) => "Give a host name, an IPv4 address, or an IPv6 address in brackets such as http://[::1]:8188.",
        }
    }
}

impl Address {
    /// The address that a URL names.
    ///
    /// # Errors
    /// If it is anything but `http://host:port`.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let shown = || url.chars().take(120).collect::<String>();
        let url_lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
        if url.contains('@') {
            return Err(AddressError::UserInfo);
        }
        if url_lower.starts_with("https://") {
            return Err(AddressError::Tls(shown()));
        }
        if !url_lower.starts_with("http://") {
            return Err(AddressError::Scheme(shown()));
        }
        let rest = &url[7..];
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(AddressError::Path(shown()));
        }
        let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
            let (host, after) = inner.split_once(']').ok_or_else(|| AddressError::Host(shown()))?;
            let host: Ipv6Addr = host.parse().map_err(|_| AddressError::Host(shown()))?;
            (host.to_string(), after.strip_prefix(':').ok_or_else(|| AddressError::Port(shown()))?)
        } else {
            let (host, port) = rest.rsplit_once(':').ok_or_else(|| AddressError::Port(shown()))?;
            (host.to_ascii_lowercase(), port)
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let good = rest.starts_with('[') || (!host.is_empty() && host.len() <= 253 && host.bytes().all(named));
        if !good || host.starts_with(['.', '-']) {
            return Err(AddressError::Host(shown()));
        }
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(port) if port > 0 && digits => Ok(Self { host, port }),
            Ok(_) | Err(_) => Err(AddressError::Port(shown())),
        }
    }

    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the `Host` header has them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// The instance that an address stands for where no name was given, such as `127.0.0.1-8188`.
    pub fn instance_id(&self) -> InstanceId {
        let letter = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
        let host: String = self.host.chars().map(letter).collect();
        let host = host.trim_start_matches(['-', '.']);
        let host = if host.is_empty() { "host" } else { &host[host.len().saturating_sub(80)..] };
        let host = host.trim_start_matches(['-', '.']);
        // Two hosts must never be one instance: what the mapping lost is told apart by a hash.
        let told_apart =
            if host == self.host { String::new() } else { format!("-{}", &sha256(self.host.as_bytes()).as_str()[..8]) };
        format!("{host}-{}{told_apart}", self.port).parse().expect("the characters are mapped and the length is cut")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

/// The instance that a URL stands for where no name was given.
///
/// # Errors
/// If the URL is no address of a server.
pub fn instance_id_of(url: &str) -> Result<InstanceId, AddressError> {
    Address::parse(url).map(|address| address.instance_id())
}

/// Plain TCP.
#[derive(Clone, Debug)]
pub struct TcpTransport {
    address: Address,
}

impl TcpTransport {
    /// The way to this address.
    pub fn new(address: Address) -> Self {
        Self { address }
    }
}

impl TcpTransport {
    /// Where connections go. Looked up each time, so that a name which changes its mind gets no further.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((self.address.host.as_str(), self.address.port)).await?.collect();
        for address in &found {
            let ip = address.ip();
            let local_name = self.address.host == "localhost" && !ip.to_canonical().is_loopback();
            let why = refused_address(ip).or(local_name.then_some("not this machine"));
            if let Some(why) = why {
                let message = format!("{} is {ip}, {why}: comfyd never connects there", self.address.host);
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
            }
        }
        Ok(found)
    }
}

impl Transport for TcpTransport {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let connecting = async { tokio::net::TcpStream::connect(self.addresses().await?.as_slice()).await };
            let stream = tokio::time::timeout(CONNECT_LIMIT, connecting)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 10 s"))??;
            // Requests are small and answered at once: waiting to fill packets only costs time.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn host(&self) -> String {
        self.address.authority()
    }

    fn resolve(&self) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(self.addresses().await?.iter().map(SocketAddr::ip).collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = |url: &str| Address::parse(url).map(|address| (address.to_string(), address.instance_id().to_string()));
        let is = |url: &str, shown: &str, id: &str| assert_eq!(good(url), Ok((shown.to_owned(), id.to_owned())), "{url}");
        is("http://127.0.0.1:8188", "http://127.0.0.1:8188", "127.0.0.1-8188");
        is("http://127.0.0.1:8188/", "http://127.0.0.1:8188", "127.0.0.1-8188");
        is("HTTP://GPU-Box.local:80", "http://gpu-box.local:80", "gpu-box.local-80");
        is("http://[::1]:8188", "http://[::1]:8188", "1-8188-eff8e7ca");
        is("http://my_host:1", "http://my_host:1", "my-host-1-76d033e4");
        is("http://my-host:1", "http://my-host:1", "my-host-1");

        let bad = |url: &str, code: &str| assert_eq!(Address::parse(url).map_err(|error| error.code()), Err(code), "{url}");
        bad("https://127.0.0.1:8188", "address_tls");
        bad("127.0.0.1:8188", "address_scheme");
        bad("ftp://127.0.0.1:8188", "address_scheme");
        bad("http://user:secret@127.0.0.1:8188", "address_userinfo");
        bad("http://127.0.0.1:8188/comfy", "address_path");
        bad("http://127.0.0.1:8188?x=1", "address_path");
        bad("http://127.0.0.1", "address_port");
        bad("http://127.0.0.1:", "address_port");
        bad("http://127.0.0.1:0", "address_port");
        bad("http://127.0.0.1:65536", "address_port");
        bad("http://127.0.0.1:+80", "address_port");
        bad("http://:8188", "address_host");
        bad("http://a b:8188", "address_host");
        bad("http://[::1:8188", "address_host");
        bad("http://h\u{e4}user:8188", "address_host");
        bad("", "address_scheme");
    }

    #[test]
    fn addresses_that_are_nobodys_are_refused() {
        let refused = |text: &str| refused_address(text.parse().expect("an address"));
        for bad in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(refused(bad).is_some(), "{bad}");
        }
        for good in ["127.0.0.1", "::1", "10.0.0.1", "192.168.0.1", "fd12::1", "2001:db8::1", "8.8.8.8", "::ffff:127.0.0.1"] {
            assert_eq!(refused(good), None, "{good}");
        }
    }

    #[tokio::test]
    async fn an_address_is_judged_after_it_was_looked_up() {
        // A number is an address to the system's resolver, whatever it looks like.
        for host in ["169.254.169.254", "2852039166", "0xa9fea9fe"] {
            let address = Address::parse(&format!("http://{host}:80")).expect("a plain name");
            let Err(error) = TcpTransport::new(address).connect().await else { panic!("{host}: connected") };
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{host}: {error}");
        }
    }

    #[test]
    fn a_long_host_name_makes_a_short_id() {
        let url = format!("http://{}:65535", "a.".repeat(100));
        assert!(instance_id_of(&url).is_ok_and(|id| id.as_str().len() <= 100));
    }

    #[test]
    fn an_error_does_not_show_a_password() {
        let error = Address::parse("http://me:hunter2@gpu:8188").expect_err("userinfo is refused");
        assert!(!error.to_string().contains("hunter2"));
    }
}
