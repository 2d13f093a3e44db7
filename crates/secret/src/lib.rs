//! Bytes that must not be seen, and text that may be logged.
//!
//! Two lists, both kept by the compiler. [`SecretBytes`] and [`SecretArray`] hold what must never be seen: they have
//! no `Debug`, `Display`, `Clone` or `PartialEq`, and they are wiped when dropped. [`LogSafe`] marks what may appear
//! in a log line, and [`event!`] is the only way to write one: it takes no other values. The first list is not
//! enough on its own, since a secret can be copied into a `String`; the second is an allow-list, so that copy cannot
//! be logged either, unless somebody declares it safe where a reviewer sees it.

mod event;
mod log;
mod secret;

pub use log::{LOG_TEXT_CHARACTERS_MAX, LogSafe, LogText, safe};
pub use secret::{SecretArray, SecretBytes};

/// Only for the expansion of [`event!`], so that its callers need no dependency of their own.
#[doc(hidden)]
pub use tracing as __tracing;
