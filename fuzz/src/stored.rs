//! What comes back from storage and from users: ciphertext blobs and policies.

use claviger_crypto::{EncryptionContext, Header, KeyId, SymmetricMaterial};
use claviger_policy::{
    AccountId, Document, Limits, NoContext, Principal, Question, Sources, decide, default_key_policy,
};
use claviger_secret::SecretArray;

use crate::Seeds;

/// A blob that [`material`] sealed with the context `{"a": "b"}`, made once and kept.
const SEALED: &[u8] = include_bytes!("../corpus/blob/sealed");

fn material() -> Option<SymmetricMaterial> {
    let key_id = KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").ok()?;
    SymmetricMaterial::from_bytes(key_id, SecretArray::new([7; 32])).ok()
}

/// A ciphertext blob: nothing opens but what was sealed, and that only with its context.
pub fn blob(input: &[u8]) {
    let header = Header::parse(input);
    let Some(material) = material() else { return };
    let context = EncryptionContext::canonical([("a", "b")]);
    let opened = material.open(input, &context);
    assert_eq!(opened.is_ok(), input == SEALED, "only the sealed blob opens");
    if input == SEALED {
        let of_material = Header { key_id: material.key_id(), material_id: material.material_id() };
        assert_eq!(header.as_ref(), Ok(&of_material));
    }
    assert!(header.is_ok() || opened.is_err());
    for other in [EncryptionContext::canonical([]), EncryptionContext::canonical([("ab", "")])] {
        assert!(material.open(input, &other).is_err(), "the context was not checked");
    }
}

pub(crate) fn blob_seeds() -> Seeds {
    let context = EncryptionContext::canonical([("a", "b")]);
    let sealed = material().and_then(|material| material.seal(&context, b"fuzz").ok()).unwrap_or_default();
    let (short, _) = sealed.split_at(sealed.len() / 2);
    vec![("empty", Vec::new()), ("truncated", short.to_vec()), ("version-only", vec![1]), ("sealed", sealed)]
}

/// A policy: its text is kept, and any document that parses can be asked anything.
pub fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let identity = Document::parse_identity_policy(text, &Limits::KEY_POLICY);
    let document = match Document::parse_key_policy(text, &Limits::KEY_POLICY) {
        Ok(document) => document,
        Err(malformed) => {
            assert!(!malformed.message().is_empty());
            return;
        }
    };
    assert_eq!(document.text(), text);
    assert!(text.len() <= Limits::KEY_POLICY.bytes_max);
    let padded = format!(" {text}\n");
    let again = Document::parse_key_policy(&padded, &Limits { bytes_max: usize::MAX, ..Limits::KEY_POLICY });
    let (Some(own), Some(foreign)) = (AccountId::parse("111122223333"), AccountId::parse("444455556666")) else {
        return;
    };
    for principal in [Principal::root(own), Principal::root(foreign), Principal::user(own, "/", "alice")] {
        let question = Question {
            principal: &principal,
            action: "kms:Decrypt",
            resource_arn: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            resource_account: own,
            cross_account_capable: true,
            context: &NoContext,
        };
        let identities: Vec<&Document> = identity.iter().collect();
        let sources = Sources { identity_policies: &identities, ..Sources::key_policy(&document) };
        let decision = decide(&question, &sources);
        assert!(!decision.explain(&sources).is_empty());
        let spaced = again
            .as_ref()
            .map(|again| decide(&question, &Sources { identity_policies: &identities, ..Sources::key_policy(again) }));
        assert_eq!(spaced, Ok(decision), "white space changed the decision");
    }
}

pub(crate) fn policy_seeds() -> Seeds {
    let seed = |text: &str| text.as_bytes().to_vec();
    let default = AccountId::parse("111122223333").map(default_key_policy).unwrap_or_default();
    vec![
        ("default", default.into_bytes()),
        (
            "users",
            seed(
                r#"{"Version":"2012-10-17","Statement":{"Sid":"a","Effect":"Deny","Principal":{"AWS":["arn:aws:iam::111122223333:user/alice","444455556666"]},"Action":["kms:De*","kms:?ncrypt"],"Resource":"*"}}"#,
            ),
        ),
        (
            "anybody",
            seed(
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":["arn:aws:kms:*:*:key/*"]}]}"#,
            ),
        ),
        (
            "condition",
            seed(
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}}]}"#,
            ),
        ),
        (
            "negations",
            seed(
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"*"},"NotAction":"kms:*","NotResource":"*"}]}"#,
            ),
        ),
        (
            "identity",
            seed(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#),
        ),
        ("duplicate", seed(r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#)),
        ("not-json", seed(r#"{"Version":"2012-10-17","Statement":[}"#)),
        ("deep", format!("{{\"Statement\":{}{}}}", "[".repeat(2000), "]".repeat(2000)).into_bytes()),
    ]
}
