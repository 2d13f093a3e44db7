//! What a key's state permits (reference/key-states.md), declared by each operation and enforced here.

use crate::KmsError;
use crate::records::{Key, KeyState};

/// The states in which an operation may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Permits {
    /// Any state.
    Any,
    /// Enabled only: every use of the key.
    Enabled,
    /// All but pending deletion: changes of the key.
    NotPendingDeletion,
    /// Only pending deletion: its cancellation.
    PendingDeletion,
}

impl Permits {
    /// Whether the key's state is among those permitted.
    ///
    /// # Errors
    /// AWS's error for the state.
    pub(crate) fn demand(self, key: &Key) -> Result<(), KmsError> {
        let pending = matches!(key.state, KeyState::PendingDeletion { .. });
        let invalid = |what: &str| Err(KmsError::InvalidState(format!("{} {what}", key.arn())));
        match self {
            Self::Any => Ok(()),
            Self::Enabled | Self::NotPendingDeletion if pending => invalid("is pending deletion."),
            Self::Enabled if key.state == KeyState::Disabled => Err(KmsError::Disabled(key.arn())),
            Self::PendingDeletion if !pending => invalid("is not pending deletion."),
            _ => Ok(()),
        }
    }
}
