//! Profiles of the tools of AWS, which `object_store` does not read: `~/.aws/credentials` and `~/.aws/config`.
//!
//! Source: "Configuration and credential file settings in the AWS CLI" (docs.aws.amazon.com/cli). Of a profile, the keys,
//! the region and the endpoint are read. Profiles that get their keys by asking someone (single sign-on, roles, a
//! process) are left to the tools of AWS, which hand them over in the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::settings::Environment;

/// What a profile states. It has no `Debug`, which would print the keys.
#[derive(Default)]
pub(super) struct Profile {
    /// Access key id, secret access key and session token.
    pub keys: Option<(String, String, Option<String>)>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// Settings that say that the keys are to be asked for.
const ASKED: [&str; 6] =
    ["sso_session", "sso_start_url", "role_arn", "credential_process", "web_identity_token_file", "login_session"];

impl Profile {
    /// The profile that `AWS_PROFILE` names, or else `default`; empty where there is none of this name.
    ///
    /// # Errors
    /// A sentence: `AWS_PROFILE` names a profile that no file has, a file cannot be read, or the profile has no keys but
    /// says how to ask for them.
    pub(super) fn of_environment(environment: &Environment) -> Result<Self, String> {
        let get = |variable: &str| environment.get(variable).filter(|value| !value.is_empty());
        let home = get("HOME").map(PathBuf::from).or_else(std::env::home_dir);
        let file = |variable: &str, name: &str| {
            get(variable).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".aws").join(name)))
        };
        let named = get("AWS_PROFILE").or_else(|| get("AWS_DEFAULT_PROFILE"));
        let credentials = read(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
        let config = read(file("AWS_CONFIG_FILE", "config"))?;
        Self::of(named.map(String::as_str), &credentials, &config)
    }

    /// As [`of_environment`](Self::of_environment), from the texts of both files.
    fn of(named: Option<&str>, credentials: &str, config: &str) -> Result<Self, String> {
        let (credentials, config) = (sections(credentials), sections(config));
        let name = named.unwrap_or("default");
        let (own, general) =
            (credentials.get(name), config.get(&format!("profile {name}")).or_else(|| config.get(name)));
        if let (Some(name), None, None) = (named, own, general) {
            return Err(format!(
                "AWS_PROFILE is {name:?}, but neither ~/.aws/credentials nor ~/.aws/config has this profile"
            ));
        }
        // The file of credentials comes first, as in the tools of AWS.
        let get = |key: &str| own.and_then(|own| own.get(key)).or_else(|| general?.get(key)).cloned();
        let keys = match (get("aws_access_key_id"), get("aws_secret_access_key")) {
            (Some(id), Some(secret)) => Some((id, secret, get("aws_session_token"))),
            _ => None,
        };
        if let (None, Some(asked)) = (&keys, ASKED.iter().find(|key| get(key).is_some())) {
            return Err(format!(
                "the profile {name:?} gets its credentials by `{asked}`, which medcosmos does not do: run \
                 `eval \"$(aws configure export-credentials --profile {name} --format env)\"` first"
            ));
        }
        let services = get("services").and_then(|services| config.get(&format!("services {services}")));
        let endpoint = services.and_then(|services| services.get("s3.endpoint_url")).cloned();
        let endpoint = endpoint.or_else(|| get("s3.endpoint_url")).or_else(|| get("endpoint_url"));
        Ok(Self { keys, region: get("region"), endpoint })
    }
}

/// The text of a file; empty where there is none.
fn read(path: Option<PathBuf>) -> Result<String, String> {
    let Some(path) = path else { return Ok(String::new()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("{} cannot be read for credentials: {error}", path.display())),
    }
}

/// The settings of each section by name. Settings that are indented below another are named after it too: `s3.endpoint_url`.
fn sections(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut sections = BTreeMap::new();
    let mut section: Option<&mut BTreeMap<String, String>> = None;
    let mut above = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default();
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "");
            section = Some(sections.entry(name).or_default());
            continue;
        }
        let (Some(settings), Some((key, value))) = (&mut section, trimmed.split_once('=')) else { continue };
        let key = key.trim().to_lowercase();
        let value = value.split(" #").next().unwrap_or_default().trim().to_string();
        if line.starts_with(char::is_whitespace) {
            settings.insert(format!("{above}.{key}"), value);
        } else {
            above.clone_from(&key);
            settings.insert(key, value);
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id = A\naws_secret_access_key=B=/+\n\n# lab\n[lab]\n\
                               aws_access_key_id=C\naws_secret_access_key=D\naws_session_token = E # short\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  endpoint_url = http://own\n  max_concurrent_requests = 2\n\
                          [profile lab]\nservices = lab-services\nregion=us-west-2\nendpoint_url = http://general\n\
                          [services lab-services]\ndynamodb =\n  endpoint_url = http://other\ns3 =\n  endpoint_url = http://lab\n\
                          [profile sso]\nsso_session = corp\n";

    #[test]
    fn a_profile_is_read_from_both_files() {
        let of = |name| Profile::of(name, CREDENTIALS, CONFIG).unwrap_or_else(|error| panic!("{error}"));
        let default = of(None);
        assert_eq!(default.keys, Some(("A".into(), "B=/+".into(), None)));
        assert_eq!((default.region.as_deref(), default.endpoint.as_deref()), (Some("eu-west-1"), Some("http://own")));
        let lab = of(Some("lab"));
        assert_eq!(lab.keys, Some(("C".into(), "D".into(), Some("E".into()))));
        assert_eq!((lab.region.as_deref(), lab.endpoint.as_deref()), (Some("us-west-2"), Some("http://lab")));
        let none = Profile::of(None, "", "").unwrap_or_else(|error| panic!("{error}"));
        assert!(none.keys.is_none() && none.region.is_none() && none.endpoint.is_none());
    }

    #[test]
    fn a_profile_that_is_absent_or_asks_someone_is_an_error() {
        let error = |name| Profile::of(Some(name), CREDENTIALS, CONFIG).err().unwrap_or_default();
        assert!(error("nobody").contains("\"nobody\""), "{}", error("nobody"));
        assert!(error("sso").contains("`sso_session`"), "{}", error("sso"));
    }
}
