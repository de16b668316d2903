//! An authority of our own, what it signs, and clients that believe it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::harness::{Client, Site};

/// Who signs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("it can sign itself") }
    }

    /// In PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a host, or for a client of that name.
    pub fn sign(&self, name: &str) -> Signed {
        self.sign_with(name, |_| {})
    }

    /// A certificate with something special about it.
    pub fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a host's name is a good name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(0x0a0bu64.into());
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority signs");
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// A client that believes this authority alone.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self, rustls::DEFAULT_VERSIONS, None)
    }

    /// One that speaks this version alone.
    pub fn visitor_of(&self, version: &'static SupportedProtocolVersion) -> Visitor {
        Visitor::new(self, &[version], None)
    }

    /// One that shows a certificate.
    pub fn visitor_with(&self, shown: &Signed) -> Visitor {
        Visitor::new(self, rustls::DEFAULT_VERSIONS, Some(shown))
    }
}

impl Signed {
    /// Puts it into a site as `NAME.pem` and `NAME.key`.
    pub fn lay(&self, site: Site, name: &str) -> Site {
        site.file(&format!("{name}.pem"), &self.certificate).file(&format!("{name}.key"), &self.key)
    }
}

/// A client that keeps the sessions that it is given.
#[derive(Clone)]
pub struct Visitor(Arc<ClientConfig>);

impl Visitor {
    fn new(of: &Authority, versions: &[&'static SupportedProtocolVersion], shown: Option<&Signed>) -> Visitor {
        let mut roots = RootCertStore::empty();
        roots.add(of.issuer.der().clone()).expect("an authority is a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider has these versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::try_from(shown.key_der.clone()).expect("a key");
                builder.with_client_auth_cert(vec![shown.der.clone()], key).expect("a certificate and its key")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(64);
        Visitor(Arc::new(config))
    }

    /// Connects, naming this host; the handshake comes with the first bytes.
    pub fn connect(&self, address: SocketAddr, host: &str) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        let host = ServerName::try_from(host.to_owned()).expect("a host's name");
        let connection = ClientConnection::new(self.0.clone(), host).expect("the config is good");
        Client::over_tls(StreamOwned::new(connection, stream))
    }
}
