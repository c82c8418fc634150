//! The settings of a client, from the environment and the profiles.

use std::collections::BTreeMap;
use std::time::Duration;

use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};
use object_store::client::ClientConfigKey;

use super::failure::{Endpoint, NO_CREDENTIALS};
use super::profile::Profile;

/// Variables by name.
pub(crate) type Environment = BTreeMap<String, String>;

/// Longest time of one request.
const REQUEST: &str = "45s";

/// No request is begun again after this time since the first attempt. With [`REQUEST`] and the five seconds for a
/// connection, a server that is gone is an error after less than half a minute, one that never answers after 45 seconds.
const RETRY: Duration = Duration::from_secs(20);

/// A client of a bucket that is not built yet, and what messages say of it. Variables come before profiles, as in the
/// tools of AWS.
pub(super) fn configured(bucket: &str, environment: &Environment) -> Result<(AmazonS3Builder, Endpoint), String> {
    let variables = environment.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
    let settings = variables.filter_map(|(name, value)| Some((name.to_lowercase().parse::<Key>().ok()?, value)));
    let builder = settings.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value));
    let builder = builder.with_bucket_name(bucket);
    let needs_keys = !CREDENTIALS.into_iter().any(|key| is_set(&builder, &[key])) && !is_unsigned(&builder);
    let profile = match Profile::of_environment(environment) {
        // What a profile lacks is no matter where it is not needed.
        Err(_) if !needs_keys => Profile::default(),
        profile => profile?,
    };
    let machine = environment.get("AWS_EC2_METADATA_DISABLED").is_none_or(|disabled| disabled != "true");
    let mut builder = match profile.keys {
        Some((id, secret, token)) if needs_keys => {
            let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            token.into_iter().fold(builder, AmazonS3Builder::with_token)
        }
        None if needs_keys && !machine => return Err(NO_CREDENTIALS.to_string()),
        _ => builder,
    };
    if let Some(region) = profile.region.filter(|_| !is_set(&builder, &[Key::Region, Key::DefaultRegion])) {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = profile.endpoint.filter(|_| !is_set(&builder, &[Key::Endpoint, Key::S3Endpoint])) {
        builder = builder.with_endpoint(endpoint);
    }
    let endpoint = [Key::S3Endpoint, Key::Endpoint].into_iter().find_map(|key| builder.get_config_value(&key));
    if endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    let region = builder.get_config_value(&Key::Region).unwrap_or_else(|| "us-east-1".to_string());
    let shown = Endpoint {
        bucket: bucket.to_string(),
        server: endpoint.as_deref().map_or_else(|| format!("AWS ({region})"), Endpoint::shown),
        custom: endpoint.is_some(),
    };
    let retry = RetryConfig { retry_timeout: RETRY, ..Default::default() };
    Ok((builder.with_config(Key::Client(ClientConfigKey::Timeout), REQUEST).with_retry(retry), shown))
}

/// Settings that give credentials, or say who does.
const CREDENTIALS: [Key; 5] = [
    Key::AccessKeyId,
    Key::SecretAccessKey,
    Key::WebIdentityTokenFile,
    Key::ContainerCredentialsRelativeUri,
    Key::ContainerCredentialsFullUri,
];

fn is_set(builder: &AmazonS3Builder, any: &[Key]) -> bool {
    any.iter().any(|key| builder.get_config_value(key).is_some())
}

/// Whether requests are not to be signed, as those to public buckets need not be.
fn is_unsigned(builder: &AmazonS3Builder) -> bool {
    let value = builder.get_config_value(&Key::SkipSignature).unwrap_or_default().to_lowercase();
    ["1", "true", "on", "yes", "y"].contains(&value.as_str())
}
