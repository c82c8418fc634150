//! Aggregates below, what is computed of them above; sets of rows pair by pair.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
    visit_expressions,
};

use super::{Refusal, STAGE, has, is_aggregate, is_window, refuse, stage};

/// Splits selects with aggregates into two stages, and sets of rows into pairs.
pub(super) struct Stages;

impl VisitorMut for Stages {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refusal> {
        if matches!(&*query.body, SetExpr::SetOperation { .. }) && query.order_by.is_some() {
            let mut below = query.clone();
            (below.with, below.order_by, below.limit_clause, below.fetch) = (None, None, None, None);
            query.body = stage("*", below).body;
        }
        if let SetExpr::SetOperation { left, right, .. } = &mut *query.body {
            for side in [left, right] {
                if !matches!(&**side, SetExpr::Query(_)) {
                    **side = SetExpr::Query(Box::new(query_of(side.clone())));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refusal> {
        let SetExpr::Select(select) = &mut *query.body else { return ControlFlow::Continue(()) };
        let mut order: Vec<&mut Expr> = match query.order_by.as_mut().map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(exprs)) => exprs.iter_mut().map(|e| &mut e.expr).collect(),
            _ => Vec::new(),
        };
        if let Err(reason) = two_stages(select, &mut order) {
            return refuse(reason);
        }
        qualified(select, &mut order);
        ControlFlow::Continue(())
    }
}

/// A query that has nothing but a body.
pub(super) fn query_of(body: Box<SetExpr>) -> Query {
    Query {
        with: None,
        body,
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `SELECT g, avg(x) - lag(avg(x)) OVER (ORDER BY g) FROM t GROUP BY g HAVING count(*) > 1` becomes
/// `SELECT k, a - lag(a) OVER (ORDER BY k) FROM (SELECT g AS k, avg(x) AS a, count(*) AS b FROM t GROUP BY g) WHERE b >
/// 1`.
fn two_stages(select: &mut Select, order: &mut [&mut Expr]) -> Result<(), Refusal> {
    let columns = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    let projected: Vec<Expr> = select.projection.iter().filter_map(columns).collect();
    let keys = match &select.group_by {
        GroupByExpr::All(modifiers) if modifiers.is_empty() => {
            let key = |e: &&Expr| !has(e, |e| is_aggregate(e) || is_window(e)) && !matches!(e, Expr::Value(_));
            projected.iter().filter(key).cloned().collect()
        }
        GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => {
            exprs.iter().map(|expr| group_key(expr, select)).collect::<Result<Vec<_>, _>>()?
        }
        _ => {
            return Err("GROUP BY with ROLLUP, CUBE or GROUPING SETS is not supported: combine several queries with \
            UNION"
                .into());
        }
    };
    let aggregated = projected.iter().chain(&select.having).chain(order.iter().map(|e| &**e));
    let aggregated = aggregated.chain(&select.qualify).any(|expr| has(expr, is_aggregate));
    if keys.is_empty() && !aggregated && !matches!(select.group_by, GroupByExpr::All(_)) {
        if select.having.is_some() {
            return Err("HAVING without GROUP BY or an aggregate: use WHERE".into());
        }
        return Ok(());
    }
    if select.projection.len() > projected.len() {
        return Err("`*` cannot be combined with GROUP BY: name the columns".into());
    }
    for key in &keys {
        if matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)) {
            return Err("GROUP BY with ROLLUP, CUBE or GROUPING SETS is not supported: combine several queries with \
                UNION"
                .into());
        }
        if has(key, is_aggregate) {
            return Err(format!("GROUP BY {key}: an aggregate cannot be a key"));
        }
    }

    // What the select calls its columns, before their text changes.
    with_aliases(select);
    let aliases = aliases(select);

    let mut lift = Lift { keys, aggregates: Vec::new(), depth: 0 };
    for item in &mut select.projection {
        if let SelectItem::ExprWithAlias { expr, alias } = item {
            let _ = VisitMut::visit(expr, &mut lift);
            lift.is_complete(expr, &[], &alias.value)?;
        }
    }
    let mut having = select.having.take();
    if let Some(having) = &mut having {
        // A name of the SELECT stands for what it names.
        let _ = VisitMut::visit(having, &mut Named(&aliases));
        let _ = VisitMut::visit(having, &mut lift);
        lift.is_complete(having, &[], "HAVING")?;
    }
    let names: Vec<&str> = aliases.iter().map(|(name, _)| name.as_str()).collect();
    for expr in order.iter_mut().map(|expr| &mut **expr).chain(select.qualify.as_mut()) {
        let is_name = matches!(expr, Expr::Identifier(name)
            if names.contains(&name.value.as_str()) || name.value.eq_ignore_ascii_case("all"));
        if !is_name {
            let _ = VisitMut::visit(expr, &mut lift);
            lift.is_complete(expr, &names, "ORDER BY")?;
        }
    }

    if select.from.len() > 1 || select.from.iter().any(|table| !table.joins.is_empty()) {
        lift.take_columns(select);
    }
    let mut below = select.clone();
    let named = |expr: &Expr, name: String| SelectItem::ExprWithAlias { expr: expr.clone(), alias: quoted(name) };
    let keys = lift.keys.iter().enumerate().map(|(i, key)| named(key, format!("{STAGE}key_{i}")));
    let values = lift.aggregates.iter().enumerate().map(|(i, value)| named(value, format!("{STAGE}value_{i}")));
    below.projection = keys.chain(values).collect();
    below.group_by = GroupByExpr::Expressions(lift.keys.clone(), Vec::new());
    (below.distinct, below.qualify, below.having) = (None, None, None);
    let below = stage("*", query_of(Box::new(SetExpr::Select(Box::new(below)))));
    let SetExpr::Select(around) = *below.body else { return Ok(()) };
    select.from = around.from;
    select.selection = having;
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    Ok(())
}

/// What a select calls its columns, and what they stand for.
pub(super) fn aliases(select: &Select) -> Vec<(String, Expr)> {
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), expr.clone())),
        _ => None,
    });
    items.collect()
}

/// Says of every column what it is called.
pub(super) fn with_aliases(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item {
            let alias = match expr {
                Expr::Identifier(name) => Some(name.clone()),
                Expr::CompoundIdentifier(parts) => parts.last().cloned(),
                _ => None,
            };
            if let Some(alias) = alias {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
    }
}

/// `SELECT a FROM t QUALIFY rank() OVER (ORDER BY b) = 1` becomes
/// `SELECT a FROM (SELECT a, rank() OVER (ORDER BY b) = 1 AS kept FROM t) WHERE kept`: polars only looks at what was
/// selected.
fn qualified(select: &mut Select, order: &mut [&mut Expr]) {
    let is_listed = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if !select.qualify.as_ref().is_some_and(|condition| has(condition, is_window))
        || !select.projection.iter().all(is_listed)
    {
        return;
    }
    let Some(condition) = select.qualify.take() else { return };
    with_aliases(select);
    let names: Vec<Ident> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
            _ => None,
        })
        .collect();
    let mut below = select.clone();
    below.distinct = None;
    let mut add = |expr: Expr, name: &str| {
        let alias = quoted(format!("{STAGE}{name}"));
        below.projection.push(SelectItem::ExprWithAlias { expr, alias: alias.clone() });
        Expr::Identifier(alias)
    };
    let kept = add(condition, "kept");
    for (i, expr) in order.iter_mut().enumerate() {
        let is_name = matches!(&**expr, Expr::Identifier(name)
            if names.iter().any(|n| n.value == name.value) || name.value.eq_ignore_ascii_case("all"));
        if !is_name && !matches!(**expr, Expr::Value(_)) {
            **expr = add(expr.clone(), &format!("order_{i}"));
        }
    }
    let below = stage("*", query_of(Box::new(SetExpr::Select(Box::new(below)))));
    let SetExpr::Select(around) = *below.body else { return };
    select.from = around.from;
    select.selection = Some(kept);
    let column = |name: Ident| SelectItem::UnnamedExpr(Expr::Identifier(name));
    select.projection = names.into_iter().map(column).collect();
}

fn quoted(name: String) -> Ident {
    Ident::with_quote('"', name)
}

/// What a member of `GROUP BY` means: a number or a name may stand for a column of the select.
fn group_key(expr: &Expr, select: &Select) -> Result<Expr, Refusal> {
    let column = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => {
                let place = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                let item = place.and_then(|n| select.projection.get(n)).and_then(column);
                item.ok_or_else(|| format!("GROUP BY {digits}: the SELECT has no column with this number"))
            }
            _ => Ok(expr.clone()),
        },
        Expr::Identifier(name) => {
            let meant = select.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => Some(expr),
                _ => None,
            });
            // `lower(target) AS target`: a column of that name exists, and is meant.
            let is_column = |e: &Expr| matches!(e, Expr::Identifier(n) if n.value == name.value);
            let shadowed = |meant: &Expr| {
                let mut found = false;
                let _ = visit_expressions(meant, |e| {
                    found |= is_column(e);
                    ControlFlow::<()>::Continue(())
                });
                found
            };
            Ok(meant.filter(|meant| !shadowed(meant)).unwrap_or(expr).clone())
        }
        Expr::Nested(inner) => group_key(inner, select),
        _ => Ok(expr.clone()),
    }
}

/// Moves keys and aggregates to the lower stage, and leaves their names.
struct Lift {
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// Subqueries around the expression: what is in them is not of this select.
    depth: usize,
}

impl Lift {
    /// Names the columns of a join that keys and aggregates need in a stage of their own, below both: polars loses
    /// track of a column that several tables have.
    fn take_columns(&mut self, select: &mut Select) {
        struct Take(Vec<Expr>);
        impl VisitorMut for Take {
            type Break = ();
            fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    let i = self.0.iter().position(|known| known == expr).unwrap_or_else(|| {
                        self.0.push(expr.clone());
                        self.0.len() - 1
                    });
                    *expr = Expr::Identifier(quoted(format!("{STAGE}column_{i}")));
                }
                ControlFlow::Continue(())
            }
        }
        let mut take = Take(Vec::new());
        for expr in self.keys.iter_mut().chain(&mut self.aggregates) {
            let _ = VisitMut::visit(expr, &mut take);
        }
        if take.0.is_empty() {
            return;
        }
        let mut below = select.clone();
        let named =
            |(i, expr): (usize, Expr)| SelectItem::ExprWithAlias { expr, alias: quoted(format!("{STAGE}column_{i}")) };
        below.projection = take.0.into_iter().enumerate().map(named).collect();
        below.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
        (below.distinct, below.qualify, below.having) = (None, None, None);
        let around = stage("*", query_of(Box::new(SetExpr::Select(Box::new(below)))));
        let SetExpr::Select(around) = *around.body else { return };
        select.from = around.from;
        select.selection = None;
    }

    /// Refuses an expression that still needs a column of the lower stage; `names` are other names that it may use.
    fn is_complete(&self, expr: &Expr, names: &[&str], place: &str) -> Result<(), Refusal> {
        let mut missing = None;
        let _ = visit_expressions(expr, |part| {
            let open = match part {
                Expr::Identifier(name) => !name.value.starts_with(STAGE) && !names.contains(&name.value.as_str()),
                Expr::CompoundIdentifier(_) => true,
                _ => false,
            };
            if open && missing.is_none() {
                missing = Some(part.to_string());
            }
            ControlFlow::<()>::Continue(())
        });
        match missing {
            Some(column) => Err(format!("{place}: {column} is neither in GROUP BY nor in an aggregate")),
            None => Ok(()),
        }
    }
}

impl VisitorMut for Lift {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let name = if let Some(i) = self.keys.iter().position(|key| is_same(key, expr)) {
            format!("{STAGE}key_{i}")
        } else if is_aggregate(expr) {
            let i = self.aggregates.iter().position(|known| known == expr).unwrap_or_else(|| {
                self.aggregates.push(expr.clone());
                self.aggregates.len() - 1
            });
            format!("{STAGE}value_{i}")
        } else {
            return ControlFlow::Continue(());
        };
        *expr = Expr::Identifier(quoted(name));
        ControlFlow::Continue(())
    }
}

/// True where two expressions mean the same column or the same text, whether the table is named or not.
fn is_same(a: &Expr, b: &Expr) -> bool {
    let parts = |e: &Expr| match e {
        Expr::Identifier(name) => Some(vec![name.value.clone()]),
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(|part| part.value.clone()).collect()),
        _ => None,
    };
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => a == b || (a.last() == b.last() && (a.len() == 1 || b.len() == 1)),
        _ => a == b,
    }
}

/// Puts what a name of the select stands for in its place.
struct Named<'a>(&'a [(String, Expr)]);

impl VisitorMut for Named<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some((_, meant)) = self.0.iter().find(|(alias, _)| *alias == name.value)
            && has(meant, is_aggregate)
        {
            *expr = Expr::Nested(Box::new(meant.clone()));
        }
        ControlFlow::Continue(())
    }
}
