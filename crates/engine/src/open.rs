//! The deployment row: the one row that is not wrapped as the others are, since it holds the wrapped keys.

use std::sync::Arc;

use claviger_crypto::{DomainKeys, RootKey, SigningKey, UnsealSecret, unwrap_root, wrap_root};
use claviger_store::{Batch, CommitError, Store};

use crate::Fault;
use crate::codec::{BadRecord, Reader, Writer};

/// Rows under this prefix are not among the summed ones: each is authenticated by the root key itself.
pub(crate) const UNSUMMED: &[u8] = b"deployment/";
const ROW: &[u8] = b"deployment/keys";
const KIND: &str = "deployment";
const AUDIT_KEY: &[u8] = b"audit signing key v1";

/// A deployment's keys, unsealed.
pub struct Deployment {
    /// Wraps every record.
    pub keys: Arc<DomainKeys>,
    /// Signs the audit log.
    pub audit_key: SigningKey,
}

/// Why a deployment cannot be made or unsealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    /// There is one already; it is left as it is.
    #[error("the store is initialised already")]
    Exists,
    /// There is none.
    #[error("the store is not initialised")]
    Absent,
    /// The store holds rows but not the keys that open them.
    #[error("the row deployment/keys was dropped from the store")]
    Dropped,
    /// The unseal secret does not open it, or the row was altered.
    #[error("the unseal secret is not this store's, or the stored keys were altered")]
    Sealed,
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Deployment {
    /// Makes the root key and the first domain key, and stores them wrapped under the unseal secret.
    ///
    /// # Errors
    /// [`DeploymentError::Exists`] when the store holds one already.
    pub async fn initialise(store: &dyn Store, unseal: &UnsealSecret) -> Result<Self, DeploymentError> {
        // Rows without the keys that open them: the row of the keys was dropped, and a new one would hide that.
        let view = store.snapshot().await.map_err(Fault::from)?;
        let rows = view.scan(claviger_store::Range::all(), None, 1).await.map_err(Fault::from)?;
        if rows.first().is_some_and(|(key, _)| key.as_ref() != ROW) {
            return Err(DeploymentError::Dropped);
        }
        let root = RootKey::generate().map_err(Fault::from)?;
        let keys = DomainKeys::generate().map_err(Fault::from)?;
        let audit_key = SigningKey::generate().map_err(Fault::from)?;
        let mut writer = Writer::record(KIND, 1);
        writer.bytes(&wrap_root(&root, unseal).map_err(Fault::from)?);
        let wrapped: Result<Vec<_>, _> = (1..=keys.current()).map(|version| keys.wrap(&root, version)).collect();
        writer.list(wrapped.map_err(Fault::from)?.iter(), |writer, wrapped| writer.bytes(wrapped));
        writer.bytes(&audit_key.wrap(&keys, AUDIT_KEY).map_err(Fault::from)?);
        let mut batch = Batch::new();
        batch.check_absent(ROW).put(ROW, writer.finish());
        match store.commit(batch).await {
            Ok(_) => Ok(Self { keys: Arc::new(keys), audit_key }),
            Err(CommitError::Conflict) => Err(DeploymentError::Exists),
            Err(error) => Err(Fault::from(error).into()),
        }
    }

    /// Whether the store holds a deployment.
    ///
    /// # Errors
    /// [`DeploymentError::Fault`] when the store does not answer.
    pub async fn exists(store: &dyn Store) -> Result<bool, DeploymentError> {
        let view = store.snapshot().await.map_err(Fault::from)?;
        Ok(view.get(ROW).await.map_err(Fault::from)?.is_some())
    }

    /// Opens the stored keys.
    ///
    /// # Errors
    /// [`DeploymentError::Absent`] or [`DeploymentError::Sealed`].
    pub async fn unseal(store: &dyn Store, unseal: &UnsealSecret) -> Result<Self, DeploymentError> {
        let view = store.snapshot().await.map_err(Fault::from)?;
        let row = view.get(ROW).await.map_err(Fault::from)?.ok_or(DeploymentError::Absent)?;
        let parts = parse(&row.value).map_err(|_| DeploymentError::Sealed)?;
        let root = unwrap_root(parts.root, unseal).map_err(|_| DeploymentError::Sealed)?;
        let keys = DomainKeys::unwrap(&root, parts.domain).map_err(|_| DeploymentError::Sealed)?;
        let audit_key = SigningKey::unwrap(&keys, AUDIT_KEY, parts.audit_key).map_err(|_| DeploymentError::Sealed)?;
        Ok(Self { keys: Arc::new(keys), audit_key })
    }
}

/// The bytes of the stored row.
pub(crate) async fn stored(store: &dyn Store) -> Result<bytes::Bytes, Fault> {
    let row = store.snapshot().await?.get(ROW).await?;
    row.map(|row| row.value).ok_or_else(|| Fault::RecordMissing("deployment/keys".to_owned()))
}

/// The domain keys in the stored row, if the secret opens it.
pub(crate) fn domain_keys(row: &[u8], unseal: &UnsealSecret) -> Option<DomainKeys> {
    let parts = parse(row).ok()?;
    let root = unwrap_root(parts.root, unseal).ok()?;
    DomainKeys::unwrap(&root, parts.domain).ok()
}

struct Parts<'a> {
    root: &'a [u8],
    domain: Vec<&'a [u8]>,
    audit_key: &'a [u8],
}

fn parse(bytes: &[u8]) -> Result<Parts<'_>, BadRecord> {
    let (mut reader, _) = Reader::record(bytes, KIND, 1)?;
    let root = reader.bytes()?;
    let domain = reader.list(Reader::bytes)?;
    let audit_key = reader.bytes()?;
    reader.end()?;
    Ok(Parts { root, domain, audit_key })
}
