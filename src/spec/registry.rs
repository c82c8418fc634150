//! The registry: built-in specs, and those that a user adds.

use std::path::Path;

use strsim::levenshtein;

use super::{Error, Spec, validate::validate};

/// Slug and text of every built-in spec, in alphabetical order: one for each folder of `dataset_specs/`, listed by
/// `build.rs`.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/built_in_specs.rs"));

/// All specs that a run knows.
///
/// ```
/// use medcosmos::spec::Registry;
///
/// let registry = Registry::built_in()?;
/// let drive = registry.get("drive")?;
/// assert_eq!(drive.sequences.len(), 1);
/// let typo = registry.get("drivee").unwrap_err();
/// assert!(typo.to_string().contains("did you mean \"drive\"?"));
///
/// let hearts = registry.select(&["acdc".to_string()])?;
/// assert_eq!(hearts.specs().len(), 1);
/// # Ok::<(), medcosmos::spec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    specs: Vec<Spec>,
    /// Slugs that [`Registry::select`] was given.
    chosen: Option<Vec<String>>,
}

impl Registry {
    /// The built-in specs. They are read and not checked: a test does that, and to compile every pattern of every spec
    /// would take longer than all else that most commands do.
    ///
    /// # Errors
    /// Never in a released program: a test reads them all.
    pub fn built_in() -> Result<Self, Error> {
        let specs = BUILT_IN.iter().map(|(slug, text)| read(slug, text)).collect::<Result<_, _>>()?;
        Ok(Registry { specs, chosen: None })
    }

    /// Adds the spec of a file, and returns its slug. One with the slug of a built-in source takes its place.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, has unknown keys or contradicts itself.
    pub fn add_file(&mut self, path: &Path) -> Result<String, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        let spec = parse(&path.display().to_string(), &text)?;
        let slug = spec.slug.clone();
        self.specs.retain(|s| s.slug != slug);
        self.specs.push(spec);
        self.specs.sort_by(|a, b| a.slug.cmp(&b.slug));
        Ok(slug)
    }

    /// The specs in alphabetical order of their slugs.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// The spec of a slug.
    ///
    /// # Errors
    /// No such source; the message offers the nearest name.
    pub fn get(&self, slug: &str) -> Result<&Spec, Error> {
        self.specs.iter().find(|s| s.slug == slug).ok_or_else(|| Error::UnknownSource {
            slug: slug.to_string(),
            hint: self
                .specs
                .iter()
                .map(|s| (levenshtein(&s.slug, slug), &s.slug))
                .min()
                .filter(|(distance, _)| *distance <= 3)
                .map(|(_, slug)| slug.clone()),
        })
    }

    /// Keeps only the named sources.
    ///
    /// # Errors
    /// No such source.
    pub fn select(mut self, slugs: &[String]) -> Result<Self, Error> {
        for slug in slugs {
            self.get(slug)?;
        }
        if !slugs.is_empty() {
            self.specs.retain(|s| slugs.contains(&s.slug));
            self.chosen = Some(self.specs.iter().map(|s| s.slug.clone()).collect());
        }
        Ok(self)
    }

    /// The sources that were chosen by name; `None` where all are there.
    pub fn chosen(&self) -> Option<&[String]> {
        self.chosen.as_deref()
    }
}

/// Reads the text of a spec; `path` names it in messages.
fn read(path: &str, text: &str) -> Result<Spec, Error> {
    toml::from_str(text)
        .map_err(|e| Error::Syntax { path: path.to_string(), message: e.to_string().trim_end().to_string() })
}

/// Reads and checks the text of a spec.
fn parse(path: &str, text: &str) -> Result<Spec, Error> {
    let spec = read(path, text)?;
    let problems = validate(&spec);
    if problems.is_empty() { Ok(spec) } else { Err(Error::Invalid { path: path.to_string(), problems }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_spec_is_valid_and_named_by_its_slug() {
        for (slug, text) in BUILT_IN {
            parse(slug, text).unwrap_or_else(|e| panic!("{e}"));
        }
        let registry = Registry::built_in().unwrap();
        let slugs: Vec<&str> = registry.specs().iter().map(|s| s.slug.as_str()).collect();
        assert_eq!(slugs, BUILT_IN.iter().map(|(slug, _)| *slug).collect::<Vec<_>>());
    }

    #[test]
    fn names_that_ids_cannot_tell_apart_are_refused_and_sides_tell_them() {
        let spec = |labels: &str| {
            let text = format!(
                "slug = \"x\"\nname = \"x\"\n[licence]\nid = \"a\"\nterms = \"b\"\nshare_derived = \"yes\"\n[[release]]\nname = \"1\"\n\
                 evidence = [\"{{p}}.nii\"]\n[sequences]\nS = \"CT\"\n[[layout]]\nname = \"l\"\ncase = \"{{p}}\"\n[layout.image]\n\
                 path = [\"{{p}}.nii\"]\nsequence = \"S\"\n[[layout.mask]]\npath = [\"{{p}}_m.nii\"]\nlabels = \"k\"\n\
                 [labels.k]\n{labels}"
            );
            parse("my.toml", &text)
        };
        let label = |n: u8, name: &str, more: &str| format!("{n} = {{ name = {name:?}, object = \"kidney\"{more} }}\n");
        let error = spec(&(label(1, "G3+", "") + &label(2, "G3", ""))).unwrap_err().to_string();
        assert!(error.contains("both be \"G3\""), "{error}");
        assert!(spec(&label(1, "+", "")).unwrap_err().to_string().contains("no letter or digit"));
        let sides = [", laterality = \"left\"", ", laterality = \"right\""];
        let spec =
            spec(&(label(1, "kidney", sides[0]) + &label(2, "kidney", sides[1]) + &label(3, "mass", ""))).unwrap();
        let sided = crate::spec::sided_names(&spec, &spec.layout[0]);
        assert_eq!(sided.into_iter().collect::<Vec<_>>(), ["kidney"]);
    }

    #[test]
    fn ids_of_built_in_sources_need_no_side() {
        for spec in Registry::built_in().unwrap().specs() {
            for layout in &spec.layout {
                let sided = crate::spec::sided_names(spec, layout);
                assert!(sided.is_empty(), "{}: {sided:?}", spec.slug);
            }
        }
    }

    #[test]
    fn a_wrong_name_gets_a_hint() {
        let error = Registry::built_in().unwrap().get("acdcc").unwrap_err().to_string();
        assert!(error.contains("did you mean \"acdc\"?"), "{error}");
    }

    #[test]
    fn a_typo_is_named_with_its_line() {
        let error = parse("my.toml", "slug = \"x\"\nnmae = \"y\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("nmae"), "{error}");
    }
}
