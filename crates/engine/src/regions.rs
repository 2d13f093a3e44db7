//! Which Regions are served.

use std::collections::BTreeSet;

/// The Region that IAM's requests and those to STS's global endpoint are signed for (reference/iam-sts.md).
const GLOBAL: &str = "us-east-1";
/// Bytes of a Region's name at most.
const NAME_MAX: usize = 32;

/// The Regions of a deployment. What others hold stays in the store, out of reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions(Option<BTreeSet<String>>);

/// A text that is no Region's name, or no name at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRegions;

impl Regions {
    /// Every well-formed name is a Region: `claviger dev`.
    pub const EVERY: Self = Self(None);

    /// These Regions and no others.
    ///
    /// # Errors
    /// [`NoRegions`] when there is none, or a name is not well-formed.
    pub fn these(names: impl IntoIterator<Item = String>) -> Result<Self, NoRegions> {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.is_empty() || !names.iter().all(|name| Self::is_name(name)) {
            return Err(NoRegions);
        }
        Ok(Self(Some(names)))
    }

    /// Whether a Region can be called this: what can stand in an ARN and in a row key.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }

    /// Whether the Region is served.
    #[must_use]
    pub fn serve(&self, region: &str) -> bool {
        self.0.as_ref().map_or_else(|| Self::is_name(region), |served| served.contains(region))
    }

    /// Whether a request to this service may be signed for the Region. IAM and STS are there for the deployment as a
    /// whole too, where AWS has them: in us-east-1.
    #[must_use]
    pub fn take(&self, service: &str, region: &str) -> bool {
        self.serve(region) || (matches!(service, "iam" | "sts") && region == GLOBAL)
    }

    /// The Region to suppose where none is named: us-east-1 if it is served, otherwise the first.
    #[must_use]
    pub fn default_region(&self) -> &str {
        let served = self.0.as_ref().filter(|served| !served.contains(GLOBAL));
        served.and_then(|served| served.first()).map_or(GLOBAL, String::as_str)
    }

    /// Their names, in order; nothing when every Region is served.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn these(names: &[&str]) -> Result<Regions, NoRegions> {
        Regions::these(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn only_what_is_named_is_served() {
        let regions = these(&["eu-central-1", "eu-west-1"]).unwrap();
        let served = ["eu-central-1", "eu-west-1", "us-east-1", "eu-central-", "", "EU-CENTRAL-1"];
        assert_eq!(served.map(|region| regions.serve(region)), [true, true, false, false, false, false]);
        assert_eq!(regions.default_region(), "eu-central-1");
        assert!(Regions::EVERY.serve("eu-foo-1") && !Regions::EVERY.serve("EU") && !Regions::EVERY.serve(""));
        assert_eq!(Regions::EVERY.default_region(), "us-east-1");
        assert_eq!(these(&["a-1", "us-east-1"]).unwrap().default_region(), "us-east-1");
    }

    #[test]
    fn the_deployments_own_services_are_in_us_east_1_too() {
        let regions = these(&["eu-central-1"]).unwrap();
        for service in ["iam", "sts"] {
            assert!(regions.take(service, "us-east-1") && regions.take(service, "eu-central-1"));
            assert!(!regions.take(service, "us-west-2"));
        }
        assert!(!regions.take("kms", "us-east-1") && regions.take("kms", "eu-central-1"));
    }

    #[test]
    fn names() {
        for bad in [&[][..], &[""], &["eu central"], &["eu-central-1", "EU"], &["a/b"], &["a".repeat(33).as_str()]] {
            assert_eq!(these(bad), Err(NoRegions), "{bad:?}");
        }
    }
}
