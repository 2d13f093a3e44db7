//! What a key's state permits (reference/key-states.md), declared by each operation and enforced here.

use crate::KmsError;
use crate::records::{Key, KeyState};

/// The refusal of a key whose material has to be imported.
pub(crate) fn pending_import(key: &Key) -> KmsError {
    KmsError::InvalidState(format!("{} is pending import.", key.arn()))
}

/// The states in which an operation may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Permits {
    /// Any state.
    Any,
    /// Enabled only: every use of the key.
    Enabled,
    /// All but pending deletion: changes of the key.
    NotPendingDeletion,
    /// All but pending deletion and pending import: switching the key on and off.
    HasMaterial,
    /// Only pending deletion: its cancellation.
    PendingDeletion,
}

impl Permits {
    /// Whether the key's state is among those permitted.
    ///
    /// # Errors
    /// AWS's error for the state.
    pub(crate) fn demand(self, key: &Key) -> Result<(), KmsError> {
        let invalid = |what: &str| Err(KmsError::InvalidState(format!("{} {what}", key.arn())));
        match (self, key.state) {
            (Self::Any, _) => Ok(()),
            (Self::PendingDeletion, _) if key.is_pending_deletion() => Ok(()),
            (Self::PendingDeletion, _) => invalid("is not pending deletion."),
            (_, KeyState::PendingDeletion { .. }) => invalid("is pending deletion."),
            (_, KeyState::PendingReplicaDeletion { .. }) => invalid("is pending replica deletion."),
            (Self::Enabled | Self::HasMaterial, KeyState::PendingImport) => Err(pending_import(key)),
            (Self::Enabled, KeyState::Disabled) => Err(KmsError::Disabled(key.arn())),
            _ => Ok(()),
        }
    }
}
