//! The house rules, held over the repository as it lies in the working tree.
//!
//! A rule names what breaks it, with file and line. The lists of exceptions may lose lines, never gain one: a line that
//! is no longer needed fails too.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod code;
mod dependencies;
mod edges;
mod repository;
mod secrets;
mod source;
mod text;

/// Fails with every offence, one a line.
#[track_caller]
fn none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}\n  {}\n", offences.join("\n  "));
}
