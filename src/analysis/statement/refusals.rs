//! What polars answers wrongly and no rewriting mends.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, JoinOperator, Select, SetExpr, VisitorMut, WindowType};

use super::{AGGREGATES, Refusal, arguments, has, is_aggregate, is_window, name_of, refuse};

/// Aggregates that polars computes from the first row up to each row where a window has an order.
const RUNNING: &[&str] = &["sum", "total", "min", "max", "count"];

/// Refuses what polars answers wrongly and no rewriting mends.
pub(super) struct Refusals;

impl VisitorMut for Refusals {
    type Break = Refusal;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Refusal> {
        if let Some(condition) = &select.selection {
            if has(condition, is_aggregate) {
                return refuse("WHERE looks at single rows: a condition on an aggregate belongs into HAVING".into());
            }
            if has(condition, is_window) {
                let cure = "put the window into the SELECT under a name, and the condition into QUALIFY";
                return refuse(format!("WHERE looks at single rows, before windows are computed: {cure}"));
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
        if let Expr::BinaryOp { left, op, right } = expr {
            let counts = matches!(op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply);
            let hash = |e: &Expr| e.to_string().rsplit('.').next().is_some_and(|name| name == "perceptual_hash");
            if counts && (hash(left) || hash(right)) {
                return refuse("perceptual_hash is 64 bits and no number: it can only be compared".into());
            }
        }
        if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr
            && matches!(&**right, Expr::Subquery(_))
        {
            let cure = "compare with (SELECT min(x) FROM …) or (SELECT max(x) FROM …)";
            return refuse(format!("ANY and ALL with a subquery are not known: {cure}"));
        }
        if let Expr::Subquery(query) = expr
            && let SetExpr::Select(select) = &*query.body
            && select.projection.len() > 1
        {
            return refuse("a subquery in the place of a value must have one column".into());
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = name_of(function);
        if AGGREGATES.contains(&name.as_str())
            && function.over.is_none()
            && arguments(function).any(|argument| has(argument, |e| is_aggregate(e) || is_window(e)))
        {
            return refuse(format!("{function} is an aggregate of an aggregate: name the inner one in a WITH first"));
        }
        let Some(WindowType::WindowSpec(window)) = &function.over else { return ControlFlow::Continue(()) };
        if !window.order_by.is_empty() && AGGREGATES.contains(&name.as_str()) {
            let framed = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
            if !RUNNING.contains(&name.as_str()) {
                return refuse(format!(
                    "{name} in a window with ORDER BY is not known: leave ORDER BY out to take the whole partition, or \
                     divide a running sum by a running count (each with {framed})"
                ));
            }
            if window.window_frame.is_none() {
                return refuse(format!(
                    "{name} in a window with ORDER BY needs its frame, {framed} (rows of equal rank would count \
                     together without); leave ORDER BY out to take the whole partition"
                ));
            }
        }
        ControlFlow::Continue(())
    }
}
