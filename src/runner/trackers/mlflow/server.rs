//! The REST interface of an MLflow tracking server. Its address and the credentials come from the environment variables of
//! MLflow's own client.

#![expect(clippy::disallowed_methods, reason = "reads the environment variables of MLflow's own client")]
#![expect(clippy::result_large_err, reason = "a refusal is rare, and handled where it arises")]

use std::sync::Arc;
use std::time::Duration;

use base64::encode as base64;
use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, http::Response};

use sweep_core::error::{Error, Result};
use sweep_experiment::store;

/// Timeout for the connection to a server.
const CONNECT: Duration = Duration::from_secs(5);
/// Timeout for a request and its response. Images are sent in one request.
const ANSWER: Duration = Duration::from_secs(20);
/// Largest response in bytes; a thousand runs take some megabytes.
const LARGEST: u64 = 256 << 20;

/// A server, which may not respond.
pub(super) struct Server {
    agent: Agent,
    /// `https://host:port/prefix`, without a slash at its end.
    base: String,
    /// Never shown in errors or logs.
    authorization: Option<String>,
    /// Whether the last request got no response.
    pub(super) is_away: bool,
}

impl Server {
    /// The server at an address, by default `MLFLOW_TRACKING_URI`. Sends no request yet.
    pub(super) fn new(address: Option<&str>) -> Result<Self> {
        let (address, source) = match address {
            Some(address) => (address.to_owned(), "the MLflow server's address"),
            None => (variable("MLFLOW_TRACKING_URI").unwrap_or_default(), "MLFLOW_TRACKING_URI"),
        };
        let base = base(&address).map_err(|e| e.at(source))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER))
            .user_agent(concat!("landmark-sweep/", env!("CARGO_PKG_VERSION")));
        let config = if base.starts_with("https:") { config.tls_config(encryption()?) } else { config };
        Ok(Self { agent: config.build().into(), base, authorization: authorization(), is_away: false })
    }

    /// GET request to an endpoint of `api/2.0/mlflow/`.
    pub(super) fn get(&mut self, entry: &str, parameters: &[(&str, &str)]) -> Result<Value, Refusal> {
        let request = self.agent.get(format!("{}/api/2.0/mlflow/{entry}", self.base));
        let request = request.query_pairs(parameters.iter().copied());
        let request = self.authorization.iter().fold(request, |request, who| request.header("Authorization", who));
        let answer = request.call();
        self.read(entry, answer)
    }

    /// POST request to an endpoint of `api/2.0/mlflow/`.
    pub(super) fn post(&mut self, entry: &str, body: &Value) -> Result<Value, Refusal> {
        let request = self.agent.post(format!("{}/api/2.0/mlflow/{entry}", self.base));
        let request = self.authorization.iter().fold(request, |request, who| request.header("Authorization", who));
        let answer = request.header("Content-Type", "application/json").send(body.to_string());
        self.read(entry, answer)
    }

    /// Uploads a file to the server's artifact store.
    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let request = self.agent.put(format!("{}/api/2.0/mlflow-artifacts/artifacts/{path}", self.base));
        let request = self.authorization.iter().fold(request, |request, who| request.header("Authorization", who));
        let answer = request.header("Content-Type", "application/octet-stream").send(bytes);
        self.read(path, answer).map(|_| ())
    }

    fn read(&mut self, entry: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<Value, Refusal> {
        let refused = |code: &str, what: String| Refusal { code: code.to_owned(), error: Error::input(what) };
        let body = answer.and_then(|mut answer| {
            Ok((answer.status().as_u16(), answer.body_mut().with_config().limit(LARGEST).read_to_vec()?))
        });
        let refusal = match body {
            Ok((200..300, bytes)) => {
                self.is_away = false;
                if bytes.is_empty() {
                    return Ok(Value::Null);
                }
                match serde_json::from_slice(&bytes) {
                    Ok(value) => return Ok(value),
                    Err(_) => refused("", "its answer is not that of an MLflow server".to_owned()),
                }
            }
            Ok((status, bytes)) => {
                // A server that is starting, stopping or overloaded, or denies access, counts as not responding.
                self.is_away = matches!(status, 401 | 403 | 408 | 429 | 500..);
                let response: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let code = response["error_code"].as_str().unwrap_or_default();
                let message = response["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
                let what = format!("it answers {status} to {entry} {code} {message}");
                let mut refusal = refused(code, what.trim_end().to_owned());
                if let 401 | 403 = status {
                    refusal.error = refusal.error.remedy(
                        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, as for MLflow's own client",
                    );
                }
                refusal
            }
            Err(error) => {
                self.is_away = true;
                let mut refusal = refused("", format!("it does not answer: {error}"));
                if is_untrusted(&error) {
                    refusal.error = refusal.error.remedy(
                        "if the server is yours, name a file with its certificate, or its signer's, in MLFLOW_TRACKING_SERVER_CERT_PATH",
                    );
                }
                refusal
            }
        };
        Err(Refusal { error: refusal.error.at(format!("MLflow at {}", self.base)), ..refusal })
    }

    /// The server's address.
    pub(super) fn name(&self) -> &str {
        &self.base
    }
}

/// An error response.
#[derive(Debug)]
pub(super) struct Refusal {
    /// MLflow's error code, for example `RESOURCE_DOES_NOT_EXIST`.
    pub(super) code: String,
    pub(super) error: Error,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// A non-empty environment variable.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The part of an address before `/api`.
fn base(address: &str) -> Result<String> {
    const RIGHT: &str =
        "use the address of a tracking server, for example http://localhost:5000; `mlflow server` starts one";
    if address.is_empty() {
        return Err(Error::definition("no address is given").remedy(RIGHT));
    }
    let Some((scheme @ ("http" | "https"), rest)) = address.split_once("://") else {
        // The address is not quoted: it may contain a password.
        return Err(Error::definition("begins with neither http:// nor https://").remedy(RIGHT));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(Error::definition("holds a name and password, which others on this machine can see")
            .remedy("leave them out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    if authority.is_empty() || authority.parse::<ureq::http::uri::Authority>().is_err() {
        return Err(Error::definition("names no server").remedy(RIGHT));
    }
    Ok(format!("{scheme}://{authority}{}{path}", if path.is_empty() { "" } else { "/" }))
}

/// The `Authorization` header, in MLflow's order: name and password before a token.
fn authorization() -> Option<String> {
    let both = variable("MLFLOW_TRACKING_USERNAME").zip(variable("MLFLOW_TRACKING_PASSWORD"));
    both.map(|(name, password)| format!("Basic {}", base64(format!("{name}:{password}"))))
        .or_else(|| variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}")))
}

/// Whether the server's certificate is not trusted, so that no request was sent.
fn is_untrusted(error: &ureq::Error) -> bool {
    let tls_error = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    matches!(tls_error, Some(rustls::Error::InvalidCertificate(_)))
}

/// TLS configuration, with the certificates of this machine or those named by the environment.
fn encryption() -> Result<TlsConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    if variable("MLFLOW_TRACKING_INSECURE_TLS").is_some_and(|value| ["true", "1"].contains(&&*value.to_lowercase())) {
        return Ok(config.disable_verification(true).build());
    }
    let certificates: Vec<Certificate<'static>> = match variable("MLFLOW_TRACKING_SERVER_CERT_PATH") {
        Some(path) => {
            let pem = store::read(path.as_ref()).map_err(|e| e.at("MLFLOW_TRACKING_SERVER_CERT_PATH"))?;
            let certificates = parse_pem(&pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            certificates.collect()
        }
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect(),
    };
    if certificates.is_empty() {
        return Err(Error::input("no certificates are known, so no server can be trusted")
            .remedy("install ca-certificates, or name a file of them in MLFLOW_TRACKING_SERVER_CERT_PATH"));
    }
    Ok(config.root_certs(RootCerts::Specific(Arc::new(certificates))).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_servers_and_hold_no_secret() {
        for (address, is) in [
            ("http://localhost:5000", "http://localhost:5000"),
            ("http://localhost:5000/", "http://localhost:5000"),
            ("https://tracking.example/mlflow/?x#y", "https://tracking.example/mlflow"),
        ] {
            assert_eq!(base(address).unwrap(), is);
        }
        for wrong in ["", "localhost:5000", "sqlite:///mlflow.db", "./mlruns", "databricks", "http://", "http://a b/"] {
            let error = base(wrong).unwrap_err();
            assert!(error.remedy.unwrap().contains("http://localhost:5000"), "{wrong}");
        }
        let error = base("https://ada:secret@tracking.example").unwrap_err().to_string();
        assert!(error.contains("MLFLOW_TRACKING_PASSWORD") && !error.contains("secret"), "{error}");
    }
}
