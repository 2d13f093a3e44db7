//! The audit log's verifier, as an auditor runs it on a directory that somebody may have edited.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use claviger_audit::{Call, Event, EventType, Log, PublicKey, Settings, Time, Value, verify};
use claviger_crypto::SigningKey;
use claviger_secret::SecretArray;

use crate::Seeds;

/// A good log: its one segment, and the key that signs it.
struct Good {
    name: PathBuf,
    segment: Vec<u8>,
    key: PublicKey,
    /// Where each signed group ends.
    group_ends: Vec<usize>,
}

/// A segment: whatever the verifier takes as signed is byte for byte what was signed.
pub fn audit(input: &[u8]) {
    let Some(good) = good() else { return };
    let Ok(directory) = tempfile::tempdir() else { return };
    if fs::write(directory.path().join(&good.name), input).is_err() {
        return;
    }
    let report = verify(directory.path(), Some(&good.key), None);
    if !report.is_whole() {
        assert_ne!(input, good.segment, "the good log has a fault: {report:?}");
        return;
    }
    if report.signed > 0 {
        let groups = usize::try_from(report.checkpoints).unwrap_or(usize::MAX);
        let signed =
            groups.checked_sub(1).and_then(|last| good.group_ends.get(last)).and_then(|end| good.segment.get(..*end));
        assert!(signed.is_some_and(|signed| input.starts_with(signed)), "an edit went unnoticed: {report:?}");
    }
    assert!(report.signed <= report.sequence);
}

fn good() -> Option<&'static Good> {
    static GOOD: OnceLock<Option<Good>> = OnceLock::new();
    GOOD.get_or_init(make).as_ref()
}

fn make() -> Option<Good> {
    let directory = tempfile::tempdir().ok()?;
    let key = SigningKey::from_seed(SecretArray::new([9; 32])).ok()?;
    let public = key.public();
    let log = Log::open(directory.path(), key, "node-1", Settings::default()).ok()?;
    let segment = || -> Option<(PathBuf, Vec<u8>)> {
        let names =
            fs::read_dir(directory.path()).ok()?.filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())));
        let name = names.into_iter().find(|name| name.to_string_lossy().starts_with("segment-"))?;
        let bytes = fs::read(directory.path().join(&name)).ok()?;
        Some((name, bytes))
    };
    let mut group_ends = Vec::new();
    for group in 0..3 {
        for number in 0..2 {
            let pending = log.open_call(call(group * 2 + number));
            let mut event = Event::new(true);
            event.request_parameters = Value::object([("keyId", Value::public_text("alias/app"))]);
            log.append(pending, &event, ()).ok()?.into_inner();
        }
        log.sync().ok()?;
        group_ends.push(segment()?.1.len());
    }
    let pending = log.open_call(call(6));
    log.append(pending, &Event::new(true), ()).ok()?.into_inner();
    drop(log);
    let (name, segment) = segment()?;
    Some(Good { name, segment, key: public, group_ends })
}

fn call(number: i64) -> Call {
    Call {
        event_type: EventType::ApiCall,
        time: Time::from_millis(1_767_323_045_000 + number),
        source: "kms.amazonaws.com".into(),
        name: "Encrypt".into(),
        region: "eu-central-1".into(),
        identity: Value::object([("type", "Root")]),
        source_address: "192.0.2.1".into(),
        user_agent: None,
        request_id: None,
        event_id: "00000000-0000-4000-8000-000000000000".into(),
        recipient_account: "111122223333".into(),
        tls_details: None,
    }
}

pub(crate) fn seeds() -> Seeds {
    let good = good().map(|good| good.segment.clone()).unwrap_or_default();
    let (half, _) = good.split_at(good.len() / 2);
    let without_first_line = good.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default().to_vec();
    vec![
        ("half", half.to_vec()),
        ("without-first-line", without_first_line),
        ("not-json", b"{\"hash\":\n{}\n[]\n\n".to_vec()),
        ("empty", Vec::new()),
        ("good", good),
    ]
}
