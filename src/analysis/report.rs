//! The main tables of an analysis as text, for a reader at a terminal: one block for each model.

use super::analyze::Analysis;
use super::correlations::CorrelationRow;
use super::join::Condition;
use super::paired::PairedRow;
use super::statistics::bootstrap::Interval;
use super::statistics::describe::Description;
use super::summary::{Summary, SummaryRow};
use crate::prompts::strategy_label;
use crate::store::Choice;
use crate::text::{TextTable, fixed, p_value};
use std::collections::BTreeSet;

/// The whole analysis. The summary by strategy has every metric, the groups asked for have the metric of the
/// analysis; the files hold all of both.
pub fn analysis_to_text(analysis: &Analysis, width: usize) -> String {
    let mut text = partial_to_text(analysis);
    for summary in &analysis.summaries {
        if summary.by.is_empty() {
            analysis.options.summary_metrics.iter().for_each(|metric| text += &summary_to_text(summary, metric, width));
        } else {
            text += &summary_to_text(summary, &analysis.options.metric, width);
        }
    }
    text += &correlations_to_text(analysis, width);
    text += &paired_to_text(analysis, width);
    text += &randomness_to_text(analysis, width);
    text += &clicks_to_text(analysis, width);
    text
}

/// A warning that models are compared on different masks; empty where each has all.
fn partial_to_text(analysis: &Analysis) -> String {
    let lines: String = analysis.partial.iter().map(|coverage| format!("  {coverage}\n")).collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\nOnly a part of the masks has metrics; means of these rows are not comparable with others:\n{lines}")
}

/// A summary table of one metric, undisturbed prompts. Without groups: a line for each strategy and model, the
/// oracle's choice and the score's side by side. With groups: a line for each, a column for each strategy. Empty
/// where the summary does not have the metric.
pub fn summary_to_text(summary: &Summary, metric: &str, width: usize) -> String {
    let wanted = |row: &&SummaryRow| row.condition.variant.is_empty() && row.metric == metric;
    let rows: Vec<&SummaryRow> = summary.rows.iter().filter(wanted).collect();
    if rows.is_empty() {
        return String::new();
    }
    if summary.by.is_empty() {
        let title =
            format!("\n{metric}: mean ± standard deviation over masks; balanced: over the means of targets\n\n");
        return title + &choices_side_by_side(&rows).render(width);
    }
    let tables: BTreeSet<(&str, Choice)> =
        rows.iter().map(|row| (row.condition.model.as_str(), row.condition.choice)).collect();
    let table_of = |(model, choice): (&str, Choice)| {
        let is_here = |row: &&&SummaryRow| row.condition.model == model && row.condition.choice == choice;
        let rows: Vec<&SummaryRow> = rows.iter().filter(is_here).copied().collect();
        let title = format!("\nMean {metric} of {model} ({choice}) by {}\n\n", summary.by.join(", "));
        title + &strategies_side_by_side(summary, &rows).render(width)
    };
    tables.into_iter().map(table_of).collect()
}

fn choices_side_by_side(rows: &[&SummaryRow]) -> TextTable {
    let keys: BTreeSet<(&str, &str)> =
        rows.iter().map(|row| (row.condition.model.as_str(), row.condition.strategy.as_str())).collect();
    let choices: BTreeSet<Choice> = rows.iter().map(|row| row.condition.choice).collect();
    let find = |key: &(&str, &str), choice: Choice| {
        let is_it = |c: &Condition| (c.model.as_str(), c.strategy.as_str()) == *key && c.choice == choice;
        rows.iter().find(|row| is_it(&row.condition)).copied()
    };
    let masks = |key| choices.iter().find_map(|&choice| find(key, choice)).map_or(0, |row| row.masks);
    let mut table = TextTable::new()
        .words("model", keys.iter().map(|key| Some(key.0.to_string())))
        .words("strategy", keys.iter().map(|key| Some(strategy_label(key.1))))
        .counts("masks", keys.iter().map(masks));
    for &choice in &choices {
        let cells = |of: &dyn Fn(&SummaryRow) -> String| {
            keys.iter().map(|key| find(key, choice).map_or(String::from("–"), of)).collect::<Vec<_>>()
        };
        table = table.aligned_right(choice.name(), cells(&|row| mean_and_std(&row.pooled)));
        // The balanced mean of the first choice, the oracle, is what papers compare.
        if Some(&choice) == choices.first() {
            table = table.aligned_right("balanced", cells(&|row| mean_and_std(&row.balanced)));
        }
        table = table.aligned_right("failed", cells(&|row| row.failures.to_string()));
    }
    table
}

fn strategies_side_by_side(summary: &Summary, rows: &[&SummaryRow]) -> TextTable {
    let groups: BTreeSet<&[Option<String>]> = rows.iter().map(|row| row.group.as_slice()).collect();
    let strategies: BTreeSet<&str> = rows.iter().map(|row| row.condition.strategy.as_str()).collect();
    let mut table = TextTable::new();
    for (place, name) in summary.by.iter().enumerate() {
        table = table.words(name, groups.iter().map(|group| group[place].clone()));
    }
    let masks = |group: &&[Option<String>]| {
        rows.iter().filter(|row| row.group == *group).map(|row| row.masks).max().unwrap_or(0)
    };
    table = table.counts("masks", groups.iter().map(masks));
    for strategy in strategies {
        let mean = |group: &&[Option<String>]| {
            let row = rows.iter().find(|row| row.group == *group && row.condition.strategy == strategy);
            row.and_then(|row| row.pooled.mean)
        };
        table = table.numbers(strategy, groups.iter().map(mean));
    }
    table
}

/// Mean and standard deviation in a cell.
pub(crate) fn mean_and_std(description: &Description) -> String {
    match (description.mean, description.std) {
        (Some(mean), Some(std)) => {
            let decimals = if mean.abs() < 2.0 { 3 } else { 1 };
            format!("{} ± {}", fixed(mean, decimals), fixed(std, decimals))
        }
        _ => "–".to_string(),
    }
}

/// The correlation tables, one for each model and choice.
fn correlations_to_text(analysis: &Analysis, width: usize) -> String {
    let rows = &analysis.correlations;
    let mut text = String::new();
    let tables: BTreeSet<(&str, Choice)> =
        rows.iter().map(|row| (row.condition.model.as_str(), row.condition.choice)).collect();
    for (model, choice) in tables {
        let is_here = |row: &&CorrelationRow| row.condition.model == model && row.condition.choice == choice;
        let rows: Vec<&CorrelationRow> = rows.iter().filter(is_here).collect();
        let metric = rows.first().map_or("", |row| row.metric.as_str());
        text += &format!(
            "\n{metric} of {model} ({choice}): Spearman partial correlation with each factor, controlling for the others\n\n"
        );
        let table = TextTable::new()
            .words("strategy", rows.iter().map(|row| Some(strategy_label(&row.condition.strategy))))
            .words(
                "factor",
                rows.iter().map(|row| Some(format!("{}{}", row.factor, if row.nominal { "*" } else { "" }))),
            )
            .aligned_right("partial ρ", rows.iter().map(|row| rho(row.partial.map(|c| c.rho))).collect())
            .aligned_right(&interval_name(analysis), rows.iter().map(|row| interval(row.interval)).collect())
            .p_values("p adjusted", rows.iter().map(|row| row.p_adjusted))
            .aligned_right("plain ρ", rows.iter().map(|row| rho(row.plain.map(|c| c.rho))).collect())
            .counts("masks", rows.iter().map(|row| row.n));
        text += &table.render(width);
        let nominal = rows.iter().filter_map(|row| Some((row, row.groups?)));
        for (row, test) in nominal {
            text += &format!(
                "* {}: {} is nominal; Kruskal–Wallis H = {:.1}, {} df, p = {}, ε² = {:.3}\n",
                row.condition.strategy,
                row.factor,
                test.h,
                test.df,
                p_value(test.p),
                test.epsilon_squared
            );
        }
        let reasons: BTreeSet<&str> = rows.iter().filter_map(|row| row.reason.as_deref()).collect();
        reasons.iter().for_each(|reason| text += &format!("– {reason}\n"));
        if let Some(row) = rows.iter().max_by_key(|row| row.without_any_factor) {
            text += &format!(
                "masks left out: {} without a factor, {} without {metric}, {} excluded\n",
                row.without_any_factor, row.without_metric, row.excluded
            );
        }
    }
    text
}

/// The comparisons, one table for each choice.
fn paired_to_text(analysis: &Analysis, width: usize) -> String {
    let rows = &analysis.paired;
    let mut text = String::new();
    let choices: BTreeSet<Choice> = rows.iter().map(|row| row.first.choice).collect();
    for choice in choices {
        let rows: Vec<&PairedRow> = rows.iter().filter(|row| row.first.choice == choice).collect();
        let metric = rows.first().map_or("", |row| row.metric.as_str());
        text += &format!(
            "\n{metric} on the same masks ({choice}): first − second, Wilcoxon signed-rank test, r rank-biserial\n\n"
        );
        let name = |condition: &Condition| Some(format!("{} {}", condition.model, condition.strategy));
        let table = TextTable::new()
            .words("first", rows.iter().map(|row| name(&row.first)))
            .words("second", rows.iter().map(|row| name(&row.second)))
            .counts("masks", rows.iter().map(|row| row.n))
            .aligned_right("difference", rows.iter().map(|row| rho(row.difference)).collect())
            .aligned_right(&interval_name(analysis), rows.iter().map(|row| interval(row.interval)).collect())
            .aligned_right("r", rows.iter().map(|row| rho(row.masks_test.map(|t| t.rank_biserial))).collect())
            .p_values("p adjusted", rows.iter().map(|row| row.p_adjusted))
            .p_values("p, patients", rows.iter().map(|row| row.patients_p_adjusted));
        text += &table.render(width);
    }
    text
}

/// The randomness table.
fn randomness_to_text(analysis: &Analysis, width: usize) -> String {
    let rows = &analysis.randomness;
    let Some(first) = rows.first() else { return String::new() };
    let table = TextTable::new()
        .words("model", rows.iter().map(|row| Some(row.condition.model.clone())))
        .words("strategy", rows.iter().map(|row| Some(strategy_label(&row.condition.strategy))))
        .words("choice", rows.iter().map(|row| Some(row.condition.choice.to_string())))
        .aligned_right("displacement px", rows.iter().map(|row| format!("{}–{}", row.low, row.high)).collect())
        .counts("seeds", rows.iter().map(|row| row.seeds))
        .numbers("still", rows.iter().map(|row| row.undisturbed_mean))
        .numbers("moved", rows.iter().map(|row| row.moved_mean))
        .numbers("drop", rows.iter().map(|row| row.drop))
        .aligned_right(&interval_name(analysis), rows.iter().map(|row| interval(row.interval)).collect());
    format!("\nDrop in {} with jittered prompts\n\n{}", first.metric, table.render(width))
}

/// The tables of simulated clicks.
fn clicks_to_text(analysis: &Analysis, width: usize) -> String {
    let rows = &analysis.clicks;
    if rows.is_empty() {
        return String::new();
    }
    let table = TextTable::new()
        .words("model", rows.iter().map(|row| Some(row.model.clone())))
        .counts("click", rows.iter().map(|row| u64::from(row.click)))
        .counts("masks", rows.iter().map(|row| row.n))
        .numbers("dice", rows.iter().map(|row| row.dice_mean))
        .aligned_right(&interval_name(analysis), rows.iter().map(|row| interval(row.dice_interval)).collect())
        .numbers("iou", rows.iter().map(|row| row.iou_mean))
        .numbers("iou ≥ 0.85", rows.iter().map(|row| row.reached_85))
        .numbers("iou ≥ 0.90", rows.iter().map(|row| row.reached_90));
    let needed = &analysis.clicks_needed;
    let noc = TextTable::new()
        .words("model", needed.iter().map(|row| Some(row.model.clone())))
        .words("target", needed.iter().map(|row| Some(format!("NoC@{}", row.iou_percent))))
        .numbers("clicks", needed.iter().map(|row| row.clicks_mean))
        .counts("masks", needed.iter().map(|row| row.n))
        .counts("never", needed.iter().map(|row| row.failures))
        .counts("of", needed.iter().map(|row| u64::from(row.most)));
    format!("\nSimulated clicks\n\n{}\n{}", table.render(width), noc.render(width))
}

/// The header of an interval's column: `95 % interval`.
fn interval_name(analysis: &Analysis) -> String {
    // Rounded, since 100 × 0.95 may have a tail of digits.
    format!("{} % interval", (analysis.options.bootstrap.confidence * 1e6).round() / 1e4)
}

/// A signed coefficient with three decimals.
fn rho(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |v| format!("{v:+.3}"))
}

fn interval(interval: Option<Interval>) -> String {
    interval.map_or("–".to_string(), |i| format!("{:+.3} {:+.3}", i.low, i.high))
}
