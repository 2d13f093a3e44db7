//! Web identity tokens, which anybody may send without a signature of their own.

use claviger_iam::believed_claims;

/// The keys that signed `corpus/token/es256` and `rs256`, among others; made once, their private halves thrown away.
const KEYS: &[u8] = include_bytes!("token-keys.json");
const BELIEVED: [&str; 2] = [include_str!("../corpus/token/es256"), include_str!("../corpus/token/rs256")];
/// A time at which both hold, in seconds since 1970.
const NOW: i64 = 1_767_323_045;

/// What was signed: header and claims.
fn signed(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(signed, _)| signed)
}

/// A web identity token: nothing is believed but what a key signed, for its audience, in its time.
pub fn token(input: &[u8]) {
    let clients = ["sts.amazonaws.com".to_owned()];
    if let Ok(token) = std::str::from_utf8(input) {
        let believed = believed_claims(token, KEYS, &clients, NOW);
        // A signature with an elliptic curve has a second form; what it covers has not.
        let was_signed = BELIEVED.iter().any(|known| signed(known) == signed(token));
        assert!(believed.is_err() || was_signed, "a token that nobody signed is believed");
        assert!(believed.is_ok() || !BELIEVED.contains(&token), "a signed token is not believed: {believed:?}");
        for (clients, now) in [(&clients[..], NOW + 7_200), (&clients, NOW - 7_200), (&[], NOW)] {
            assert!(believed_claims(token, KEYS, clients, now).is_err(), "believed for others, or at another time");
        }
    }
    // The same bytes as somebody's key set: what has no list of keys believes nothing.
    let has_keys = input.windows(4).any(|word| word == b"keys") || input.contains(&b'\\');
    for known in BELIEVED {
        assert!(believed_claims(known, input, &clients, NOW).is_err() || has_keys, "believed without keys");
    }
}
