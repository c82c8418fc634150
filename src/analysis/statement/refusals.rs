//! What polars answers wrongly and no rewriting mends.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, JoinOperator, Select, SetExpr, VisitorMut, WindowType};

use super::meaning::negative;
use super::{AGGREGATES, Refusal, arguments, has, is_aggregate, is_window, name_of, refuse};
use crate::store::Table;

/// Aggregates that polars computes from the first row up to each row where a window has an order.
const RUNNING: &[&str] = &["sum", "total", "min", "max", "count"];

/// Aggregates that polars does not know, and what to write for them.
const UNKNOWN: &[(&str, &str)] = &[
    ("any_value", "min(x), or put x into GROUP BY"),
    ("approx_count_distinct", "count(DISTINCT x)"),
    ("arg_max", "ORDER BY and LIMIT 1"),
    ("arg_min", "ORDER BY and LIMIT 1"),
    ("bool_and", "min(CASE WHEN condition THEN 1 ELSE 0 END) = 1"),
    ("bool_or", "max(CASE WHEN condition THEN 1 ELSE 0 END) = 1"),
    ("max_by", "ORDER BY and LIMIT 1"),
    ("min_by", "ORDER BY and LIMIT 1"),
    ("mode", "count(*) with GROUP BY, and ORDER BY with LIMIT 1"),
    ("percentile_cont", "quantile_cont(x, 0.5)"),
    ("percentile_disc", "quantile_disc(x, 0.5)"),
    ("product", "exp(sum(ln(x)))"),
    ("stddev_pop", "sqrt(avg(x * x) - avg(x) * avg(x))"),
    ("var_pop", "avg(x * x) - avg(x) * avg(x)"),
];

/// True for a whole number of more than nine digits.
fn is_long(expr: &Expr) -> bool {
    let text = expr.to_string();
    text.len() > 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How many columns of whole numbers are multiplied.
fn whole_factors(expr: &Expr) -> usize {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } => whole_factors(left) + whole_factors(right),
        Expr::Nested(inner) => whole_factors(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            let name = expr.to_string();
            let name = name.rsplit('.').next().unwrap_or_default();
            let mut columns = Table::ALL.iter().flat_map(|table| table.columns());
            usize::from(columns.any(|column| column.name.eq_ignore_ascii_case(name) && column.data_type.is_integer()))
        }
        _ => 0,
    }
}

/// Refuses what polars answers wrongly and no rewriting mends.
pub(super) struct Refusals;

impl VisitorMut for Refusals {
    type Break = Refusal;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Refusal> {
        if let Some(condition) = &select.selection {
            if has(condition, is_aggregate) {
                return refuse("WHERE applies to single rows: put a condition on an aggregate into HAVING".into());
            }
            if has(condition, is_window) {
                let cure = "name the window in the SELECT and put the condition into QUALIFY";
                return refuse(format!("WHERE applies before windows are computed: {cure}"));
            }
        }
        for join in select.from.iter().flat_map(|table| &table.joins) {
            let one_sided = match &join.join_operator {
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) | JoinOperator::FullOuter(c) => Some(c),
                _ => None,
            };
            if matches!(one_sided, Some(JoinConstraint::Using(_) | JoinConstraint::Natural)) {
                let cure = "write `ON a.key = b.key`, and `coalesce(a.key, b.key) AS key` in the SELECT";
                return refuse(format!("RIGHT and FULL JOIN with USING lose keys of the right table: {cure}"));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refusal> {
        if let Expr::BinaryOp { left, op, right } = &*expr {
            let counts = matches!(op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply);
            let hash = |e: &Expr| e.to_string().rsplit('.').next().is_some_and(|name| name == "perceptual_hash");
            if counts && (hash(left) || hash(right)) {
                return refuse("perceptual_hash is a bit pattern, not a number: it can only be compared".into());
            }
            if counts && (is_long(left) || is_long(right) || whole_factors(expr) > 2) {
                return refuse(format!(
                    "{expr} may exceed 64-bit integers: write the number with an exponent (1e17), or CAST(x AS DOUBLE) \
                     for a column"
                ));
            }
        }
        if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr
            && matches!(&**right, Expr::Subquery(_))
        {
            let cure = "compare with (SELECT min(x) FROM …) or (SELECT max(x) FROM …)";
            return refuse(format!("ANY and ALL with a subquery are not supported: {cure}"));
        }
        if let Expr::Subquery(query) = expr
            && let SetExpr::Select(select) = &*query.body
            && select.projection.len() > 1
        {
            return refuse("a scalar subquery must have one column".into());
        }
        if let Expr::Substring { substring_from: Some(from), substring_for: Some(_), .. } = expr
            && negative(from).is_some()
        {
            return refuse(format!("{expr}: to count from the end, write `left(right(text, n), m)`"));
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = name_of(function);
        let of_hash = arguments(function).any(|argument| argument.to_string().contains("perceptual_hash"));
        if of_hash && matches!(name.as_str(), "sum" | "total") {
            return refuse(
                "perceptual_hash is a bit pattern, not a number: it can only be compared and counted".into(),
            );
        }
        if let Some((_, instead)) = UNKNOWN.iter().find(|(known, _)| *known == name) {
            return refuse(format!("the function {name} is not supported: write {instead}"));
        }
        if AGGREGATES.contains(&name.as_str())
            && function.over.is_none()
            && arguments(function).any(|argument| has(argument, |e| is_aggregate(e) || is_window(e)))
        {
            return refuse(format!(
                "{function} is an aggregate of an aggregate: compute the inner one in a WITH first"
            ));
        }
        let Some(WindowType::WindowSpec(window)) = &function.over else { return ControlFlow::Continue(()) };
        if !window.order_by.is_empty() && AGGREGATES.contains(&name.as_str()) {
            let framed = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
            if !RUNNING.contains(&name.as_str()) {
                return refuse(format!(
                    "{name} in a window with ORDER BY is not supported: omit ORDER BY to use the whole partition, or \
                     divide a running sum by a running count (each with {framed})"
                ));
            }
            if window.window_frame.is_none() {
                return refuse(format!(
                    "{name} in a window with ORDER BY needs an explicit frame, {framed}, because rows of equal rank \
                     would otherwise count together; omit ORDER BY to use the whole partition"
                ));
            }
        }
        ControlFlow::Continue(())
    }
}
