//! Tokens as an attacker would write them, against fixed keys.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_api::Timestamp;
use claviger_crypto::TokenAlgorithm;
use claviger_engine::{BoxFuture, Clock, Egress, EgressError, Fetched};

use super::jwt::Unverified;
use super::keys::{KeySet, KeySets};
use super::*;

/// The example of RFC 7515, appendix A.2: RS256.
const RSA_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// The example of RFC 7515, appendix A.3: ES256.
const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn set(keys: &[&str]) -> KeySet {
    KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
}

/// What the verification of a token comes to. The examples have no subject, which is looked at once the signature is
/// right.
fn outcome(keys: &KeySet, token: &str) -> Result<(), StsError> {
    Unverified::parse(token)?.verify(keys, &[], 0).map(drop)
}

fn is_signed(outcome: &Result<(), StsError>) -> bool {
    *outcome == Err(StsError::InvalidIdentityToken("Missing a required claim: sub".to_owned()))
}

fn with_header(token: &str, header: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

#[test]
fn the_examples_of_rfc_7515() {
    for (keys, token, right) in [
        (&[RSA_KEY][..], RSA_TOKEN, true),
        (&[EC_KEY], EC_TOKEN, true),
        (&[RSA_KEY, EC_KEY], RSA_TOKEN, true),
        (&[RSA_KEY, EC_KEY], EC_TOKEN, true),
        (&[EC_KEY], RSA_TOKEN, false),
        (&[RSA_KEY], EC_TOKEN, false),
        (&[], EC_TOKEN, false),
    ] {
        let outcome = outcome(&set(keys), token);
        assert_eq!(is_signed(&outcome), right, "{outcome:?}");
    }
}

#[test]
fn every_part_of_a_token_is_signed() {
    let keys = set(&[RSA_KEY, EC_KEY]);
    for token in [RSA_TOKEN, EC_TOKEN] {
        for at in (0..token.len()).step_by(3) {
            let mut altered = token.as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(altered == token || !is_signed(&outcome(&keys, &altered)), "{at}");
        }
    }
}

#[test]
fn other_algorithms_are_none() {
    let keys = set(&[RSA_KEY]);
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"PS256"}"#,
        r#"{"alg":"RS512"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":["RS256"]}"#,
        r#"{"alg":"none","alg":"RS256"}"#,
        r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"RS256","kid":"other"}"#,
        r#"{"alg":"RS256","kid":7}"#,
        "{}",
        "[]",
        "",
    ] {
        assert!(!is_signed(&outcome(&keys, &with_header(RSA_TOKEN, header))), "{header}");
    }
    let (signed, _) = RSA_TOKEN.rsplit_once('.').unwrap();
    assert!(!is_signed(&outcome(&keys, &format!("{signed}."))));
}

#[test]
fn key_sets() {
    let named = |id: &str, rest: &str| EC_KEY.replacen('{', &format!(r#"{{"kid":"{id}"{rest},"#), 1);
    let find = |keys: &[&str], id: Option<&str>| set(keys).find(id, TokenAlgorithm::Es256).is_some();
    let (one, two) = (named("one", ""), named("two", r#","use":"sig","alg":"ES256""#));
    assert!(find(&[&one, &two], Some("one")) && find(&[&one, &two], Some("two")));
    assert!(!find(&[&one, &two], None), "either could be meant");
    assert!(find(&[&one], None) && !find(&[&one], Some("two")) && !find(&[EC_KEY], Some("one")));
    assert!(!find(&[&one, &one], Some("one")), "either could be meant");
    for left_out in [
        named("one", r#","use":"enc""#),
        named("one", r#","alg":"ES384""#),
        named("one", r#","alg":"HS256""#),
        EC_KEY.replace("P-256", "P-384"),
        EC_KEY.replace("P-256", "P-192"),
        EC_KEY.replace(r#""kty":"EC""#, r#""kty":"oct""#),
        EC_KEY.replace("f83O", "f83"),
        EC_KEY.replace(r#""y""#, r#""z""#),
        "7".to_owned(),
        "{}".to_owned(),
    ] {
        assert!(!find(&[&left_out], None) && !find(&[&left_out], Some("one")), "{left_out}");
    }
    for none in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":"#] {
        assert!(KeySet::parse(none.as_bytes()).is_none(), "{none}");
    }
    let many = vec![one.as_str(); 10_000];
    assert!(set(&many).find(Some("two"), TokenAlgorithm::Es256).is_none());
}

/// A provider whose answers the test decides, and when they come; and a clock.
struct Stand {
    asked: AtomicUsize,
    answer: Mutex<Option<String>>,
    /// Free while it answers at once.
    gate: tokio::sync::Mutex<()>,
    seconds: AtomicI64,
}

impl Default for Stand {
    fn default() -> Self {
        let (asked, answer, gate) = Default::default();
        Self { asked, answer, gate, seconds: AtomicI64::new(1_790_000_000) }
    }
}

impl Clock for Stand {
    fn wall(&self) -> Timestamp {
        Timestamp::from_seconds(self.seconds.load(Ordering::Relaxed))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(0)
    }
}

impl Stand {
    fn publish(&self, keys: &[&str]) {
        *self.answer.lock().unwrap() = Some(format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    }
}

impl Egress for Stand {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>> {
        let discovery = r#"{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys"}"#;
        let body = match url {
            "https://issuer.example/.well-known/openid-configuration" => Some(discovery.to_owned()),
            "https://issuer.example/keys" => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                self.answer.lock().unwrap().clone()
            }
            _ => None,
        };
        Box::pin(async move {
            drop(self.gate.lock().await);
            let body = body.ok_or(EgressError::TimedOut)?.into_bytes();
            Ok(Fetched { body, fresh_seconds: Some(100_000) })
        })
    }
}

#[tokio::test]
async fn keys_are_kept_for_an_hour_and_asked_for_seldom() {
    let stand = Arc::new(Stand::default());
    let sets = KeySets::new(Arc::clone(&stand) as _);
    let (one, two) = (EC_KEY.replacen('{', r#"{"kid":"one","#, 1), EC_KEY.replacen('{', r#"{"kid":"two","#, 1));
    let has = async |id: &str, at: i64| {
        let wanted = (Some(id), TokenAlgorithm::Es256);
        stand.seconds.store(at, Ordering::Relaxed);
        let set = sets.get("issuer.example", wanted, &*stand).await?;
        Ok::<_, StsError>(set.find(wanted.0, wanted.1).is_some())
    };
    let asked = || stand.asked.load(Ordering::Relaxed);
    let start = 1_790_000_000;
    assert_eq!(has("one", start).await, Err(StsError::IdpCommunication));
    stand.publish(&[&one]);
    assert_eq!((has("one", start + 9).await, asked()), (Err(StsError::IdpCommunication), 1), "not so soon again");
    assert_eq!((has("one", start + 10).await, asked()), (Ok(true), 2));
    assert_eq!((has("one", start + 3_609).await, asked()), (Ok(true), 2));
    assert_eq!((has("one", start + 3_610).await, asked()), (Ok(true), 3), "kept for an hour at most");
    stand.publish(&[&one, &two]);
    assert_eq!((has("two", start + 3_615).await, asked()), (Ok(false), 3), "not so soon again");
    assert_eq!((has("two", start + 3_620).await, asked()), (Ok(true), 4), "a key that is missing");
    for second in 0..10 {
        assert_eq!((has("three", start + 3_620 + second).await, asked()), (Ok(false), 4));
    }
    *stand.answer.lock().unwrap() = None;
    let day = start + 3_620 + 24 * 3_600;
    assert_eq!(has("one", day - 1).await, Ok(true), "the last good copy");
    assert_eq!(has("one", day + 10).await, Err(StsError::IdpCommunication));
    // A clock that runs backwards does not stop the asking.
    stand.publish(&[&two]);
    assert_eq!(has("two", start).await, Ok(true));
}

/// What a future comes to without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(found) => Some(found),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_provider_that_is_slow_holds_up_those_alone_who_need_its_answer() {
    let stand = Arc::new(Stand::default());
    let sets = Arc::new(KeySets::new(Arc::clone(&stand) as _));
    let one = EC_KEY.replacen('{', r#"{"kid":"one","#, 1);
    stand.publish(&[&one]);
    let wanted = |id| (Some(id), TokenAlgorithm::Es256);
    let get = async |id| sets.get("issuer.example", wanted(id), &*stand).await.map(drop);
    let asked = || stand.asked.load(Ordering::Relaxed);
    let pass = |seconds| stand.seconds.fetch_add(seconds, Ordering::Relaxed);
    assert_eq!((get("one").await, asked()), (Ok(()), 1));
    pass(100);
    // Somebody's token names a key that nobody knows, and the provider takes its time.
    let shut = stand.gate.lock().await;
    let mut first = Box::pin(get("forged"));
    assert!(at_once(&mut first).is_none());
    assert_eq!(at_once(get("one")), Some(Ok(())), "the key is known and fresh");
    assert_eq!(at_once(get("forged")), None, "one asks, the others wait for the answer");
    // Too old to be believed unasked: the provider may have withdrawn them.
    pass(3_600);
    assert_eq!(at_once(get("one")), None);
    *stand.answer.lock().unwrap() = None;
    drop(shut);
    assert_eq!((first.await, asked()), (Ok(()), 2));
    // The try ended now, however long ago it began.
    pass(9);
    assert_eq!((get("forged").await, asked()), (Ok(()), 2));
    pass(1);
    let shut = stand.gate.lock().await;
    let mut again = Box::pin(get("forged"));
    assert!(at_once(&mut again).is_none());
    assert_eq!(at_once(get("one")), Some(Ok(())), "the provider failed, so its last keys serve at once");
    // Whoever goes away while the provider is asked has asked it all the same.
    drop(again);
    drop(shut);
    assert_eq!((at_once(get("forged")), asked()), (Some(Ok(())), 2));
}

#[tokio::test]
async fn without_a_way_out_there_are_no_keys() {
    let found = KeySets::default().get("issuer.example", (None, TokenAlgorithm::Es256), &Stand::default()).await;
    assert!(matches!(found, Err(StsError::InvalidIdentityToken(_))));
}

fn keys_of(provider: &str, json: &str) -> Vec<(String, Vec<String>)> {
    let all = match serde_json::from_str(json).unwrap() {
        serde_json::Value::Object(all) => all,
        other => unreachable!("{other}"),
    };
    let (subject, audience) = ("s".to_owned(), "a".to_owned());
    claims::condition_keys(provider, &jwt::Claims { subject, audience, all })
}

#[test]
fn claims_as_condition_keys() {
    let json = r#"{"aud":["a","b"],"sub":"s","n":7,"b":true,"x":null,"o":{},"l":["p",1],"m":[{}]}"#;
    let mut found = keys_of("a.example/id", json);
    found.sort();
    let one = |name: &str, values: &[&str]| {
        (format!("a.example/id:{name}"), values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
    };
    let expected = [
        one("aud", &["a"]),
        one("b", &["true"]),
        one("l", &["p", "1"]),
        one("n", &["7"]),
        one("oaud", &["a", "b"]),
        one("sub", &["s"]),
    ];
    assert_eq!(found, expected);
    let remaining = claims::remaining("a.example/id", &found);
    assert_eq!(remaining, [one("aud", &["a"]), one("oaud", &["a", "b"]), one("sub", &["s"])]);
    assert!(keys_of("kms", r#"{"ViaService":"x","sub":"s"}"#).is_empty(), "an issuer with the name of a service");
    // A claim cannot pass for the audience that counts.
    assert_eq!(keys_of("a.example", r#"{"oaud":"x"}"#), [("a.example:aud".to_owned(), vec!["a".to_owned()])]);
}
