//! How the server is reached: by address, by the Sentinels that know it, or as a cluster; with TLS and a user.

use super::{CONNECT_TIMEOUT, Failure, Node, REPLY_TIMEOUT};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionInfo, IntoConnectionInfo,
    TlsCertificates, TlsMode, Value,
};

/// Which server, and as whom.
pub(crate) struct Target {
    /// The server; several of a cluster; or the Sentinels.
    pub(crate) addresses: Vec<ConnectionInfo>,
    /// The name the Sentinels know the primary by.
    pub(crate) sentinel: Option<String>,
    pub(crate) cluster: bool,
    /// Overrides what the addresses say; the only way to tell it for servers that Sentinels name.
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) sentinel_password: Option<String>,
    /// What to trust instead of the system's certificates, in PEM.
    pub(crate) ca: Option<Vec<u8>>,
    /// The console's own certificate and key, in PEM.
    pub(crate) certificate: Option<(Vec<u8>, Vec<u8>)>,
}

/// A live connection. Cheap to clone; all clones share one socket for each node.
#[derive(Clone)]
pub(super) enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) async fn send(&mut self, node: &Node, cmd: Cmd) -> Result<Value, Failure> {
        let answer = match (self, node) {
            (Link::One(connection), _) => connection.req_packed_command(&cmd).await,
            (Link::Cluster(connection), None) => connection.req_packed_command(&cmd).await,
            (Link::Cluster(connection), Some((host, port))) => {
                let to = SingleNodeRoutingInfo::ByAddress {
                    host: host.clone(),
                    port: *port,
                };
                let to = RoutingInfo::SingleNode(to);
                connection.route_command(cmd, to).await
            }
        };
        match answer? {
            Value::ServerError(error) => Err(redis::RedisError::from(error).into()),
            value => Ok(value),
        }
    }
}

impl Target {
    /// Where it is, for people: addresses without passwords.
    pub(crate) fn in_words(&self) -> String {
        let addresses: Vec<String> = self
            .addresses
            .iter()
            .map(|a| a.addr().to_string())
            .collect();
        let addresses = addresses.join(", ");
        match (&self.sentinel, self.cluster) {
            (Some(name), _) => format!("{name} by Sentinels {addresses}"),
            (None, true) => format!("cluster at {addresses}"),
            (None, false) => addresses,
        }
    }

    pub(super) async fn connect(&self) -> Result<Link, Failure> {
        if self.cluster {
            return self.connect_cluster().await;
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT));
        let client = self.client().await?;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Link::One(connection.await?))
    }

    /// A client of the one server, or of what is the primary now.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        match &self.sentinel {
            Some(name) => self.by_sentinel(name).await,
            None => self.open(self.first()?),
        }
    }

    fn first(&self) -> Result<ConnectionInfo, Failure> {
        let first = self.addresses.first().cloned();
        Ok(self.as_user(first.ok_or_else(|| Failure::lost("no address"))?))
    }

    fn as_user(&self, info: ConnectionInfo) -> ConnectionInfo {
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        info.set_redis_settings(settings)
    }

    fn open(&self, info: impl IntoConnectionInfo) -> Result<Client, Failure> {
        Ok(match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates)?,
            None => Client::open(info)?,
        })
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        if self.ca.is_none() && self.certificate.is_none() {
            return None;
        }
        let own = self.certificate.clone();
        Some(TlsCertificates {
            client_tls: own.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.ca.clone(),
        })
    }

    fn by_tls(&self) -> bool {
        let tls =
            |info: &ConnectionInfo| matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
        self.addresses.iter().any(tls)
    }

    async fn by_sentinel(&self, name: &str) -> Result<Client, Failure> {
        let addresses = self.addresses.iter().map(|info| info.addr().clone());
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses, name, kind)?;
        let first = self.first()?;
        let settings = first.redis_settings();
        builder = builder.set_client_to_redis_db(settings.db());
        if let Some(user) = settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(password) = &self.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if self.by_tls() {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        Ok(builder.build()?.async_get_client().await?)
    }

    /// Clients of the cluster: with user, password and certificates.
    pub(super) fn cluster(&self) -> ClusterClientBuilder {
        let addresses = self.addresses.iter().cloned();
        let nodes = addresses.map(|node| self.as_user(node));
        let builder = ClusterClient::builder(nodes).connection_timeout(CONNECT_TIMEOUT);
        match self.certificates() {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        }
    }

    async fn connect_cluster(&self) -> Result<Link, Failure> {
        let client = self
            .cluster()
            .retries(4)
            .response_timeout(REPLY_TIMEOUT)
            .build()?;
        Ok(Link::Cluster(client.get_async_connection().await?))
    }
}
