//! Wire names to Rust names.

/// The words of a name: `XksProxyUri`, `RSA_2048` and `AWSAccountId` alike.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut previous: Option<char> = None;
    for (position, character) in characters.iter().enumerate() {
        let next = characters.get(position.saturating_add(1));
        let after_small = previous.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit());
        let last_capital = previous.is_some_and(char::is_uppercase) && next.is_some_and(|after| after.is_lowercase());
        let boundary = character.is_uppercase() && (after_small || last_capital);
        if (boundary || !character.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if character.is_alphanumeric() {
            word.push(*character);
        }
        previous = Some(*character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// `key_id`
pub(crate) fn field(name: &str) -> String {
    words(name).iter().map(|word| word.to_lowercase()).collect::<Vec<_>>().join("_")
}

/// `KeyId`; a name in capitals becomes `Rsa2048`.
pub(crate) fn variant(value: &str) -> String {
    let shouted = !value.chars().any(char::is_lowercase);
    if shouted {
        // Only an underscore parts the words of a shouted name, so that P256K1 stays one word.
        let name: String = value.split('_').map(|word| capitalised(&word.to_lowercase())).collect();
        return if name == "Self" { "SelfOwned".to_owned() } else { name };
    }
    value.split('-').map(capitalised).collect()
}

/// The Rust type of a shape: its name with a capital.
pub(crate) fn shape(name: &str) -> String {
    capitalised(name)
}

/// `KeyId` -> `keyId`, as paths in violations are written.
pub(crate) fn path(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// `KEY_ID_TYPE`
pub(crate) fn constant(name: &str) -> String {
    field(name).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(field("AWSAccountId"), "aws_account_id");
        assert_eq!(field("XksProxyUriEndpoint"), "xks_proxy_uri_endpoint");
        assert_eq!(variant("ECC_SECG_P256K1"), "EccSecgP256k1");
        assert_eq!(variant("ReEncryptFrom"), "ReEncryptFrom");
        assert_eq!(variant("SELF"), "SelfOwned");
        assert_eq!(variant("aws-managed"), "AwsManaged");
        assert_eq!(path("KeyId"), "keyId");
        assert_eq!(constant("accessKeyIdType"), "ACCESS_KEY_ID_TYPE");
    }
}
