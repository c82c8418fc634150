//! Everything that decides a number of the analysis, with its default and where that comes from: **P** the paper,
//! **R** our decision. Written beside the results as `analysis/analysis.json`.

use super::AnalysisError;
use super::statistics::adjust::Adjustment;
use super::statistics::bootstrap::BootstrapOptions;
use super::statistics::wilcoxon::ZeroDifferences;
use serde::Serialize;

/// The factor that is a code without an order: its correlation is flagged, and a rank test stands beside it.
pub const NOMINAL_FACTOR: &str = "modality_index";

/// Options of an analysis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnalysisOptions {
    /// Metrics of the summary tables, columns of `metrics`. Default `dice`, `iou` and `hd` (P), and `hd95`, `assd`,
    /// `nsd` (R).
    pub summary_metrics: Vec<String>,
    /// Groupings of the summary tables, each a list of columns of `metrics`, `factors`, `masks`, `slices` or `cases`.
    /// Model, strategy, variant and choice always group. Default: none, by modality, object, target, source.
    pub by: Vec<Vec<String>>,
    /// The metric that is correlated, binned and compared. Default `dice` (P).
    pub metric: String,
    /// The factors, columns of `factors`. Default: the five of the paper (P), the intensity difference absolute (R;
    /// `intensity_difference` is the signed one).
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
    /// Curves of the metric against a factor. Default: size and boundary complexity in logarithmic bins, aspect ratio
    /// and intensity difference in ten quantile bins (R).
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

/// How a factor is cut into bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// This many bins with as equal a number of masks each as ties allow.
    Quantile(u32),
    /// This many bins in each factor of ten, at 1, 10, 100 whatever the data, so that datasets can be compared.
    Logarithmic(u32),
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        let curve = |factor: &str, bins| Curve { factor: factor.to_string(), bins };
        AnalysisOptions {
            summary_metrics: words(&["dice", "iou", "hd", "hd95", "assd", "nsd"]),
            by: vec![vec![], words(&["modality"]), words(&["object"]), words(&["target"]), words(&["source"])],
            metric: "dice".to_string(),
            factors: words(&[
                "size_px",
                "aspect_ratio",
                "intensity_difference_abs",
                "boundary_complexity",
                NOMINAL_FACTOR,
            ]),
            include_excluded: false,
            adjustment: Adjustment::default(),
            zero_differences: ZeroDifferences::default(),
            bootstrap: BootstrapOptions::default(),
            curves: vec![
                curve("size_px", Binning::Logarithmic(4)),
                curve("aspect_ratio", Binning::Quantile(10)),
                curve("intensity_difference_abs", Binning::Quantile(10)),
                curve("boundary_complexity", Binning::Logarithmic(8)),
            ],
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
