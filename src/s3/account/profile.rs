//! The profile of the AWS configuration files. It is checked before the SDK reads it, since the SDK ignores a profile that
//! does not exist.

use aws_runtime::env_config::file::EnvConfigFiles;
use aws_runtime::env_config::section::EnvConfigSections;
use aws_runtime::env_config::source;
use aws_types::os_shim_internal::{Env, Fs};

use crate::s3::causes::one_line;
use crate::s3::options::ConnectError;

/// How many `source_profile` references are followed before they count as a circle.
const MAX_SOURCES: usize = 8;

/// The configuration files, and the name of the profile in use.
#[derive(Debug)]
pub(crate) struct Profile {
    sections: EnvConfigSections,
    pub name: String,
}

impl Profile {
    /// Reads the files. A profile that an option or `AWS_PROFILE` names must be there.
    ///
    /// # Errors
    /// When it is missing, or a file cannot be read.
    pub(crate) async fn load(option: Option<&str>) -> Result<Self, ConnectError> {
        let files = EnvConfigFiles::default();
        let source = source::load(&Env::real(), &Fs::real(), &files).await;
        let source = source.map_err(|error| ConnectError::ConfigFile(one_line(&error)))?;
        let sections = EnvConfigSections::parse(source)
            .map_err(|error| ConnectError::ConfigFile(one_line(&error)))?;
        let variable = std::env::var("AWS_PROFILE").ok();
        let named = option
            .or(variable.as_deref())
            .filter(|name| !name.is_empty());
        if let Some(name) = named.filter(|name| sections.get_profile(name).is_none()) {
            return Err(ConnectError::NoProfile {
                name: name.to_owned(),
                similar: similar(name, sections.profiles()),
            });
        }
        let name = named.unwrap_or("default").to_owned();
        Ok(Self { sections, name })
    }

    /// Whether the profile's credentials come from a sign-in with `aws sso login`.
    pub(crate) fn is_of_sso(&self) -> bool {
        self.has_any_of(&["sso_session", "sso_start_url"])
    }

    /// Whether the profile's credentials come from a sign-in with `aws login`.
    pub(crate) fn is_of_login(&self) -> bool {
        self.has_any_of(&["login_session"])
    }

    /// Whether the profile, or one whose credentials it uses, has one of these settings.
    fn has_any_of(&self, settings: &[&str]) -> bool {
        let mut name = self.name.as_str();
        for _ in 0..MAX_SOURCES {
            let Some(profile) = self.sections.get_profile(name) else {
                return false;
            };
            if settings
                .iter()
                .any(|setting| profile.get(setting).is_some())
            {
                return true;
            }
            let Some(source) = profile.get("source_profile") else {
                return false;
            };
            name = source;
        }
        false
    }
}

/// The existing name that was probably meant.
fn similar<'a>(name: &str, others: impl Iterator<Item = &'a str>) -> Option<String> {
    let distances = others.map(|other| (distance(name, other), other));
    let (distance, other) = distances.min()?;
    let is_near = distance <= 1 + name.chars().count() / 4;
    is_near.then(|| other.to_owned())
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour to turn `b` into `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_found_again() {
        let names = ["default", "work", "personal"];
        let similar = |name| similar(name, names.into_iter());
        assert_eq!(similar("wrok").as_deref(), Some("work"));
        assert_eq!(similar("Work").as_deref(), Some("work"));
        assert_eq!(similar("personnal").as_deref(), Some("personal"));
        assert_eq!(similar("production"), None);
        assert_eq!(super::similar("x", std::iter::empty()), None);
    }
}
