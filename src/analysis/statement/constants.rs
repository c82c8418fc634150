//! Subqueries in the place of a value: computed first, and put in as a literal.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{Expr, Query, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut, visit_expressions};

use super::{Refusal, refuse, stage, stop};

/// Names and aliases of the relations of a query, with those of its subqueries.
pub(super) fn relation_names(query: &Query) -> Vec<String> {
    struct Collect(Vec<String>);
    impl Visitor for Collect {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            let alias = match factor {
                TableFactor::Table { name, alias, .. } => {
                    alias.as_ref().map(|a| a.name.value.clone()).or_else(|| Some(name.to_string()))
                }
                TableFactor::Derived { alias, .. } => alias.as_ref().map(|a| a.name.value.clone()),
                _ => None,
            };
            self.0.extend(alias);
            ControlFlow::Continue(())
        }
    }
    let mut collect = Collect(Vec::new());
    let _ = Visit::visit(query, &mut collect);
    collect.0
}

/// Puts its value in the place of every subquery that stands for one, the inner ones first. `known` are the tables that
/// a `WITH` around has defined, `relations` the names of all tables of the statement.
pub(super) fn constants(
    query: &mut Query,
    relations: &BTreeSet<String>,
    known: &[sqlparser::ast::Cte],
    answer: &mut dyn FnMut(Query) -> Result<Value, Refusal>,
) -> Result<(), Refusal> {
    struct Constants<'a> {
        relations: &'a BTreeSet<String>,
        known: &'a [sqlparser::ast::Cte],
        answer: &'a mut dyn FnMut(Query) -> Result<Value, Refusal>,
    }
    impl VisitorMut for Constants<'_> {
        type Break = Refusal;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refusal> {
            let (query, exists) = match expr {
                Expr::Subquery(query) => (query, None),
                Expr::Exists { subquery, negated } => (subquery, Some(*negated)),
                _ => return ControlFlow::Continue(()),
            };
            if let Some(column) = outer_column(query, self.relations) {
                if exists.is_some() {
                    // Correlated: polars makes a join of it.
                    return ControlFlow::Continue(());
                }
                return refuse(format!(
                    "a correlated scalar subquery ({column}) is not supported: compute it for all rows in a WITH, \
                     grouped by the key, and JOIN the result"
                ));
            }
            let mut own = (**query).clone();
            if exists.is_some() {
                own = counted(own);
            }
            if !self.known.is_empty() {
                let mut tables = self.known.to_vec();
                tables.extend(own.with.take().into_iter().flat_map(|with| with.cte_tables));
                own.with = Some(sqlparser::ast::With {
                    with_token: AttachedToken::empty(),
                    recursive: false,
                    cte_tables: tables,
                });
            }
            match (self.answer)(own) {
                Ok(value) => {
                    let value = match exists {
                        Some(negated) => Value::Boolean((value.to_string() != "0") != negated),
                        None => value,
                    };
                    *expr = literal(value);
                    ControlFlow::Continue(())
                }
                Err(reason) => refuse(reason),
            }
        }
    }
    let mut with = query.with.take();
    let mut known = known.to_vec();
    for table in with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        constants(&mut table.query, relations, &known, answer)?;
        known.push(table.clone());
    }
    let flow = VisitMut::visit(query, &mut Constants { relations, known: &known, answer });
    query.with = with;
    stop(flow)
}

/// A value as an expression; a negative number in parentheses, so that `a - -1` reads well.
fn literal(value: Value) -> Expr {
    match &value {
        Value::Number(digits, _) if digits.starts_with('-') => {
            let positive = Expr::value(Value::Number(digits[1..].to_string(), false));
            let negative = Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr: Box::new(positive) };
            Expr::Nested(Box::new(negative))
        }
        _ => Expr::value(value),
    }
}

/// `SELECT count(*) FROM (query)`.
fn counted(query: Query) -> Query {
    stage("count(*)", query)
}

/// A column of the rows around it that a subquery names with its table.
fn outer_column(query: &Query, relations: &BTreeSet<String>) -> Option<String> {
    let own: BTreeSet<String> = relation_names(query).into_iter().collect();
    let found = visit_expressions(query, |expr| match expr {
        Expr::CompoundIdentifier(parts)
            if parts.len() > 1 && !own.contains(&parts[0].value) && relations.contains(&parts[0].value) =>
        {
            ControlFlow::Break(expr.to_string())
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(column) => Some(column),
        ControlFlow::Continue(()) => None,
    }
}
