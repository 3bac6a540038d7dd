//! Who may read the pages: requests to a known host, of the pages themselves, and with the token where one is demanded.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use std::net::IpAddr;
use std::sync::Arc;

/// What requests are held against.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Names of this machine, beside its addresses.
    names: Vec<String>,
    token: Option<blake3::Hash>,
}

/// The cookie that holds the token.
const COOKIE_NAME: &str = "sweep-token";
/// The parameter of an address that holds it once.
const PARAMETER: &str = "token";

/// Scripts, styles and pictures of our own alone: nothing that is written in a record can load, run or send anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A token of 32 hexadecimal digits. From the system's randomness: nobody may foresee it, and no result depends on it.
pub(crate) fn token() -> String {
    let mut bytes = [0; 16];
    // Without randomness there is no token that nobody knows: the time would be a guess.
    #[expect(clippy::expect_used, reason = "a system without randomness cannot be guarded")]
    OsRng.try_fill_bytes(&mut bytes).expect("the system gives random numbers");
    format!("{:032x}", u128::from_ne_bytes(bytes))
}

impl Guard {
    /// Guards pages at an address, by a token if there is one. `machine` is the machine's own name.
    pub(crate) fn new(host: IpAddr, machine: &str, token: Option<&str>) -> Self {
        let mut names = vec!["localhost".to_owned()];
        if !host.is_loopback() {
            names.push(machine.to_lowercase());
        }
        Self { names, token: token.map(|token| blake3::hash(token.as_bytes())) }
    }

    /// Whether pages are meant for this host. A foreign name that leads to our address (DNS rebinding) is not; an address
    /// itself cannot be made to lead elsewhere.
    fn knows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_lowercase();
        authority.as_str().find('@').is_none() && (name.parse::<IpAddr>().is_ok() || self.names.contains(&name))
    }

    /// Whether this is the token. Hashes are compared in constant time.
    fn accepts(&self, token: &str) -> bool {
        self.token.is_none_or(|expected| expected == blake3::hash(token.as_bytes()))
    }
}

/// Refuses what must not be answered, and adds the headers of every answer.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match refused(&guard, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let headers = response.headers_mut();
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refused(guard: &Guard, request: &Request) -> Option<Response> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).unwrap_or_default();
    if !guard.knows(host) {
        let why = "This server answers to its address and to localhost only. Open it by one of them.";
        return Some(plain(StatusCode::MISDIRECTED_REQUEST, why));
    }
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_own = match header(ORIGIN) {
        Some(origin) => origin.split_once("://").is_some_and(|(_, of)| of == host),
        None => !writes,
    };
    if !is_own {
        return Some(plain(StatusCode::FORBIDDEN, "The request comes from another page."));
    }
    guard.token.and_then(|_| without_token(guard, request))
}

/// The answer to a request that does not bring the token, or brings it in its address: from there it goes to a cookie.
fn without_token(guard: &Guard, request: &Request) -> Option<Response> {
    let pairs: Vec<&str> = request.uri().query().unwrap_or_default().split('&').collect();
    let of_address = pairs.iter().find_map(|pair| pair.strip_prefix(PARAMETER)?.strip_prefix('='));
    if let Some(token) = of_address.filter(|token| guard.accepts(token)) {
        let others: Vec<&str> = pairs.iter().filter(|pair| !pair.starts_with("token=")).copied().collect();
        let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        let cookie = format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/");
        // Never `//host`: a path that begins so is another host's.
        let target = format!("/{}{query}", request.uri().path().trim_start_matches('/'));
        return Some((StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, target)]).into_response());
    }
    let cookies = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = cookies.flat_map(|all| all.split(';')).filter_map(|one| one.trim().split_once('='));
    if tokens.any(|(name, value)| name == COOKIE_NAME && guard.accepts(value)) {
        return None;
    }
    let why = "This server wants its token. Open the address that `sweep serve` printed, with ?token=… at its end.";
    Some(plain(StatusCode::UNAUTHORIZED, why))
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, [("content-type", "text/plain; charset=utf-8")], Body::from(format!("{text}\n"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_not_ours() {
        let guard = Guard::new("127.0.0.1".parse().unwrap(), "lab", None);
        for host in ["localhost:8000", "LOCALHOST", "127.0.0.1:9", "[::1]:8000", "10.0.0.7"] {
            assert!(guard.knows(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:8000", "127.0.0.1@evil.example", "lab", "a b", "localhost@x"]
        {
            assert!(!guard.knows(host), "{host}");
        }
        assert!(Guard::new("0.0.0.0".parse().unwrap(), "Lab", None).knows("lab:80"));
    }

    #[test]
    fn tokens_are_long_and_differ() {
        let [a, b] = [token(), token()];
        assert!(a.len() == 32 && a != b);
        let guard = Guard::new("0.0.0.0".parse().unwrap(), "lab", Some(&a));
        assert!(guard.accepts(&a) && !guard.accepts(&b) && !guard.accepts("") && !guard.accepts(&a[..31]));
    }
}
