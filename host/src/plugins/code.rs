//! Machine code: made by our own compiler, sealed by a MAC, believed only when the MAC is ours. The one unsafe call of
//! the product is here, beside the check that makes it sound.

use super::error::PluginError;
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The first bytes of a sealed file: what it is, and how it is laid out.
const MAGIC: &[u8; 8] = b"MWCODE\x00\x01";
/// Bytes of the MAC.
const MAC_BYTES: usize = 32;
/// Where the code begins in a sealed file.
const HEAD_BYTES: usize = MAGIC.len() + MAC_BYTES;

/// Machine code that this host's own compiler made. There is no other way to get one than the two below.
pub(super) struct MachineCode {
    bytes: Vec<u8>,
    /// Where the code begins in `bytes`; what stands before it is a file's head.
    from: usize,
}

impl MachineCode {
    /// Compiles a component.
    pub(super) fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        Ok(Self { bytes: engine.precompile_component(component)?, from: 0 })
    }

    /// Takes a sealed file's code, if the file was sealed under this key and for this name.
    pub(super) fn unseal(key: &hmac::Key, name: &str, sealed: Vec<u8>) -> Option<Self> {
        let (head, code) = sealed.split_at_checked(HEAD_BYTES)?;
        let mac = head.strip_prefix(MAGIC)?;
        // Compared in constant time; the name is under the MAC so that no file stands in for another.
        let mut expected = hmac::Context::with_key(key);
        expected.update(name.as_bytes());
        expected.update(&[0]);
        expected.update(code);
        let ours: bool = expected.sign().as_ref().ct_eq(mac).into();
        ours.then_some(Self { bytes: sealed, from: HEAD_BYTES })
    }

    /// A sealed file's head for this code; the code follows it.
    pub(super) fn head(&self, key: &hmac::Key, name: &str) -> Vec<u8> {
        let mut mac = hmac::Context::with_key(key);
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(self.code());
        [MAGIC.as_slice(), mac.sign().as_ref()].concat()
    }

    /// The code.
    pub(super) fn code(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }

    /// Loads it.
    pub(super) fn load(&self, engine: &Engine) -> Result<Component, PluginError> {
        #[expect(
            unsafe_code,
            reason = "deserialising is sound for bytes that wasmtime itself serialised: these come from this process's own \
                      compiler, or from a file whose MAC under the vault's derived key was checked over these very bytes"
        )]
        // SAFETY: see the reason above; no other constructor of `MachineCode` exists.
        let component = unsafe { Component::deserialize(engine, self.code()) };
        component.map_err(|error| PluginError::Load(format!("{error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(name: &str, key: &hmac::Key) -> Vec<u8> {
        let code = MachineCode { bytes: b"machine code".to_vec(), from: 0 };
        [code.head(key, name), code.code().to_vec()].concat()
    }

    #[test]
    fn only_what_was_sealed_under_this_key_and_name_is_believed() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"one");
        let whole = sealed("a", &key);
        assert_eq!(MachineCode::unseal(&key, "a", whole.clone()).unwrap().code(), b"machine code");
        assert!(MachineCode::unseal(&key, "b", whole.clone()).is_none());
        let other = hmac::Key::new(hmac::HMAC_SHA256, b"other");
        assert!(MachineCode::unseal(&other, "a", whole.clone()).is_none());
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(MachineCode::unseal(&key, "a", changed).is_none(), "byte {at} changed");
            assert!(MachineCode::unseal(&key, "a", whole[..at].to_vec()).is_none(), "cut at {at}");
        }
    }
}
