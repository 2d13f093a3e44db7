//! Session tokens: everything about a session, sealed by the domain keys and kept by its client alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Writer};
use claviger_secret::SecretBytes;

use crate::records::{Tags, pair, text, write_pairs, write_texts};

/// Binds a token to what it is. What it is sealed over besides is the access key id, so that it opens with its own only.
const PURPOSE: &str = "claviger session token v1";
const KIND: &str = "sts session";
/// The longest token that is looked into, in characters; those that are issued are shorter.
const TOKEN_MAX: usize = 16_384;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A role's, by its unique id, under a name.
    Role { id: String, name: String },
    /// A user's, by its unique id; without, the root's of the account.
    User(Option<String>),
    /// Of somebody for whom a user (or without its unique id the root) vouched, under a name.
    Federated { user: Option<String>, name: String },
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) account: String,
    pub(crate) subject: Subject,
    /// By the wall clock, as all times here.
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
    /// The session policy that was passed as text.
    pub(crate) policy: Option<String>,
    /// Unique ids of the managed policies that were passed.
    pub(crate) policies: Vec<String>,
    pub(crate) tags: Tags,
    /// Which of the tags go on to sessions made from this one.
    pub(crate) transitive: Vec<String>,
    pub(crate) source_identity: Option<String>,
    pub(crate) second_factor_at: Option<Timestamp>,
    /// Who vouched for a web identity: the provider's ARN.
    pub(crate) provider: Option<String>,
    /// What remains of its claims: condition keys with their values.
    pub(crate) claims: Vec<(String, Vec<String>)>,
    /// The access key by which a root made the session for itself or vouched: it is worth nothing without. Version 1
    /// did not say, so its sessions of roots are worth nothing any more.
    pub(crate) root_key: Option<String>,
}

/// The token of a session with this access key.
pub(crate) fn seal(
    keys: &DomainKeys,
    access_key_id: &str,
    secret: &SecretBytes,
    issued: &Issued,
) -> Result<String, Fault> {
    let plaintext = encode(secret, issued);
    Ok(STANDARD.encode(keys.seal(PURPOSE, access_key_id.as_bytes(), plaintext.expose())?))
}

/// The session of a token, and its secret access key; `None` for whatever this deployment did not seal for this access
/// key.
pub(crate) fn open(keys: &DomainKeys, access_key_id: &str, token: &str) -> Option<(SecretBytes, Issued)> {
    let sealed = Some(token).filter(|token| token.len() <= TOKEN_MAX)?;
    let sealed = STANDARD.decode(sealed).ok()?;
    let plaintext = keys.open(PURPOSE, access_key_id.as_bytes(), &sealed).ok()?;
    decode(plaintext.expose()).ok()
}

fn encode(secret: &SecretBytes, issued: &Issued) -> SecretBytes {
    let Issued { account, subject, at, until, policy, policies, tags, transitive, .. } = issued;
    let Issued { source_identity, second_factor_at, provider, claims, root_key, .. } = issued;
    let mut writer = Writer::record(KIND, 2);
    writer.bytes(secret.expose());
    writer.text(account);
    match subject {
        Subject::Role { id, name } => {
            writer.u8(0);
            writer.text(id);
            writer.text(name);
        }
        Subject::User(user) => {
            writer.u8(1);
            writer.option(user.as_ref(), |writer, user| writer.text(user));
        }
        Subject::Federated { user, name } => {
            writer.u8(2);
            writer.option(user.as_ref(), |writer, user| writer.text(user));
            writer.text(name);
        }
    }
    writer.i64(at.millis());
    writer.i64(until.millis());
    writer.option(policy.as_ref(), |writer, policy| writer.text(policy));
    write_texts(&mut writer, policies);
    write_pairs(&mut writer, tags);
    write_texts(&mut writer, transitive);
    writer.option(source_identity.as_ref(), |writer, source| writer.text(source));
    writer.option(second_factor_at.as_ref(), |writer, at| writer.i64(at.millis()));
    writer.option(provider.as_ref(), |writer, provider| writer.text(provider));
    writer.list(claims.iter(), |writer, (key, values)| {
        writer.text(key);
        write_texts(writer, values);
    });
    writer.option(root_key.as_ref(), |writer, key| writer.text(key));
    writer.finish_secret()
}

fn decode(bytes: &[u8]) -> Result<(SecretBytes, Issued), BadRecord> {
    let (mut reader, version) = Reader::record(bytes, KIND, 2)?;
    let secret = SecretBytes::from_slice(reader.bytes()?);
    let account = text(&mut reader)?;
    let subject = match reader.u8()? {
        0 => Subject::Role { id: text(&mut reader)?, name: text(&mut reader)? },
        1 => Subject::User(reader.option(text)?),
        2 => Subject::Federated { user: reader.option(text)?, name: text(&mut reader)? },
        _ => return Err(BadRecord),
    };
    let issued = Issued {
        account,
        subject,
        at: Timestamp::from_millis(reader.i64()?),
        until: Timestamp::from_millis(reader.i64()?),
        policy: reader.option(text)?,
        policies: reader.list(text)?,
        tags: reader.list(pair)?,
        transitive: reader.list(text)?,
        source_identity: reader.option(text)?,
        second_factor_at: reader.option(|reader| Ok(Timestamp::from_millis(reader.i64()?)))?,
        provider: reader.option(text)?,
        claims: reader.list(|reader| Ok((text(reader)?, reader.list(text)?)))?,
        root_key: if version == 1 { None } else { reader.option(text)? },
    };
    reader.end()?;
    Ok((secret, issued))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::records::golden::{file, keep, keys};

    const ID: &str = "ASIAABCDEFGHIJKLMNOP";

    fn secret() -> SecretBytes {
        SecretBytes::from_slice(b"the secret access key of 40 characters..")
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_790_000_000 + seconds)
    }

    /// A session with everything in it.
    fn of_role() -> Issued {
        Issued {
            account: "111122223333".to_owned(),
            subject: Subject::Role { id: "AROAABCDEFGHIJKLMNOPQ".to_owned(), name: "worker".to_owned() },
            at: time(0),
            until: time(3_600),
            policy: Some("{}".to_owned()),
            policies: vec!["ANPAABCDEFGHIJKLMNOPQ".to_owned()],
            tags: vec![("Team".to_owned(), "blue".to_owned()), ("Ort".to_owned(), "Köln".to_owned())],
            transitive: vec!["Team".to_owned()],
            source_identity: Some("alice".to_owned()),
            second_factor_at: Some(time(-60)),
            provider: Some("arn:aws:iam::111122223333:oidc-provider/a.example".to_owned()),
            claims: vec![("a.example:aud".to_owned(), vec!["one".to_owned(), "two".to_owned()])],
            root_key: None,
        }
    }

    fn plain(subject: Subject) -> Issued {
        Issued {
            subject,
            policy: None,
            policies: Vec::new(),
            tags: Vec::new(),
            transitive: Vec::new(),
            source_identity: None,
            second_factor_at: None,
            provider: None,
            claims: Vec::new(),
            root_key: None,
            ..of_role()
        }
    }

    fn all() -> Vec<(&'static str, Issued)> {
        let user = || Some("AIDAABCDEFGHIJKLMNOPQ".to_owned());
        vec![
            ("session-role", of_role()),
            ("session-user", plain(Subject::User(user()))),
            ("session-root", plain(Subject::User(None))),
            ("session-federated", plain(Subject::Federated { user: user(), name: "guest".to_owned() })),
        ]
    }

    /// The same and one that version 1 could not hold, as they are written now.
    fn current() -> Vec<(String, Issued)> {
        let root = Issued { root_key: Some("AKIAABCDEFGHIJKLMNOP".to_owned()), ..plain(Subject::User(None)) };
        let all = all().into_iter().map(|(name, issued)| (format!("{name}-2"), issued));
        all.chain([("session-root-key-2".to_owned(), root)]).collect()
    }

    #[tokio::test]
    async fn what_is_sealed_opens() {
        let keys = keys().await;
        for (name, issued) in current() {
            let token = seal(&keys, ID, &secret(), &issued).unwrap();
            let (read, found) = open(&keys, ID, &token).unwrap();
            assert_eq!((read.expose(), &found), (secret().expose(), &issued), "{name}");
            assert!(token.len() < TOKEN_MAX);
        }
    }

    #[tokio::test]
    async fn tokens_of_earlier_releases_open() {
        let keys = keys().await;
        let first = all().into_iter().map(|(name, issued)| (name.to_owned(), issued));
        for (name, issued) in first.chain(current()) {
            let token = STANDARD.encode(file(&name));
            let (read, found) = open(&keys, ID, &token).unwrap();
            assert_eq!((read.expose(), &found), (secret().expose(), &issued), "{name}");
            if name.ends_with("-2") {
                let plaintext = keys.open(PURPOSE, ID.as_bytes(), &file(&name)).unwrap();
                assert_eq!(plaintext.expose(), encode(&secret(), &issued).expose(), "{name} is written so");
            }
        }
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let keys = keys().await;
        for (name, issued) in current() {
            keep(&name, STANDARD.decode(seal(&keys, ID, &secret(), &issued).unwrap()).unwrap());
        }
    }

    #[tokio::test]
    async fn every_byte_is_guarded() {
        let keys = keys().await;
        let sealed = STANDARD.decode(seal(&keys, ID, &secret(), &of_role()).unwrap()).unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&keys, ID, &STANDARD.encode(altered)).is_none(), "byte {at}");
            assert!(open(&keys, ID, &STANDARD.encode(&sealed[..at])).is_none(), "cut at {at}");
        }
        let longer = [&sealed[..], &[0]].concat();
        assert!(open(&keys, ID, &STANDARD.encode(longer)).is_none());
    }

    #[tokio::test]
    async fn a_token_has_one_spelling_one_access_key_and_one_deployment() {
        let keys = keys().await;
        let token = seal(&keys, ID, &secret(), &of_role()).unwrap();
        assert!(open(&keys, "ASIAABCDEFGHIJKLMNOQ", &token).is_none(), "another access key");
        assert!(open(&DomainKeys::generate().unwrap(), ID, &token).is_none(), "another deployment");
        for spelling in
            [format!("{token}\n"), format!(" {token}"), token.trim_end_matches('=').to_owned(), String::new()]
        {
            assert!(spelling == token || open(&keys, ID, &spelling).is_none(), "{spelling:?}");
        }
        let long = "A".repeat(TOKEN_MAX + 4);
        assert!(open(&keys, ID, &long).is_none());
        let other = STANDARD
            .encode(keys.seal("claviger other v1", ID.as_bytes(), encode(&secret(), &of_role()).expose()).unwrap());
        assert!(open(&keys, ID, &other).is_none(), "sealed for another purpose");
        assert!(!token.contains("secret") && STANDARD.decode(&token).unwrap().windows(6).all(|part| part != b"secret"));
    }

    #[test]
    fn a_plaintext_cut_short_is_none() {
        for (name, issued) in current() {
            let bytes = encode(&secret(), &issued);
            assert!(decode(bytes.expose()).is_ok());
            for at in 0..bytes.len() {
                assert!(decode(&bytes.expose()[..at]).is_err(), "{name} cut at {at}");
            }
        }
    }
}
