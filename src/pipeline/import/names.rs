//! Names of slices in files of other programs: the id, in folders, or flat with `_` instead of `/`.

use std::collections::{BTreeSet, HashMap};

use regex::Regex;

/// Ids of slices, and their flat forms.
pub(super) struct Names {
    slices: BTreeSet<String>,
    /// `None` where two ids have one flat form.
    flat: HashMap<String, Option<String>>,
}

impl Names {
    pub(super) fn new(slices: BTreeSet<String>) -> Names {
        let mut flat: HashMap<String, Option<String>> = HashMap::new();
        for id in &slices {
            flat.entry(id.replace('/', "_")).and_modify(|known| *known = None).or_insert_with(|| Some(id.clone()));
        }
        Names { slices, flat }
    }

    /// Ids of cases: the source may be left out where no other case has the rest of the name.
    pub(super) fn of_cases(cases: BTreeSet<String>) -> Names {
        let mut names = Names::new(cases);
        let mut short: HashMap<String, Option<String>> = HashMap::new();
        for id in &names.slices {
            let Some((_, rest)) = id.split_once('/') else { continue };
            let forms: BTreeSet<String> = [rest.to_string(), rest.replace('/', "_")].into();
            for form in forms {
                short.entry(form).and_modify(|known| *known = None).or_insert_with(|| Some(id.clone()));
            }
        }
        for (form, id) in short {
            names.flat.entry(form).and_modify(|known| *known = None).or_insert(id);
        }
        names
    }

    /// The slice or case that a name without its extension means: the id, perhaps below other folders, or its flat
    /// form.
    pub(super) fn slice(&self, name: &str) -> Option<String> {
        let mut rest = name;
        loop {
            if self.slices.contains(rest) {
                return Some(rest.to_string());
            }
            if let Some(Some(id)) = self.flat.get(rest) {
                return Some(id.clone());
            }
            rest = rest.split_once('/')?.1;
        }
    }

    /// The mask that a name without its extension means: that of its slice, then `/` or `_` and its label. That the
    /// slice has such a mask is not known here.
    pub(super) fn mask(&self, name: &str) -> Option<String> {
        let ends = name.char_indices().rev().filter(|(_, c)| matches!(c, '/' | '_'));
        // The longest slice that fits: labels have `_` too.
        ends.map(|(at, _)| at).find_map(|at| Some(format!("{}/{}", self.slice(&name[..at])?, &name[at + 1..])))
    }

    /// An id, as an example.
    pub(super) fn example(&self) -> &str {
        self.slices.first().map_or("", String::as_str)
    }

    /// The only source of the dataset, where it has one.
    pub(super) fn only_source(&self) -> Option<&str> {
        let source = |id: &'_ String| id.split('/').next().map(str::len);
        let (first, last) = (self.slices.first()?, self.slices.last()?);
        let length = source(first)?;
        (first[..length] == *last.get(..length)? && last[length..].starts_with('/')).then(|| &first[..length])
    }
}

/// A template of file names: text with `{source}`, `{case}` (the id without its source), `{slice}` and `{mask}`.
pub(super) struct Template {
    regex: Regex,
    only_source: Option<String>,
}

impl Template {
    /// # Errors
    /// A placeholder that is not known or stands twice, or too few to name anything.
    pub(super) fn new(template: &str, names: &Names) -> Result<Template, String> {
        let mut regex = String::from("^");
        let mut rest = template;
        let mut seen = Vec::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("{template:?}: {{ without }}"))?;
            if !["source", "case", "slice", "mask"].contains(&name) || seen.contains(&name) {
                return Err(format!(
                    "{template:?}: expected {{source}}, {{case}}, {{slice}}, {{mask}} at most once each, found \
                     {{{name}}}"
                ));
            }
            seen.push(name);
            regex.push_str(&regex::escape(before));
            // A case may have folders of its own.
            regex.push_str(&format!("(?P<{name}>{})", if name == "case" { ".+" } else { "[^/]+" }));
            rest = after;
        }
        regex.push_str(&regex::escape(rest));
        regex.push('$');
        if !seen.contains(&"case") {
            return Err(format!("{template:?}: {{case}} is missing, so files cannot be distinguished"));
        }
        let only_source = names.only_source().map(str::to_string);
        if !seen.contains(&"source") && only_source.is_none() {
            return Err(format!("{template:?}: {{source}} is missing, but the dataset has several sources"));
        }
        let regex = Regex::new(&regex).map_err(|e| e.to_string())?;
        Ok(Template { regex, only_source })
    }

    /// The id that a path below the folder means: of a case, a slice or a mask, as far as the template goes.
    pub(super) fn id(&self, path: &str) -> Option<String> {
        let found = self.regex.captures(path)?;
        let source = found.name("source").map(|m| m.as_str()).or(self.only_source.as_deref())?;
        let parts = ["case", "slice", "mask"].into_iter().filter_map(|name| found.name(name));
        Some(parts.fold(source.to_string(), |id, part| format!("{id}/{}", part.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ids: &[&str]) -> Names {
        Names::new(ids.iter().map(|id| id.to_string()).collect())
    }

    #[test]
    fn names_are_ids_in_folders_or_flat() {
        let names = names(&["acdc/p1_f1/z0003", "acdc/p1/f1/z0003", "acdc/p2/z0001"]);
        assert_eq!(names.slice("images/acdc/p2/z0001").as_deref(), Some("acdc/p2/z0001"));
        assert_eq!(names.slice("acdc_p2_z0001").as_deref(), Some("acdc/p2/z0001"));
        assert_eq!(names.slice("acdc_p1_f1_z0003"), None, "two slices have this flat name");
        assert_eq!(names.slice("p2/z0001"), None);
        assert_eq!(names.mask("acdc_p2_z0001_left_lung").as_deref(), Some("acdc/p2/z0001/left_lung"));
        assert_eq!(names.mask("x/acdc/p2/z0001/left_lung").as_deref(), Some("acdc/p2/z0001/left_lung"));
        assert_eq!(names.only_source(), Some("acdc"));
        let cases = Names::of_cases(["acdc/p1".to_string(), "acdc/p2".to_string(), "drive/p2".to_string()].into());
        assert_eq!(cases.slice("p1").as_deref(), Some("acdc/p1"));
        assert_eq!(cases.slice("acdc_p2").as_deref(), Some("acdc/p2"));
        assert_eq!(cases.slice("p2"), None, "two sources have such a case");
    }

    #[test]
    fn templates_name_ids() {
        let one = names(&["acdc/p1/z0003"]);
        let template = Template::new("{case}_{slice}.png", &one).unwrap();
        assert_eq!(template.id("p1_z0003.png").as_deref(), Some("acdc/p1/z0003"));
        assert_eq!(Template::new("{case}.nii.gz", &one).unwrap().id("a/p1.nii.gz").as_deref(), Some("acdc/a/p1"));
        for (template, words) in
            [("{slice}.png", "{case} is missing"), ("{case}{case}", "once each"), ("{x}", "found {x}")]
        {
            assert!(Template::new(template, &one).err().unwrap().contains(words));
        }
        let two = names(&["acdc/p1/z0003", "drive/21/z0000"]);
        assert!(Template::new("{case}.png", &two).err().unwrap().contains("{source} is missing"));
        assert_eq!(Template::new("{source}-{case}.png", &two).unwrap().id("drive-21.png").as_deref(), Some("drive/21"));
    }
}
