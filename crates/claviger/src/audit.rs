//! `claviger audit verify`: needs no server.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_audit::{Hash, verify};

use crate::arguments::AuditCommand;
use crate::say;

pub(crate) fn run(command: &AuditCommand) -> ExitCode {
    let AuditCommand::Verify { directory, key, head } = command;
    let key = match key.as_ref().map(|file| read_key(file)).transpose() {
        Ok(key) => key,
        Err(text) => return crate::fail(&text),
    };
    let head = match head.as_deref().map(|text| Hash::parse(text).ok_or(())).transpose() {
        Ok(head) => head,
        Err(()) => return crate::fail("--head is not a hash of 64 hexadecimal digits"),
    };
    let report = verify(directory, key.as_ref(), head);
    say(&format!(
        "node {}: {} segments, {} records, {} checkpoints, {} recoveries; last entry {} ({}), signed to {}",
        report.node,
        report.segments,
        report.records,
        report.checkpoints,
        report.recoveries,
        report.sequence,
        report.head,
        report.signed
    ));
    if report.key_from_directory {
        say("the public key was read from the log's own directory; pass --key to check against a copy of yours");
    }
    match &report.first_fault {
        None => {
            say("the log is whole");
            ExitCode::SUCCESS
        }
        Some(fault) => crate::fail(&format!("the audit log is not whole: {fault}")),
    }
}

fn read_key(file: &std::path::Path) -> Result<claviger_audit::PublicKey, String> {
    let bad = |what: &str| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| bad(&error.to_string()))?;
    let bytes = STANDARD.decode(text.trim()).map_err(|_| bad("not base64"))?;
    bytes.try_into().map_err(|_| bad("not a public key of 32 bytes"))
}
