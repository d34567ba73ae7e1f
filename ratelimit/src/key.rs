use purlin_endpoint::Method;
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Whom a limit is for: a text, a number, an address or a method.
///
/// It borrows from the context, so that finding it allocates nothing.
///
/// ```
/// use purlin_ratelimit::Key;
/// use std::net::IpAddr;
///
/// let one: IpAddr = "2001:db8:1:2::5".parse().unwrap();
/// let other: IpAddr = "2001:db8:1:2:aaaa::".parse().unwrap();
/// assert_eq!(Key::from(one), Key::from(other));
/// assert_eq!(Key::from(one).to_string(), "2001:db8:1:2::");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a>(Of<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of<'a> {
    Text(&'a str),
    Number(u64),
    Address(IpAddr),
    Method(&'static Method),
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        Self(Of::Text(text))
    }
}

impl From<u64> for Key<'_> {
    fn from(number: u64) -> Self {
        Self(Of::Number(number))
    }
}

/// An IPv6 address stands for its /64 network, all of which one caller has.
impl From<IpAddr> for Key<'_> {
    fn from(address: IpAddr) -> Self {
        Self(Of::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address @ IpAddr::V4(_) => address,
        }))
    }
}

impl From<&'static Method> for Key<'_> {
    fn from(method: &'static Method) -> Self {
        Self(Of::Method(method))
    }
}

/// The text that names the key where a limit is kept outside of the process.
impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Of::Text(text) => f.write_str(text),
            Of::Number(number) => number.fmt(f),
            Of::Address(address) => address.fmt(f),
            Of::Method(method) => method.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_key_however_it_is_written() {
        let address = |text: &str| Key::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_ne!(address("2001:db8:0:1::1"), address("2001:db8:0:2::1"));
    }
}
