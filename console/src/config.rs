//! What the console is told at start: flags, and environment variables for each of them. Passwords come by the
//! environment or by files only, so that no list of processes shows them.

use crate::db::Target;
use crate::security::users::{Role, Users};
use clap::{Parser, Subcommand};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A web console for modq: queues, items, limits and boards for supervisors, a desk for moderators, figures for Prometheus.
#[derive(Parser, Clone)]
#[command(name = "modq-console", version)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Where to listen. Anything but a loopback address needs a password, a users file or a proxy header
    #[arg(long, env = "MODQ_CONSOLE_LISTEN", default_value = "127.0.0.1:8377")]
    listen: SocketAddr,
    /// The server: redis://host:port/db or rediss:// for TLS; several with commas for a cluster or for Sentinels
    #[arg(
        long,
        env = "MODQ_CONSOLE_REDIS",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis: String,
    /// The addresses are Sentinels, and this is the name they know the primary by
    #[arg(long, env = "MODQ_CONSOLE_SENTINEL", value_name = "NAME")]
    sentinel: Option<String>,
    /// The addresses are nodes of a cluster
    #[arg(long, env = "MODQ_CONSOLE_CLUSTER", conflicts_with = "sentinel")]
    cluster: bool,
    /// ACL user on the server; its password is MODQ_CONSOLE_REDIS_PASSWORD
    #[arg(long, env = "MODQ_CONSOLE_REDIS_USER", value_name = "NAME")]
    redis_user: Option<String>,
    /// A PEM file with the authorities to trust for TLS, instead of the system's
    #[arg(long, env = "MODQ_CONSOLE_REDIS_CA", value_name = "FILE")]
    redis_ca: Option<PathBuf>,
    /// The console's own certificate for TLS; with --redis-key
    #[arg(
        long,
        env = "MODQ_CONSOLE_REDIS_CERT",
        value_name = "FILE",
        requires = "redis_key"
    )]
    redis_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(
        long,
        env = "MODQ_CONSOLE_REDIS_KEY",
        value_name = "FILE",
        requires = "redis_cert"
    )]
    redis_key: Option<PathBuf>,
    /// A file of users, one `name:role:hash` a line; `modq-console hash` makes hashes
    #[arg(long, env = "MODQ_CONSOLE_USERS", value_name = "FILE")]
    users: Option<PathBuf>,
    /// The role of who signs in by the one password, by name alone on loopback, or by a proxy that tells no role
    #[arg(long, env = "MODQ_CONSOLE_ROLE", default_value = "supervisor")]
    role: Role,
    /// The header in which a proxy tells who the user is; taken from --trusted-proxy addresses only
    #[arg(
        long,
        env = "MODQ_CONSOLE_PROXY_USER_HEADER",
        value_name = "HEADER",
        requires = "trusted_proxy"
    )]
    proxy_user_header: Option<String>,
    /// The header in which the proxy tells the role: viewer, moderator or supervisor
    #[arg(
        long,
        env = "MODQ_CONSOLE_PROXY_ROLE_HEADER",
        value_name = "HEADER",
        requires = "proxy_user_header"
    )]
    proxy_role_header: Option<String>,
    /// Addresses from which those headers are believed, with commas
    #[arg(
        long,
        env = "MODQ_CONSOLE_TRUSTED_PROXY",
        value_delimiter = ',',
        value_name = "ADDRESS"
    )]
    trusted_proxy: Vec<IpAddr>,
    /// Further names under which the console is reached (the Host header), with commas
    #[arg(
        long,
        env = "MODQ_CONSOLE_ALLOW_HOST",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    allow_host: Vec<String>,
    /// The path below which the console lives behind a proxy, such as /modq
    #[arg(
        long,
        env = "MODQ_CONSOLE_BASE",
        default_value = "",
        value_name = "PATH",
        hide_default_value = true
    )]
    base: String,
    /// Cookies are sent over HTTPS only: set it behind a proxy that ends TLS
    #[arg(long, env = "MODQ_CONSOLE_SECURE_COOKIES")]
    secure_cookies: bool,
    /// Nothing can be changed, whatever the role
    #[arg(long, env = "MODQ_CONSOLE_READ_ONLY")]
    read_only: bool,
    /// The verdicts of the desk and their keys
    #[arg(
        long,
        env = "MODQ_CONSOLE_VERDICTS",
        value_delimiter = ',',
        default_value = "keep:k,remove:r,escalate:e",
        value_name = "NAME:KEY"
    )]
    verdicts: Vec<String>,
    /// For how many seconds a decision can be undone before it is sent: 0 to 5
    #[arg(long, env = "MODQ_CONSOLE_UNDO", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=5), value_name = "SECONDS")]
    undo: u64,
    /// After how many seconds without a sign of its user the desk no longer extends locks
    #[arg(long, env = "MODQ_CONSOLE_IDLE", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    idle: u64,
    /// Shows an image with each item at the desk, from this address: {item} is replaced by the id
    #[arg(long, env = "MODQ_CONSOLE_IMAGE_URL", value_name = "URL")]
    image_url: Option<String>,
    /// Queues with series of their own in /metrics
    #[arg(
        long,
        env = "MODQ_CONSOLE_METRICS_QUEUES",
        default_value = "*",
        value_name = "GLOB"
    )]
    metrics_queues: String,
    /// How many queues have series of their own; the rest is one series named (other)
    #[arg(long, env = "MODQ_CONSOLE_METRICS_MAX", default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=5000), value_name = "N")]
    metrics_max: u64,
    /// A stream on the server to which an entry is added for each action, besides the line on standard output
    #[arg(long, env = "MODQ_CONSOLE_AUDIT_STREAM", value_name = "KEY")]
    audit_stream: Option<String>,
}

#[derive(Subcommand, Clone)]
pub(crate) enum Command {
    /// Reads a password from standard input and prints its hash, for the users file
    Hash,
}

/// A verdict of the desk, and the key that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) key: char,
}

/// The same, checked, with what the environment and files add.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) users: Users,
    pub(crate) role: Role,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) allow_host: Vec<String>,
    /// Empty, or begins with a slash and does not end with one.
    pub(crate) base: String,
    pub(crate) secure_cookies: bool,
    pub(crate) read_only: bool,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) undo_seconds: u64,
    pub(crate) idle_seconds: u64,
    pub(crate) image_url: Option<String>,
    pub(crate) metrics_queues: String,
    pub(crate) metrics_max: usize,
    /// Who has it may read /metrics without signing in.
    pub(crate) metrics_token: Option<String>,
    pub(crate) audit_stream: Option<String>,
}

/// A proxy that tells who the user is.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) user_header: String,
    pub(crate) role_header: Option<String>,
    pub(crate) peers: Vec<IpAddr>,
}

/// Keys that the desk itself has a use for.
const DESK_KEYS: &str = "suxlna?";

impl Flags {
    /// The error says what to change.
    pub(crate) fn check(self) -> Result<(Config, Target), String> {
        let target = self.target()?;
        let password = secret("MODQ_CONSOLE_PASSWORD")?;
        let users = match (&self.users, password) {
            (Some(_), Some(_)) => {
                return Err("give --users or MODQ_CONSOLE_PASSWORD, not both".into());
            }
            (Some(file), None) => Users::read(&read(file)?)?,
            (None, Some(password)) => Users::one_password(&password)?,
            (None, None) => Users::by_name_alone(),
        };
        let proxy = self.proxy_user_header.as_ref().map(|header| Proxy {
            user_header: header.to_ascii_lowercase(),
            role_header: self
                .proxy_role_header
                .as_ref()
                .map(|h| h.to_ascii_lowercase()),
            peers: self.trusted_proxy.clone(),
        });
        if !self.listen.ip().is_loopback() && !users.have_passwords() && proxy.is_none() {
            return Err(format!(
                "{} can be reached from other machines, so people have to prove who they are: set MODQ_CONSOLE_PASSWORD, give \
                 --users FILE, or name a proxy that signs them in (--proxy-user-header with --trusted-proxy)",
                self.listen
            ));
        }
        if self.read_only && self.audit_stream.is_some() {
            return Err(
                "--read-only sends no command that writes, so it cannot write --audit-stream; the audit is on standard \
                 output all the same"
                    .into(),
            );
        }
        let config = Config {
            listen: self.listen,
            users,
            role: self.role,
            proxy,
            allow_host: self
                .allow_host
                .iter()
                .map(|h| h.trim().to_ascii_lowercase())
                .collect(),
            base: base(&self.base)?,
            secure_cookies: self.secure_cookies,
            read_only: self.read_only,
            verdicts: verdicts(&self.verdicts)?,
            undo_seconds: self.undo,
            idle_seconds: self.idle,
            image_url: self.image_url.as_deref().map(image_url).transpose()?,
            metrics_queues: self.metrics_queues,
            metrics_max: usize::try_from(self.metrics_max).unwrap_or(200),
            metrics_token: secret("MODQ_CONSOLE_METRICS_TOKEN")?,
            audit_stream: self.audit_stream,
        };
        Ok((config, target))
    }

    fn target(&self) -> Result<Target, String> {
        let one = |address: &str| {
            let address = address.trim();
            let url = match address.contains("://") {
                true => address.to_owned(),
                false => format!("redis://{address}"),
            };
            // The error could show the password.
            url.as_str().into_connection_info().map_err(|_| {
                let host = address.rsplit('@').next().unwrap_or_default();
                format!("--redis: {host} is no address; it looks like redis://host:port/db")
            })
        };
        let addresses = self
            .redis
            .split(',')
            .map(one)
            .collect::<Result<Vec<_>, _>>()?;
        if addresses.len() > 1 && !self.cluster && self.sentinel.is_none() {
            return Err("several addresses: say --cluster, or --sentinel NAME".into());
        }
        let tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let told = self.redis_ca.is_some() || self.redis_cert.is_some();
        if told && !addresses.iter().all(tls) {
            return Err("--redis-ca and --redis-cert are for TLS: say rediss:// before each address of --redis".into());
        }
        Ok(Target {
            addresses,
            sentinel: self.sentinel.clone(),
            cluster: self.cluster,
            user: self.redis_user.clone(),
            password: secret("MODQ_CONSOLE_REDIS_PASSWORD")?,
            sentinel_password: secret("MODQ_CONSOLE_SENTINEL_PASSWORD")?,
            ca: self.redis_ca.as_ref().map(certificates).transpose()?,
            certificate: (self.redis_cert.as_ref().zip(self.redis_key.as_ref()))
                .map(|(own, key)| Ok::<_, String>((certificates(own)?, private_key(key)?)))
                .transpose()?,
        })
    }
}

/// A secret of the environment: itself, or with `_FILE` behind the name the file that holds it. Never an empty one.
fn secret(name: &str) -> Result<Option<String>, String> {
    let value = match std::env::var_os(format!("{name}_FILE")) {
        Some(file) => Some(read(&PathBuf::from(file))?.trim_end().to_owned()),
        None => std::env::var(name).ok(),
    };
    match value {
        Some(value) if value.is_empty() => Err(format!("{name} is empty")),
        value => Ok(value),
    }
}

fn read_bytes(path: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

/// The bytes of a file in PEM with certificates, at least one.
fn certificates(path: &PathBuf) -> Result<Vec<u8>, String> {
    let bytes = read_bytes(path)?;
    let mut all = CertificateDer::pem_slice_iter(&bytes);
    match all.next().is_some_and(|first| first.is_ok()) && all.all(|next| next.is_ok()) {
        true => Ok(bytes),
        false => Err(format!("{} has no certificates in PEM", path.display())),
    }
}

/// The bytes of a file in PEM with a private key. The error does not show any of them.
fn private_key(path: &PathBuf) -> Result<Vec<u8>, String> {
    let bytes = read_bytes(path)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(format!("{} has no private key in PEM", path.display())),
    }
}

fn read(path: &PathBuf) -> Result<String, String> {
    String::from_utf8(read_bytes(path)?).map_err(|_| format!("{} is no text", path.display()))
}

fn base(given: &str) -> Result<String, String> {
    let base = given.trim_end_matches('/');
    let fine = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let well = base.is_empty() || base.starts_with('/') && !base.starts_with("//");
    match well && base.chars().all(fine) {
        true => Ok(base.to_owned()),
        false => Err(format!("--base {given} is no path such as /modq")),
    }
}

fn verdicts(given: &[String]) -> Result<Vec<Verdict>, String> {
    let mut all: Vec<Verdict> = Vec::new();
    for word in given {
        let wrong = || format!("--verdicts: {word} should be a name and one key, such as keep:k");
        let (name, key) = word.rsplit_once(':').ok_or_else(wrong)?;
        let mut keys = key.chars();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(wrong());
        };
        let key = key.to_ascii_lowercase();
        if name.trim().is_empty() || name.len() > 255 {
            return Err(wrong());
        }
        if DESK_KEYS.contains(key) || all.iter().any(|v| v.key == key) {
            return Err(format!(
                "--verdicts: the key {key} of {name} has another use"
            ));
        }
        let name = name.trim().to_owned();
        all.push(Verdict { name, key });
    }
    match all.len() {
        1..=12 => Ok(all),
        n => Err(format!("--verdicts: {n} verdicts; give 1 to 12")),
    }
}

fn image_url(given: &str) -> Result<String, String> {
    let rest = given
        .strip_prefix("https://")
        .or_else(|| given.strip_prefix("http://"));
    let host = rest.and_then(|r| r.split('/').next()).unwrap_or_default();
    let fine = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    match !host.is_empty() && host.chars().all(fine) && given.contains("{item}") {
        true => Ok(given.to_owned()),
        false => Err(format!(
            "--image-url {given} should look like https://img.example.com/{{item}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(args: &[&str]) -> Result<Config, String> {
        let all = ["modq-console"].iter().chain(args);
        let flags = Flags::try_parse_from(all).map_err(|e| e.to_string())?;
        flags.check().map(|(config, _)| config)
    }

    #[test]
    fn an_open_address_needs_a_proof_of_who_it_is() {
        let refused = checked(&["--listen", "0.0.0.0:8377"])
            .err()
            .unwrap_or_default();
        assert!(refused.contains("MODQ_CONSOLE_PASSWORD"), "{refused}");
        let proxy = [
            "--listen",
            "0.0.0.0:8377",
            "--proxy-user-header",
            "X-User",
            "--trusted-proxy",
            "10.0.0.1",
        ];
        assert!(checked(&proxy).is_ok());
        // A header that anybody could send is no proof.
        assert!(checked(&proxy[..4]).is_err());
        assert!(checked(&[]).is_ok());
    }

    #[test]
    fn read_only_writes_no_stream_either() {
        let refused = checked(&["--read-only", "--audit-stream", "audit"]);
        assert!(refused.err().unwrap_or_default().contains("no command"));
        assert!(checked(&["--read-only"]).is_ok());
        assert!(checked(&["--audit-stream", "audit"]).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        for (args, word) in [
            (["--verdicts", "keep"], "one key"),
            (["--verdicts", "keep:k,kick:k"], "another use"),
            (["--verdicts", "skip:s"], "another use"),
            (["--base", "modq"], "no path"),
            (["--base", "/a\"b"], "no path"),
            (["--image-url", "javascript:{item}"], "https://"),
            (["--image-url", "https://x;script-src/{item}"], "https://"),
            (["--redis", "redis://:hidden@:x"], "no address"),
            (["--redis", "a:1,b:2"], "--cluster"),
            (["--redis-ca", "/dev/null"], "rediss://"),
            (["--undo", "6"], "6"),
        ] {
            let said = checked(&args).err().unwrap_or_default();
            assert!(said.contains(word), "{args:?}: {said}");
            assert!(!said.contains("hidden"), "{said}");
        }
    }
}
