//! Signatures over the raw body, checked against the keys of the app in the path.
//!
//! `X-GHL-Signature` is Ed25519 and decides alone when it is there: a wrong one is never saved by the legacy
//! `X-WH-Signature` (RSA PKCS#1 v1.5 with SHA-256), which is looked at only where it is switched on.

use crate::tenants::App;
use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A key of an app that is no public key.
#[derive(Debug, thiserror::Error)]
#[error("key {number} ({algorithm}) of app {app} is no public key in PEM form")]
pub struct KeyError {
    app: String,
    algorithm: &'static str,
    number: usize,
}

/// The signature headers of a delivery.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signatures<'a> {
    /// `X-GHL-Signature`.
    pub ed25519: Option<&'a str>,
    /// `X-WH-Signature`.
    pub rsa: Option<&'a str>,
}

/// The keys of one app, ready for use.
pub struct Verifier {
    ed25519: Vec<ParsedPublicKey>,
    rsa: Vec<ParsedPublicKey>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({} ed25519, {} rsa)", self.ed25519.len(), self.rsa.len())
    }
}

impl Verifier {
    /// Parses an app's keys; the legacy ones only when they are accepted.
    ///
    /// # Errors
    /// When a key is none.
    pub fn new(app: &App, accept_legacy_rsa: bool) -> Result<Self, KeyError> {
        let fault = |algorithm, number| KeyError { app: app.id.to_string(), algorithm, number: number + 1 };
        let mut ed25519 = Vec::new();
        for (number, pem) in app.ed25519_keys.iter().enumerate() {
            let key = pem_bytes(pem)
                .as_deref()
                .and_then(<[u8]>::last_chunk::<32>)
                .and_then(|raw| ParsedPublicKey::new(&ED25519, raw).ok())
                .ok_or_else(|| fault("Ed25519", number))?;
            ed25519.push(key);
        }
        let mut rsa = Vec::new();
        for (number, pem) in app.rsa_keys.iter().enumerate().filter(|_| accept_legacy_rsa) {
            let key = pem_bytes(pem)
                .and_then(|der| ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok())
                .ok_or_else(|| fault("RSA", number))?;
            rsa.push(key);
        }
        Ok(Self { ed25519, rsa })
    }

    /// Whether one of the keys signed these very bytes.
    #[must_use]
    pub fn holds(&self, body: &[u8], signatures: Signatures<'_>) -> bool {
        match signatures.ed25519 {
            // GHL writes "N/A" where it did not sign.
            Some(signature) if signature != "N/A" => signed(&self.ed25519, body, signature),
            _ => signatures.rsa.is_some_and(|signature| signed(&self.rsa, body, signature)),
        }
    }
}

fn signed(keys: &[ParsedPublicKey], body: &[u8], signature: &str) -> bool {
    STANDARD
        .decode(signature.trim())
        .is_ok_and(|signature| keys.iter().any(|key| key.verify_sig(body, &signature).is_ok()))
}

fn pem_bytes(pem: &str) -> Option<Vec<u8>> {
    let inner: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(inner).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::AppId;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

    pub(in crate::webhooks) fn pem(spki_or_raw: &[u8]) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki_or_raw))
    }

    fn app(ed25519: Vec<String>, rsa: Vec<String>) -> App {
        App {
            id: AppId::from("demo"),
            environment: "sandbox".into(),
            ghl_app_id: "a".into(),
            ed25519_keys: ed25519,
            rsa_keys: rsa,
        }
    }

    #[test]
    fn only_the_signed_bytes_hold() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let verifier = Verifier::new(&app(vec![pem(pair.public_key().as_ref())], vec![]), false).unwrap();
        let signature = STANDARD.encode(pair.sign(b"body"));
        let with = |text| Signatures { ed25519: Some(text), rsa: None };
        assert!(verifier.holds(b"body", with(&signature)));
        assert!(!verifier.holds(b"body ", with(&signature)));
        assert!(!verifier.holds(b"body", with("not base64!")));
        assert!(!verifier.holds(b"body", with("N/A")));
        assert!(!verifier.holds(b"body", Signatures::default()));
    }

    #[test]
    fn the_legacy_signature_is_off_by_default_and_saves_no_wrong_one() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.public_key().as_der().unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &aws_lc_rs::rand::SystemRandom::new(), b"body", &mut signature).unwrap();
        let signature = STANDARD.encode(signature);
        let keys = app(vec![], vec![pem(der.as_ref())]);
        let legacy = Signatures { ed25519: None, rsa: Some(&signature) };
        assert!(!Verifier::new(&keys, false).unwrap().holds(b"body", legacy));
        let accepting = Verifier::new(&keys, true).unwrap();
        assert!(accepting.holds(b"body", legacy));
        assert!(!accepting.holds(b"body", Signatures { ed25519: Some("AAAA"), ..legacy }));
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let error = Verifier::new(&app(vec!["junk".into()], vec![]), false).unwrap_err().to_string();
        assert_eq!(error, "key 1 (Ed25519) of app demo is no public key in PEM form");
    }
}
