use http::{Method, Request, Uri, Version, header::HOST};
use memchr::memchr_iter;

/// Whether a request says clearly which host it is for.
///
/// HTTP/1.1 must name exactly one, validly; HTTP/1.0 may name none (RFC 9112, section 3.2). HTTP/2
/// names it in `:authority`, and a `host` beside that must say the same (RFC 9113, section 8.3.1).
/// The target of HTTP/1 may name one too, without a user (RFC 9110, section 4.2.4), but only
/// `CONNECT` names nothing else (RFC 9112, section 3.2.3).
pub(crate) fn is_clear<B>(request: &Request<B>) -> bool {
    let (version, uri) = (request.version(), request.uri());
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return false;
    }
    let Some(host) = host else {
        return match version {
            Version::HTTP_11 => false,
            _ => uri.authority().is_none_or(|name| is_valid(name.as_str().as_bytes())),
        };
    };
    if !is_valid(host.as_bytes()) {
        return false;
    }
    match uri.authority() {
        Some(name) if version == Version::HTTP_2 => {
            name.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
        }
        Some(name) => {
            is_valid(name.as_str().as_bytes())
                && (uri.scheme().is_some() || request.method() == Method::CONNECT)
        }
        None => true,
    }
}

/// Whether each `%` of the target begins an escape (RFC 3986, section 2.1). HTTP/1 has us refuse a
/// target that is none (RFC 9112, section 3.2).
pub(crate) fn is_escaped(uri: &Uri) -> bool {
    let target = uri.path_and_query().map_or("", |target| target.as_str()).as_bytes();
    memchr_iter(b'%', target).all(|at| {
        let digits = target.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether this is a host and perhaps a port (RFC 3986, section 3.2.2). An empty host is not: it
/// leaves an `http` URI without its authority, which RFC 9110 (section 4.2.1) has us refuse.
fn is_valid(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => match rest.iter().position(|&byte| byte == b']') {
            Some(end) => (is_address(&rest[..end]), &rest[end + 1..]),
            None => return false,
        },
        _ => match name_length(host) {
            Some(end) => (end > 0, &host[end..]),
            None => return false,
        },
    };
    name && match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Which bytes a name is made of: the unreserved ones and the delimiters of RFC 3986, section 2.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let delimiters = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < delimiters.len() {
        table[delimiters[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 128 {
        table[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// How long the name is that this begins with. `None` if it has half an escape.
fn name_length(host: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        let plain = host[end..].iter().position(|&byte| !NAME[usize::from(byte)]);
        end = plain.map_or(host.len(), |plain| end + plain);
        match &host[end..] {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                end += 3;
            }
            [b'%', ..] => return None,
            _ => return Some(end),
        }
    }
}

/// The inside of the brackets: an IPv6 address, or one of a later version.
fn is_address(address: &[u8]) -> bool {
    match address {
        [b'v' | b'V', rest @ ..] => {
            !rest.is_empty() && rest.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'@')
        }
        _ => str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(version: Version, target: &str, hosts: &[&str]) -> bool {
        let request = Request::get(target).version(version);
        let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
        is_clear(&request.body(()).unwrap())
    }

    fn http1(hosts: &[&str]) -> bool {
        says(Version::HTTP_11, "/", hosts)
    }

    fn http2(authority: &str, hosts: &[&str]) -> bool {
        says(Version::HTTP_2, authority, hosts)
    }

    #[test]
    fn names_and_addresses_with_and_without_a_port_are_hosts() {
        for host in ["a", "example.org:80", "127.0.0.1:1", "[::1]", "[::1]:8080", "a%20b", "a:"] {
            assert!(http1(&[host]), "{host}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for host in [
            "", ":80", "u@a", "a/b", "a b", "a?b", "a#b", "a:x", "a:123456", "a:1:2", "[::1",
            "::1", "[g::]", "[::1]x", "a%2", "http://a", "[v]", "ä",
        ] {
            assert!(!http1(&[host]), "{host}");
        }
    }

    #[test]
    fn http_1_1_names_exactly_one_host() {
        assert!(!http1(&[]));
        assert!(!http1(&["a", "a"]));
        assert!(says(Version::HTTP_10, "/", &[]));
    }

    #[test]
    fn an_http_1_target_names_a_host_with_its_scheme_and_without_a_user() {
        let target = |target| says(Version::HTTP_11, target, &["a"]);
        assert!(target("http://a/") && target("http://b:80/c"));
        assert!(!target("http://u@a/"));
        assert!(!says(Version::HTTP_10, "http://u@a/", &[]));
        assert!(!target("a:80"));
        let connect = Request::connect("a:80").header(HOST, "a:80").body(()).unwrap();
        assert!(is_clear(&connect));
    }

    #[test]
    fn each_percent_sign_begins_an_escape() {
        for (target, right) in [
            ("/", true),
            ("/a%20b%2F?c=%fF", true),
            ("/%", false),
            ("/%2", false),
            ("/%zz", false),
            ("/%20%2g", false),
            ("/a?b=%", false),
        ] {
            assert_eq!(is_escaped(&target.parse().unwrap()), right, "{target}");
        }
    }

    #[test]
    fn an_http_2_host_says_the_same_as_the_authority() {
        assert!(http2("http://a:1/", &[]));
        assert!(http2("http://a:1/", &["A:1"]));
        assert!(!http2("http://a:1/", &["b:1"]));
        assert!(!http2("http://u@a:1/", &[]));
    }
}
