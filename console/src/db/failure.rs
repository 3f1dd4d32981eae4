//! What can go wrong between the console and the server, in words for people.

use super::Target;
use redis::{ErrorKind, RedisError};
use std::fmt;

/// A call that did not work. A failed call that changes something may have been carried out if `lost` is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The first word of the server's error, such as `STALE`; `LOST` without a reply; `NOTRUST` and `NOCERT` if TLS cannot
    /// begin for the sake of the server's certificate or of the console's.
    pub(crate) code: String,
    /// The rest of it.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: &str, text: impl Into<String>) -> Failure {
        Failure {
            code: code.to_owned(),
            text: text.into(),
        }
    }

    /// No reply, so nobody knows whether the command was carried out.
    pub(crate) fn lost(why: impl Into<String>) -> Failure {
        Failure::new("LOST", why)
    }

    /// The server did not answer as the console understands it.
    pub(crate) fn strange(what: &str) -> Failure {
        Failure::new("REPLY", format!("unexpected reply to {what}"))
    }

    /// Whether there was no reply.
    pub(crate) fn is_lost(&self) -> bool {
        self.code == "LOST"
    }

    /// Whether the next call should connect anew: the line is dead, or this server is no longer the primary.
    pub(super) fn wants_another_connection(&self, target: &Target) -> bool {
        let code = self.code.as_str();
        matches!(code, "LOST" | "NOTRUST" | "NOCERT") && !target.cluster
            || target.sentinel.is_some() && matches!(code, "READONLY" | "MASTERDOWN" | "LOADING")
    }

    /// What it means to who reads it, beginning with a capital.
    pub(crate) fn in_words(&self) -> String {
        let meaning = match self.code.as_str() {
            "LOST" => "The server does not answer",
            "NOTRUST" => "The console does not trust the server's certificate",
            "NOCERT" => "The server does not take the console's certificate",
            "NOMODULE" => "The server has not loaded the modq module",
            "OOM" => "The server's memory is full, so nothing can be added",
            "READONLY" => "This server is a replica: it can be read, not changed",
            "NOPERM" => "The console's Redis user may not do this",
            "NOAUTH" | "WRONGPASS" => "The server does not accept the console's user and password",
            "LOADING" => "The server is still loading its data",
            "MASTERDOWN" => "This replica has lost its primary",
            "CLUSTERDOWN" => "The cluster is not serving",
            "NOITEM" => "This item is no longer in the queue",
            "STALE" => "The lock has changed hands or is over",
            "CHANGED" => "The item was changed in the meantime",
            "EXISTS" => "There is one of that name already",
            "EXCLUDED" => "This moderator is excluded from the item",
            "FULL" => "The queue is full",
            "PAUSED" => "The queue takes no new items for now",
            "EVENTS" => "The queue's event stream cannot be written",
            "TRYAGAIN" => "The event stream is not there yet; try again",
            "NOPOLICY" => "There is no policy of that name",
            "WRONGTYPE" => "The key holds something else",
            "CROSSSLOT" => "In a cluster both keys must share a hash tag",
            _ => "The server refused",
        };
        format!("{meaning}.")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Failure {
        if let Some(code) = about_certificates(&error.to_string()) {
            return Failure::new(code, error.to_string());
        }
        if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            return Failure::lost(error.to_string());
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Failure::new("NOAUTH", error.to_string());
        }
        let Some(code) = error.code() else {
            return Failure::new("ERR", error.to_string());
        };
        Failure::new(code, error.detail().unwrap_or_default())
    }
}

/// The code for an error of TLS that is about certificates. redis-rs has such errors as text only, where it has asked
/// several nodes.
fn about_certificates(error: &str) -> Option<&'static str> {
    if error.contains("invalid peer certificate") {
        return Some("NOTRUST");
    }
    let (_, alert) = error.split_once("received fatal alert: ")?;
    [
        "Certificate",
        "BadCertificate",
        "UnsupportedCertificate",
        "UnknownCA",
        "NoCertificate",
    ]
    .iter()
    .any(|kind| alert.starts_with(kind))
    .then_some("NOCERT")
}

#[cfg(test)]
mod tests {
    use super::{Failure, about_certificates};
    use redis::RedisError;
    use rustls::{AlertDescription, CertificateError, Error};

    #[test]
    fn what_tls_says_of_certificates_is_known() {
        let code = |error: Error| about_certificates(&error.to_string());
        let untrusted = [
            CertificateError::UnknownIssuer,
            CertificateError::NotValidForName,
            CertificateError::Expired,
        ];
        for error in untrusted {
            assert_eq!(code(Error::InvalidCertificate(error)), Some("NOTRUST"));
        }
        let refused = [
            AlertDescription::CertificateRequired,
            AlertDescription::CertificateExpired,
            AlertDescription::BadCertificate,
            AlertDescription::UnknownCA,
        ];
        for alert in refused {
            assert_eq!(code(Error::AlertReceived(alert)), Some("NOCERT"));
        }
        assert_eq!(
            code(Error::AlertReceived(AlertDescription::InternalError)),
            None
        );
        let reset = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(Failure::from(reset).is_lost());
    }
}
