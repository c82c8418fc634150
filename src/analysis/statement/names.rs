//! What the names of a statement mean: names of a `WITH`, columns without regard to case, and the sides of a join.
//!
//! | in the statement | what becomes of it |
//! |---|---|
//! | a `WITH` that has the name of a table, or of a `WITH` around it | gets a name of its own, and stands in front |
//! | `Target`, `M.area_px` for `masks AS m` | the name as the table has it |
//! | an inner join `ON a.k = b.k AND …` | equalities of two columns stay, all else goes to `WHERE`, where it means the same |
//! | an outer join `ON a.k = b.k AND b.x > 1` | a condition on the table that may be missing goes into that table; all else is refused, since polars drops the rows for which it does not hold |
//! | `SELECT -x AS x … ORDER BY -x` | the column `x` is ordered by; a name by itself is that of the SELECT |

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Cte, Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, Value,
    VisitMut, VisitorMut, With, visit_expressions,
};

use super::stages::{aliases, with_aliases};
use super::{Refusal, STAGE, has, is_aggregate, is_window, parse, stage, stop};
use crate::store::Table;

/// Gives every `WITH` a name that nothing else has, and puts all in front: polars does not read those of subqueries.
pub(in crate::analysis) fn own_names(query: &mut Query) {
    let mut own = OwnNames::default();
    own.taken.extend(Table::ALL.iter().map(|table| table.name().to_string()));
    rename(query, &BTreeMap::new(), &mut own);
    query.with = own.with.map(|with| With { cte_tables: own.tables, ..with });
}

/// What a statement defines, in an order in which each knows those that it needs.
#[derive(Default)]
struct OwnNames {
    taken: BTreeSet<String>,
    tables: Vec<Cte>,
    with: Option<With>,
}

/// `scope` says what the names of a `WITH` around are called now.
fn rename(query: &mut Query, scope: &BTreeMap<String, String>, own_names: &mut OwnNames) {
    struct Relations<'a> {
        scope: &'a BTreeMap<String, String>,
        own_names: &'a mut OwnNames,
        depth: usize,
    }
    impl VisitorMut for Relations<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            if self.depth == 2 {
                rename(query, self.scope, self.own_names);
            }
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias, args: None, .. } = factor
                && self.depth == 1
                && let Some(own) = self.scope.get(&plain(&name.to_string()))
                && *own != plain(&name.to_string())
            {
                let known = Ident::new(name.to_string().trim_matches('"'));
                alias.get_or_insert(TableAlias { explicit: true, name: known, columns: Vec::new(), at: None });
                *name = ObjectName::from(vec![Ident::new(own)]);
            }
            ControlFlow::Continue(())
        }
    }
    let mut scope = scope.clone();
    if let Some(mut with) = query.with.take() {
        for mut table in std::mem::take(&mut with.cte_tables) {
            rename(&mut table.query, &scope, own_names);
            let name = plain(&table.alias.name.value);
            let mut own = name.clone();
            for n in 0.. {
                if own_names.taken.insert(own.clone()) {
                    break;
                }
                own = format!("{STAGE}with_{n}_{name}");
            }
            if own != name {
                table.alias.name = Ident::new(&own);
            }
            scope.insert(name, own);
            own_names.tables.push(table);
        }
        let recursive = with.recursive || own_names.with.as_ref().is_some_and(|known| known.recursive);
        own_names.with = Some(With { recursive, ..with });
    }
    let _ = VisitMut::visit(query, &mut Relations { scope: &scope, own_names, depth: 0 });
}

/// A name as names are compared.
fn plain(name: &str) -> String {
    name.trim_matches('"').to_ascii_lowercase()
}

/// Columns of the tables and of a `WITH`, by its name in small letters; `None` where they are not known.
type Known = BTreeMap<String, Option<Vec<String>>>;

/// Makes all names those of the tables, and every join one that polars answers.
pub(super) fn meant(query: &mut Query) -> Result<(), Refusal> {
    let columns = |table: &Table| table.columns().iter().map(|column| column.name.to_string()).collect();
    let tables = Table::ALL.iter().map(|table| (table.name().to_string(), Some(columns(table))));
    of_query(query, &tables.collect())
}

fn of_query(query: &mut Query, known: &Known) -> Result<(), Refusal> {
    let mut known = known.clone();
    let mut with = query.with.take();
    for table in with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        of_query(&mut table.query, &known)?;
        let columns = match table.alias.columns.as_slice() {
            [] => outputs(&table.query, &known),
            listed => Some(listed.iter().map(|column| column.name.value.clone()).collect()),
        };
        known.insert(plain(&table.alias.name.value), columns);
    }
    let order = match query.order_by.as_mut().map(|order| &mut order.kind) {
        Some(OrderByKind::Expressions(exprs)) => exprs.as_mut_slice(),
        _ => &mut [],
    };
    let done = of_body(&mut query.body, order, &known);
    query.with = with;
    done
}

fn of_body(body: &mut SetExpr, order: &mut [OrderByExpr], known: &Known) -> Result<(), Refusal> {
    match body {
        SetExpr::Select(select) => of_select(select, order, known),
        SetExpr::Query(query) => of_query(query, known),
        SetExpr::SetOperation { left, right, .. } => {
            of_body(left, &mut [], known)?;
            of_body(right, &mut [], known)
        }
        _ => Ok(()),
    }
}

/// A table as a select names it.
struct Relation {
    name: String,
    columns: Option<Vec<String>>,
}

fn of_select(select: &mut Select, order: &mut [OrderByExpr], known: &Known) -> Result<(), Refusal> {
    let mut relations = Vec::new();
    let mut conditions = Vec::new();
    for table in &mut select.from {
        joined(table, known, &mut relations, &mut conditions)?;
    }
    let aliases = aliases(select);
    let mut names = Names { relations: &relations, aliases: &aliases, known, depth: 0, qualify: false };
    // The tables are done: only what is selected of them is looked at.
    let from = std::mem::take(&mut select.from);
    let mut flow = VisitMut::visit(select, &mut names);
    for key in order.iter_mut() {
        if flow.is_continue() {
            flow = VisitMut::visit(&mut key.expr, &mut names);
        }
    }
    select.from = from;
    stop(flow)?;
    for condition in conditions {
        select.selection = Some(match select.selection.take() {
            Some(selection) => both(Expr::Nested(Box::new(selection)), condition),
            None => condition,
        });
    }
    ordered_by_columns(select, order, &relations, &aliases)
}

/// Columns that a query gives, as far as they are known.
fn outputs(query: &Query, known: &Known) -> Option<Vec<String>> {
    fn of_body(body: &SetExpr, known: &Known) -> Option<Vec<String>> {
        match body {
            SetExpr::Select(select) => {
                let mut columns = Vec::new();
                for item in &select.projection {
                    match item {
                        SelectItem::UnnamedExpr(Expr::Identifier(name)) => columns.push(name.value.clone()),
                        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                            columns.push(parts.last()?.value.clone());
                        }
                        SelectItem::ExprWithAlias { alias, .. } => columns.push(alias.value.clone()),
                        SelectItem::Wildcard(_) => {
                            for table in &select.from {
                                let joins = table.joins.iter().map(|join| &join.relation);
                                for factor in std::iter::once(&table.relation).chain(joins) {
                                    columns.extend(relation(factor, known).columns?);
                                }
                            }
                        }
                        _ => return None,
                    }
                }
                Some(columns)
            }
            SetExpr::Query(query) => outputs(query, known),
            SetExpr::SetOperation { left, .. } => of_body(left, known),
            _ => None,
        }
    }
    let mut known = known.clone();
    for table in query.with.iter().flat_map(|with| &with.cte_tables) {
        let columns = outputs(&table.query, &known);
        known.insert(plain(&table.alias.name.value), columns);
    }
    of_body(&query.body, &known)
}

fn relation(factor: &TableFactor, known: &Known) -> Relation {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let own = name.to_string();
            let columns = known.get(&plain(&own)).cloned().flatten();
            match alias {
                Some(alias) if alias.columns.is_empty() => Relation { name: alias.name.value.clone(), columns },
                Some(alias) => Relation { name: alias.name.value.clone(), columns: None },
                None => Relation { name: own.trim_matches('"').to_string(), columns },
            }
        }
        TableFactor::Derived { subquery, alias: Some(alias), .. } => {
            let columns = if alias.columns.is_empty() { outputs(subquery, known) } else { None };
            Relation { name: alias.name.value.clone(), columns }
        }
        _ => Relation { name: String::new(), columns: None },
    }
}

/// Sees to a table and what is joined to it. Conditions that may as well stand in `WHERE` go to `conditions`.
fn joined(
    table: &mut TableWithJoins,
    known: &Known,
    relations: &mut Vec<Relation>,
    conditions: &mut Vec<Expr>,
) -> Result<(), Refusal> {
    let first = relations.len();
    of_factor(&mut table.relation, known)?;
    relations.push(relation(&table.relation, known));
    let is_preserved = |op: &JoinOperator| {
        matches!(op, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
            || matches!(op, JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_))
    };
    for at in 0..table.joins.len() {
        let followed = table.joins[at + 1..].iter().any(|join| is_preserved(&join.join_operator));
        let join = &mut table.joins[at];
        of_factor(&mut join.relation, known)?;
        relations.push(relation(&join.relation, known));
        let name = relations.last().map(|relation| relation.name.clone()).unwrap_or_default();
        let (kind, constraint) = match &mut join.join_operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) => (Side::Neither, c),
            JoinOperator::Left(c)
            | JoinOperator::LeftOuter(c)
            | JoinOperator::Semi(c)
            | JoinOperator::LeftSemi(c)
            | JoinOperator::Anti(c)
            | JoinOperator::LeftAnti(c) => (Side::Right, c),
            JoinOperator::Right(c)
            | JoinOperator::RightOuter(c)
            | JoinOperator::RightSemi(c)
            | JoinOperator::RightAnti(c) => (Side::Left, c),
            JoinOperator::FullOuter(c) => (Side::Both, c),
            _ => continue,
        };
        let JoinConstraint::On(condition) = constraint else { continue };
        let own = relations.len() - 1;
        let mut names = Names { relations: &relations[first..], aliases: &[], known, depth: 0, qualify: true };
        stop(VisitMut::visit(condition, &mut names))?;
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts);
        let right = |name: &str| name == relations[own].name;
        let left = |name: &str| relations[first..own].iter().any(|relation| relation.name == name);
        let mut keys = Vec::new();
        for part in parts {
            let sides = sides(&part, &left, &right);
            match (sides, kind) {
                (Side::Both, _) if is_equality_of_columns(&part, &left, &right) => keys.push(part),
                (Side::Right, Side::Right | Side::Neither) => filtered(&mut join.relation, &part, &name),
                (Side::Left, Side::Left) if own == first + 1 => {
                    let name = relations[first].name.clone();
                    filtered(&mut table.relation, &part, &name);
                }
                (_, Side::Neither) if !followed => conditions.push(Expr::Nested(Box::new(part))),
                _ => {
                    return Err(format!(
                        "JOIN {name} ON {part}: polars would drop rows that do not match, which an outer join keeps. \
                         Filter in a subquery first, LEFT JOIN (SELECT … WHERE …) AS {name} ON a.key = b.key, and \
                         compare columns of both tables in a JOIN without LEFT, RIGHT or FULL"
                    ));
                }
            }
        }
        match (keys.into_iter().reduce(both), kind) {
            (Some(keys), _) => *condition = keys,
            (None, Side::Neither) => join.join_operator = JoinOperator::CrossJoin(JoinConstraint::None),
            (None, _) => return Err(format!("JOIN {name}: the condition must compare columns of both tables with =")),
        }
    }
    Ok(())
}

fn of_factor(factor: &mut TableFactor, known: &Known) -> Result<(), Refusal> {
    match factor {
        TableFactor::Derived { subquery, .. } => of_query(subquery, known),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            let mut conditions = Vec::new();
            joined(table_with_joins, known, &mut Vec::new(), &mut conditions)?;
            match conditions.first() {
                Some(condition) => {
                    Err(format!("a join in parentheses supports only equalities of columns: {condition}"))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Tables that a condition looks at: those joined so far are on the left. Of a join: the tables whose conditions may be
/// checked before it.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Neither,
    Left,
    Right,
    Both,
}

fn sides(part: &Expr, left: &dyn Fn(&str) -> bool, right: &dyn Fn(&str) -> bool) -> Side {
    let (mut on_left, mut on_right, mut open) = (false, false, false);
    let _ = visit_expressions(part, |expr| {
        match expr {
            Expr::CompoundIdentifier(parts) if left(&parts[0].value) => on_left = true,
            Expr::CompoundIdentifier(parts) if right(&parts[0].value) => on_right = true,
            Expr::CompoundIdentifier(_) | Expr::Identifier(_) | Expr::Subquery(_) | Expr::Exists { .. } => open = true,
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    match (on_left, on_right) {
        _ if open => Side::Both,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
        (false, false) => Side::Neither,
    }
}

fn is_equality_of_columns(part: &Expr, left: &dyn Fn(&str) -> bool, right: &dyn Fn(&str) -> bool) -> bool {
    let Expr::BinaryOp { left: a, op: BinaryOperator::Eq, right: b } = part else { return false };
    let table = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) if parts.len() == 2 => Some(parts[0].value.clone()),
        _ => None,
    };
    match (table(a), table(b)) {
        (Some(a), Some(b)) => (left(&a) && right(&b)) || (right(&a) && left(&b)),
        _ => false,
    }
}

/// Puts a condition on one table into that table.
fn filtered(table: &mut TableFactor, condition: &Expr, name: &str) {
    let name = Ident::with_quote('"', name);
    let text = format!("SELECT 1 FROM (SELECT * FROM {table} WHERE {condition}) AS {name}");
    if let Ok(Statement::Query(query)) = parse(&text)
        && let SetExpr::Select(select) = *query.body
        && let Some(from) = select.from.into_iter().next()
    {
        *table = from.relation;
    }
}

fn conjuncts(condition: &Expr, parts: &mut Vec<Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        Expr::Nested(inner) => conjuncts(inner, parts),
        other => parts.push(other.clone()),
    }
}

fn both(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

/// Makes names of columns and tables those that the tables have.
struct Names<'a> {
    relations: &'a [Relation],
    aliases: &'a [(String, Expr)],
    known: &'a Known,
    depth: usize,
    /// Names the table of every column: in a condition of a join.
    qualify: bool,
}

impl Names<'_> {
    fn column(&self, name: &Ident) -> Option<Ident> {
        if name.quote_style.is_some() || name.value.starts_with(STAGE) {
            return None;
        }
        let columns = self.relations.iter().flat_map(|relation| relation.columns.iter().flatten());
        let mut names: Vec<&String> = columns.chain(self.aliases.iter().map(|(alias, _)| alias)).collect();
        if names.iter().any(|known| **known == name.value) {
            return None;
        }
        names.retain(|known| known.eq_ignore_ascii_case(&name.value));
        names.dedup();
        match names.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other == first) => Some(Ident::new(first.as_str())),
            _ => None,
        }
    }

    /// The table of a column that is named alone.
    fn table_of(&self, column: &str) -> Result<Option<&Relation>, Refusal> {
        let has = |relation: &&Relation| relation.columns.as_ref().is_some_and(|c| c.iter().any(|c| c == column));
        let owners: Vec<&Relation> = self.relations.iter().filter(has).collect();
        match owners.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [first, second, ..] => Err(format!(
                "{column} is ambiguous between {} and {}: write {}.{column}",
                first.name, second.name, first.name
            )),
        }
    }
}

impl VisitorMut for Names<'_> {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refusal> {
        self.depth += 1;
        if self.depth == 1
            && let Err(reason) = of_query(query, self.known)
        {
            return ControlFlow::Break(reason);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Refusal> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refusal> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Identifier(name) => {
                if let Some(known) = self.column(name) {
                    *name = known;
                }
                if self.qualify {
                    match self.table_of(&name.value) {
                        Err(reason) => return ControlFlow::Break(reason),
                        Ok(None) => {}
                        Ok(Some(table)) => {
                            let parts = vec![Ident::new(&table.name), name.clone()];
                            *expr = Expr::CompoundIdentifier(parts);
                        }
                    }
                }
            }
            Expr::CompoundIdentifier(parts) if parts.len() > 1 && parts[0].quote_style.is_none() => {
                let same = |relation: &&Relation| relation.name.eq_ignore_ascii_case(&parts[0].value);
                let exact = self.relations.iter().find(|relation| relation.name == parts[0].value);
                let Some(table) = exact.or_else(|| self.relations.iter().find(same)) else {
                    return ControlFlow::Continue(());
                };
                parts[0].value.clone_from(&table.name);
                let columns = table.columns.iter().flatten();
                if parts[1].quote_style.is_none()
                    && !columns.clone().any(|column| *column == parts[1].value)
                    && let Some(known) = columns.clone().find(|column| column.eq_ignore_ascii_case(&parts[1].value))
                {
                    parts[1].value.clone_from(known);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Sees to it that an expression of `ORDER BY` means columns, where the SELECT gives their names to something else.
fn ordered_by_columns(
    select: &mut Select,
    order: &mut [OrderByExpr],
    relations: &[Relation],
    aliases: &[(String, Expr)],
) -> Result<(), Refusal> {
    let is_column = |name: &str| {
        let columns = relations.iter().flat_map(|relation| relation.columns.iter().flatten());
        columns.into_iter().any(|column| column == name)
    };
    let renamed = |name: &str| {
        let is_itself = |expr: &Expr| match expr {
            Expr::Identifier(own) => own.value == name,
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|own| own.value == name),
            _ => false,
        };
        aliases.iter().any(|(alias, expr)| alias == name && !is_itself(expr)) && is_column(name)
    };
    let shadowed = |expr: &Expr| {
        if matches!(expr, Expr::Identifier(_) | Expr::Value(_)) {
            return None;
        }
        let mut found = None;
        let mut expr = expr.clone();
        let _ = VisitMut::visit(&mut expr, &mut WithoutAggregates);
        let _ = visit_expressions(&expr, |part| {
            if let Expr::Identifier(name) = part
                && renamed(&name.value)
            {
                found = Some(name.value.clone());
            }
            ControlFlow::<()>::Continue(())
        });
        found
    };
    let selected = |expr: &Expr| {
        let is_it = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(own) | SelectItem::ExprWithAlias { expr: own, .. } => own == expr,
            _ => true,
        };
        select.projection.iter().any(is_it) || aliases.iter().any(|(alias, _)| *alias == expr.to_string())
    };
    if matches!(select.distinct, Some(Distinct::Distinct))
        && let Some(key) = order.iter().find(|key| !matches!(key.expr, Expr::Value(_)) && !selected(&key.expr))
    {
        return Err(format!("SELECT DISTINCT … ORDER BY {}: only selected columns can be used in ORDER BY", key.expr));
    }
    let Some(name) = order.iter().find_map(|key| shadowed(&key.expr)) else { return Ok(()) };
    let is_listed = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let aggregated = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => has(expr, is_aggregate),
        _ => false,
    });
    if grouped || aggregated || select.distinct.is_some() || !select.projection.iter().all(is_listed) {
        return Err(format!(
            "ORDER BY an expression of {name}, which is both a column and a name in the SELECT: rename it in the SELECT"
        ));
    }
    if select.qualify.as_ref().is_some_and(|condition| has(condition, is_window)) {
        return Err(format!("QUALIFY with ORDER BY an expression of {name}: rename it in the SELECT"));
    }
    with_aliases(select);
    let mut below = select.clone();
    let named = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(SelectItem::UnnamedExpr(Expr::Identifier(alias.clone()))),
        _ => None,
    };
    let projection = select.projection.iter().filter_map(named).collect();
    for (i, key) in order.iter_mut().enumerate() {
        if !matches!(key.expr, Expr::Identifier(_) | Expr::Value(_)) {
            let alias = Ident::with_quote('"', format!("{STAGE}order_{i}"));
            let expr = std::mem::replace(&mut key.expr, Expr::Identifier(alias.clone()));
            below.projection.push(SelectItem::ExprWithAlias { expr, alias });
        } else if let Expr::Identifier(own) = &key.expr
            && !aliases.iter().any(|(alias, _)| *alias == own.value)
        {
            let alias = Ident::with_quote('"', format!("{STAGE}order_{i}"));
            let expr = std::mem::replace(&mut key.expr, Expr::Identifier(alias.clone()));
            below.projection.push(SelectItem::ExprWithAlias { expr, alias });
        }
    }
    let around = stage("*", super::stages::query_of(Box::new(SetExpr::Select(Box::new(below)))));
    let SetExpr::Select(around) = *around.body else { return Ok(()) };
    select.from = around.from;
    select.selection = None;
    select.projection = projection;
    Ok(())
}

/// Leaves out aggregates, in which a name is a column in any case.
struct WithoutAggregates;

impl VisitorMut for WithoutAggregates {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_aggregate(expr) {
            *expr = Expr::value(Value::Null);
        }
        ControlFlow::Continue(())
    }
}

/// True where an expression has no column in it, and no count of rows.
pub(super) fn is_constant(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        part if is_aggregate(part) || is_window(part) => ControlFlow::Break(()),
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Subquery(_)
        | Expr::Exists { .. }
        | Expr::InSubquery { .. } => ControlFlow::Break(()),
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_continue()
}
