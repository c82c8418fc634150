//! The user's cache folder of this program: models, ONNX Runtime, and copies of datasets on object storage.

use std::ffi::OsString;
use std::path::PathBuf;

/// `$MEDCOSMOS_CACHE`, else `$XDG_CACHE_HOME/medcosmos`, else `~/.cache/medcosmos`; `None` where none of the variables
/// is set. It need not exist. A relative `XDG_CACHE_HOME` is ignored, as its specification demands.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    cache_dir_from(|name| std::env::var_os(name))
}

fn cache_dir_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(own) = path("MEDCOSMOS_CACHE") {
        return Some(own);
    }
    if let Some(xdg) = path("XDG_CACHE_HOME").filter(|p| p.is_absolute()) {
        return Some(xdg.join("medcosmos"));
    }
    path("HOME").map(|home| home.join(".cache/medcosmos"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(variables: &[(&str, &str)]) -> Option<String> {
        let found = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        cache_dir_from(found).map(|p| p.to_string_lossy().into_owned())
    }

    #[test]
    fn the_cache_folder_follows_the_variables() {
        let home = ("HOME", "/home/ada");
        assert_eq!(cache(&[home]).as_deref(), Some("/home/ada/.cache/medcosmos"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/var/c")]).as_deref(), Some("/var/c/medcosmos"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "relative")]).as_deref(), Some("/home/ada/.cache/medcosmos"));
        assert_eq!(cache(&[home, ("MEDCOSMOS_CACHE", "own")]).as_deref(), Some("own"));
        assert_eq!(cache(&[home, ("MEDCOSMOS_CACHE", "")]).as_deref(), Some("/home/ada/.cache/medcosmos"));
        assert_eq!(cache(&[]), None);
    }
}
