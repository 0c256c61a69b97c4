//! The sandbox's own key pair: webhooks are signed as GHL signs them, with `X-GHL-Signature`.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// The ASN.1 wrapping of an Ed25519 public key (RFC 8410).
const SPKI_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Signs webhook bodies.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Opens the key pair in `folder`, or makes one.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join("ed25519.pkcs8");
        let broken = |what: &str| std::io::Error::other(format!("{}: {what}", path.display()));
        if !path.exists() {
            let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
                .map_err(|_unspecified| broken("no key could be made"))?;
            std::fs::write(&path, document.as_ref())?;
        }
        let pair = Ed25519KeyPair::from_pkcs8(&std::fs::read(&path)?)
            .map_err(|_rejected| broken("it holds no Ed25519 key"))?;
        Ok(Self { pair })
    }

    /// The signature header's value.
    pub(super) fn sign(&self, body: &[u8]) -> String {
        STANDARD.encode(self.pair.sign(body))
    }

    /// The public key, PEM.
    pub(super) fn public_pem(&self) -> String {
        let spki = [SPKI_PREFIX, self.pair.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki))
    }
}
