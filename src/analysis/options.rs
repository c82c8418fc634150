//! Everything that decides a number of the analysis, with its default and where that comes from: **P** the paper,
//! **R** our decision. Written next to the results as `analysis.json`.

use super::AnalysisError;
use super::statistics::adjust::Adjustment;
use super::statistics::bootstrap::BootstrapOptions;
use super::statistics::wilcoxon::ZeroDifferences;
use crate::factors::{Binning, Role, default_factors};
use crate::metrics::METRICS;
use serde::Serialize;

/// Options of an analysis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnalysisOptions {
    /// Metrics of the summary tables, columns of `metrics`. Default: those that [`METRICS`] marks, `dice`, `iou` and
    /// `hd` of the paper (P) among them (R).
    pub summary_metrics: Vec<String>,
    /// Groupings of the summary tables, each a list of columns of `metrics`, `factors`, `masks`, `slices` or `cases`.
    /// Model, strategy, variant and choice always group. Default: none, by modality, object, target, source.
    pub by: Vec<Vec<String>>,
    /// The metric that is correlated, binned and compared. Default `dice` (P).
    pub metric: String,
    /// The factors, columns of `factors`. Default: the [`default_factors`], which are the five of the paper (P), the
    /// intensity difference absolute (R; `intensity_difference` is the signed one).
    pub factors: Vec<String>,
    /// Count masks of excluded categories too. Default false (P: they are not in the dataset).
    pub include_excluded: bool,
    /// Adjustment of p-values for the number of tests in a table, oracle and score apart. Default
    /// Benjamini–Hochberg (R).
    pub adjustment: Adjustment,
    /// Pairs without a difference in the signed-rank test. Default dropped (R, scipy's default).
    pub zero_differences: ZeroDifferences,
    /// Confidence intervals over patients (R).
    pub bootstrap: BootstrapOptions,
    /// Curves of the metric against a factor. Default: the factors that have an order, in the bins that the table of
    /// factors gives them (R).
    pub curves: Vec<Curve>,
}

/// A curve of the metric against one factor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// Column of `factors`.
    pub factor: String,
    /// How the factor is cut.
    pub bins: Binning,
}

impl AnalysisOptions {
    /// The folder of the results below `analysis/`: none for Dice of the default masks and factors, else the metric and
    /// what differs, so that the results of several analyses lie side by side: `hd95`, `dice_with_excluded`.
    pub fn folder(&self) -> String {
        let default = AnalysisOptions::default();
        let mut name = self.metric.clone();
        if self.include_excluded {
            name += "_with_excluded";
        }
        if self.factors != default.factors {
            let other: Vec<&str> =
                self.factors.iter().filter(|f| !default.factors.contains(f)).map(String::as_str).collect();
            name += &format!("_by_{}", if other.is_empty() { "fewer".to_string() } else { other.join("_") });
        }
        if name == default.metric { String::new() } else { name }
    }
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        let summary = METRICS.iter().filter(|metric| metric.in_summary);
        AnalysisOptions {
            summary_metrics: summary.map(|metric| metric.measure.name.to_string()).collect(),
            by: vec![vec![], words(&["modality"]), words(&["object"]), words(&["target"]), words(&["source"])],
            metric: "dice".to_string(),
            factors: default_factors().map(|factor| factor.measure.name.to_string()).collect(),
            include_excluded: false,
            adjustment: Adjustment::default(),
            zero_differences: ZeroDifferences::default(),
            bootstrap: BootstrapOptions::default(),
            curves: default_factors()
                .filter_map(|factor| match factor.role {
                    Role::Factor(bins) => Some(Curve { factor: factor.measure.name.to_string(), bins }),
                    Role::Nominal | Role::Part => None,
                })
                .collect(),
        }
    }
}

impl AnalysisOptions {
    /// Refuses values that no analysis can follow.
    ///
    /// # Errors
    /// [`AnalysisError::Option`] with the option's name.
    pub fn check(&self) -> Result<(), AnalysisError> {
        let refuse = |option, reason: String| Err(AnalysisError::Option { option, reason });
        let confidence = self.bootstrap.confidence;
        if !(confidence > 0.0 && confidence < 1.0) {
            return refuse("bootstrap.confidence", format!("{confidence} is not between 0 and 1"));
        }
        if self.factors.is_empty() {
            return refuse("factors", "no factor is given".to_string());
        }
        for (option, names) in [("factors", &self.factors), ("summary_metrics", &self.summary_metrics)] {
            if let Some(name) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)).map(|(_, n)| n) {
                return refuse(option, format!("`{name}` is given twice"));
            }
        }
        for by in &self.by {
            let fixed = ["model", "strategy", "variant", "choice"];
            if let Some(name) = by.iter().find(|name| fixed.contains(&name.as_str())) {
                return refuse("by", format!("summaries are always grouped by `{name}`; remove it"));
            }
            // The names become a file's name.
            let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if let Some(name) = by.iter().find(|name| !plain(name)) {
                return refuse("by", format!("`{name}` is not a column"));
            }
        }
        for curve in &self.curves {
            let (Binning::Quantile(count) | Binning::Logarithmic(count)) = curve.bins;
            if !(1..=1000).contains(&count) {
                return refuse("curves", format!("{count} bins for `{}`; expected 1 to 1000", curve.factor));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What results are compared by: a change here changes every table of an analysis.
    #[test]
    fn defaults_follow_from_the_tables_of_metrics_and_factors() {
        let options = AnalysisOptions::default();
        assert_eq!(options.summary_metrics, ["dice", "iou", "hd", "hd95", "assd", "nsd"]);
        let factors = ["size_px", "aspect_ratio", "intensity_difference_abs", "boundary_complexity", "modality_index"];
        assert_eq!(options.factors, factors);
        let bins = [Binning::Logarithmic(4), Binning::Quantile(10), Binning::Quantile(10), Binning::Logarithmic(8)];
        let curves = factors.iter().zip(bins).map(|(factor, bins)| Curve { factor: factor.to_string(), bins });
        assert_eq!(options.curves, curves.collect::<Vec<_>>());
        assert!(options.check().is_ok());
    }
}
