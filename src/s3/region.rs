//! Which region the bucket is in. Nobody is asked: a wrong guess is corrected by S3's first answer, which names the right one.

use std::borrow::Cow;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_sdk_s3::config::Region;

/// Where a bucket is looked for first when nothing names a region; S3 redirects from it.
const FALLBACK: &str = "us-east-1";

/// The option's region, else the environment's, else the profile's, else [`FALLBACK`]. The instance metadata
/// service is left out on purpose: off EC2 it costs seconds of silence, and the bucket may be elsewhere anyway.
pub fn chain(option: Option<&str>, profile: Option<&str>) -> RegionProviderChain {
    let mut of_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
    }
    RegionProviderChain::first_try(option.map(|region| Region::new(region.to_owned())))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(of_profile.build())
        .or_else(Region::from_static(FALLBACK))
}

/// The region that a refusal names, if it is another than `current`.
pub fn correction(hint: Option<&str>, current: Option<&Region>) -> Option<Region> {
    let hint = hint.filter(|hint| !hint.is_empty())?;
    (current.map(AsRef::as_ref) != Some(hint)).then(|| Region::new(Cow::Owned(hint.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_region_is_a_correction() {
        let current = Region::from_static("us-east-1");
        assert_eq!(
            correction(Some("eu-west-1"), Some(&current)),
            Some(Region::from_static("eu-west-1"))
        );
        assert_eq!(correction(Some("us-east-1"), Some(&current)), None);
        assert_eq!(correction(Some(""), Some(&current)), None);
        assert_eq!(correction(None, Some(&current)), None);
    }
}
