//! The names that specs share: the eighteen modalities of the protocol, in its order, and the objects. A spec may
//! define others (`[[object]]`, `[[modality]]`), which are not part of the protocol.

use std::sync::OnceLock;

use serde::Deserialize;

/// The taxonomy of `dataset_specs/taxonomy.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taxonomy {
    /// Modalities in the order of docs/protocol.md, 1; the position is the `modality_index` of the factors table.
    pub modalities: Vec<String>,
    /// Objects by canonical name.
    pub object: Vec<TaxonomyObject>,
}

/// An object that can be segmented.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxonomyObject {
    /// Canonical name, lower case.
    pub name: String,
    /// Body region or field.
    pub region: String,
    /// Other names in use.
    #[serde(default)]
    pub synonyms: Vec<String>,
}

impl Taxonomy {
    /// Position of a modality, from 0.
    pub fn modality_index(&self, modality: &str) -> Option<usize> {
        self.modalities.iter().position(|m| m == modality)
    }

    /// The object of this canonical name.
    pub fn object(&self, name: &str) -> Option<&TaxonomyObject> {
        self.object.iter().find(|o| o.name == name)
    }
}

/// The built-in taxonomy.
pub fn taxonomy() -> &'static Taxonomy {
    static TAXONOMY: OnceLock<Taxonomy> = OnceLock::new();
    TAXONOMY.get_or_init(|| {
        toml::from_str(include_str!("../../dataset_specs/taxonomy.toml"))
            .expect("the built-in taxonomy is checked by a test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_modalities_complete() {
        let t = taxonomy();
        assert_eq!(t.modalities.len(), 18);
        let mut names: Vec<&str> =
            t.object.iter().flat_map(|o| std::iter::once(&o.name).chain(&o.synonyms)).map(String::as_str).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "a name or synonym stands twice");
    }
}
