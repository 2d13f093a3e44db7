//! The error a client sees.

/// One modelled or common error with its HTTP status, ready for either protocol's envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// The code on the wire, for instance `NotFoundException`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The text for the client; AWS sends none with some codes.
    pub message: Option<String>,
    /// Whether the sender is at fault (`Sender` in the Query protocol's envelope) or the service.
    pub sender_fault: bool,
}

impl ServiceError {
    /// An error that is the sender's fault.
    pub fn sender(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self { code, status, message: Some(message.into()), sender_fault: true }
    }

    /// An error that is the sender's fault and that AWS sends without a text.
    pub fn sender_silent(code: &'static str, status: u16) -> Self {
        Self { code, status, message: None, sender_fault: true }
    }

    /// An error that is the service's fault. It carries no cause: that goes to the operator.
    pub fn receiver(code: &'static str, status: u16, message: Option<String>) -> Self {
        Self { code, status, message, sender_fault: false }
    }
}
