//! SQL as polars is given it. What polars 0.55 answers otherwise than DuckDB is rewritten to what it answers alike; what it
//! would answer wrongly, or only with a dump of its syntax tree, is refused with a sentence that says how to write it.
//!
//! | in the statement | what becomes of it |
//! |---|---|
//! | aggregates, with `GROUP BY` or without | two stages: keys and aggregates below, everything that is computed of them above (polars mixes both up where a window, an `ORDER BY` or a name of a column comes in between) |
//! | `count(*)`, `length(x)`, `rank()`, … | signed 64 bits: polars' own type has no sign, and `count(*) - 100` wraps around |
//! | a column without a name | the name is its text: `count(*)`, `corr(dice, hd95)` |
//! | `ORDER BY x DESC` | nulls come last, as for `ASC` and in DuckDB |
//! | `f(x) FILTER (WHERE c)` | `f(CASE WHEN c THEN x END)` |
//! | `a % b`, `a // b`, `round(x)`, `CAST(x AS INTEGER)`, `log(x)` | towards zero, halves away from zero, the nearest whole number in 64 bits, of base 10 |
//! | `JOIN t ON … AND t.model = 'x'` | the condition on one table is put to that table |
//! | `UNION`, `EXCEPT`, `INTERSECT` of several | each pair in parentheses of its own (polars takes all for the outermost) |
//! | a running sum without a frame, a window in `WHERE`, `RIGHT JOIN … USING`, a subquery that looks at its outer row | refused |

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, OrderByOptions, Query, Select,
    SelectItem, SetExpr, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut, WindowType,
    visit_expressions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};

/// Functions that make one value of many rows.
const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first",
    "group_concat",
    "last",
    "listagg",
    "max",
    "median",
    "min",
    "quantile_cont",
    "quantile_disc",
    "stddev",
    "stddev_samp",
    "stdev",
    "stdev_samp",
    "string_agg",
    "sum",
    "total",
    "var",
    "var_samp",
    "variance",
];

/// Functions whose value has no sign in polars.
const UNSIGNED: &[&str] = &[
    "array_length",
    "bit_length",
    "char_length",
    "character_length",
    "count",
    "dense_rank",
    "length",
    "octet_length",
    "rank",
    "row_number",
    "strpos",
];

/// Aggregates that polars computes from the first row up to each row where a window has an order.
const RUNNING: &[&str] = &["sum", "total", "min", "max", "count"];

/// How a name of the lower stage begins.
const STAGE: &str = "__stage_";

/// A reason not to answer.
type Refusal = String;

/// The one statement of `sql`.
pub(super) fn parse(sql: &str) -> Result<Statement, Refusal> {
    // As polars' own parser is set.
    let options = ParserOptions { trailing_commas: true, ..Default::default() };
    let parser = Parser::new(&GenericDialect).with_options(options);
    let statements = parser.try_with_sql(sql).and_then(|mut parser| parser.parse_statements());
    let statements = statements.map_err(|e| e.to_string().trim_start_matches("sql parser error: ").to_string())?;
    match <[Statement; 1]>::try_from(statements) {
        Ok([statement]) => Ok(statement),
        Err(several) => Err(format!("expected one statement, found {}", several.len())),
    }
}

/// Names that a statement takes for tables, in order, each once.
pub(super) fn relations(query: &Query) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let _ = sqlparser::ast::visit_relations(query, |relation| {
        let name = relation.to_string().trim_matches('"').to_string();
        if !names.contains(&name) {
            names.push(name);
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

/// The query in the form that polars answers as DuckDB does. `answer` gives the value of a query of one column that does
/// not depend on rows around it: a literal, or why there is none.
pub(super) fn prepared(
    mut query: Query,
    answer: &mut dyn FnMut(Query) -> Result<Value, Refusal>,
) -> Result<Query, Refusal> {
    stop(VisitMut::visit(&mut query, &mut Refusals))?;
    let _ = VisitMut::visit(&mut query, &mut Names);
    let outside: BTreeSet<String> = relation_names(&query).into_iter().collect();
    constants(&mut query, &outside, &[], answer)?;
    stop(VisitMut::visit(&mut query, &mut Stages))?;
    let _ = VisitMut::visit(&mut query, &mut Signs);
    Ok(query)
}

fn stop(flow: ControlFlow<Refusal>) -> Result<(), Refusal> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(reason) => Err(reason),
    }
}

/// The name of a function, in small letters.
fn name_of(function: &Function) -> String {
    let last = function.name.0.last();
    last.map(|part| part.to_string().to_ascii_lowercase()).unwrap_or_default()
}

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(f) if f.over.is_none() && AGGREGATES.contains(&name_of(f).as_str()))
}

fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(f) if f.over.is_some())
}

/// True where `expr`, or a part of it outside of subqueries, is `wanted`.
fn has(expr: &Expr, wanted: fn(&Expr) -> bool) -> bool {
    struct Search {
        wanted: fn(&Expr) -> bool,
        inside: usize,
    }
    impl Visitor for Search {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.inside += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.inside -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if self.inside == 0 && (self.wanted)(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    Visit::visit(expr, &mut Search { wanted, inside: 0 }).is_break()
}

/// Refuses what polars answers wrongly and no rewriting mends.
struct Refusals;

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

fn refuse<T>(reason: Refusal) -> ControlFlow<Refusal, T> {
    ControlFlow::Break(reason)
}

/// Arguments of a function that are expressions.
fn arguments(function: &Function) -> impl Iterator<Item = &Expr> {
    let list = match &function.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// Gives every computed column its text for a name, puts nulls last, and takes `FILTER` into the argument.
struct Names;

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let last = |options: &mut OrderByOptions| {
            options.nulls_first.get_or_insert(false);
        };
        match query.order_by.as_mut().map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(exprs)) => exprs.iter_mut().for_each(|e| last(&mut e.options)),
            Some(OrderByKind::All(options)) => last(options),
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. })
                && !has(expr, |e| matches!(e, Expr::Function(f) if name_of(f) == "columns"))
            {
                let alias = Ident::with_quote('"', expr.to_string().replace('"', ""));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            filter_as_case(function);
            let known = match (name_of(function).as_str(), arguments(function).count()) {
                ("mean", _) => Some("avg"),
                ("log", 1) => Some("log10"),
                ("regexp_matches", _) => Some("regexp_like"),
                ("list", _) => Some("array_agg"),
                _ => None,
            };
            if let Some(known) = known {
                function.name = ObjectName::from(vec![Ident::new(known)]);
            }
        }
        if let Some(text) = as_duckdb(expr)
            && let Ok(Statement::Query(query)) = parse(&format!("SELECT {text}"))
            && let SetExpr::Select(select) = *query.body
            && let Some(SelectItem::UnnamedExpr(meant)) = select.projection.into_iter().next()
        {
            *expr = Expr::Nested(Box::new(meant));
        }
        ControlFlow::Continue(())
    }
}

/// `f(x) FILTER (WHERE c)` as `f(CASE WHEN c THEN x END)`.
fn filter_as_case(function: &mut Function) {
    let Some(condition) = function.filter.take() else { return };
    if let FunctionArguments::List(list) = &mut function.args
        && let Some(FunctionArg::Unnamed(first)) = list.args.first_mut()
    {
        let value = match first {
            FunctionArgExpr::Expr(value) => value.clone(),
            _ => Expr::value(Value::Number("1".into(), false)),
        };
        let when = CaseWhen { condition: *condition, result: value };
        *first = FunctionArgExpr::Expr(Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![when],
            else_result: None,
        });
    }
}

/// An expression that polars computes otherwise, as one that it computes alike.
fn as_duckdb(expr: &Expr) -> Option<String> {
    match expr {
        // polars rounds towards minus infinity, SQL towards zero.
        Expr::BinaryOp { left: a, op: BinaryOperator::Modulo, right: b } => {
            Some(format!("CASE WHEN ({a}) < 0 THEN -((-({a})) % abs({b})) ELSE ({a}) % abs({b}) END"))
        }
        Expr::BinaryOp { left: a, op: BinaryOperator::DuckIntegerDivide, right: b } => Some(format!(
            "CASE WHEN (({a}) < 0) <> (({b}) < 0) THEN -(abs({a}) // abs({b})) ELSE abs({a}) // abs({b}) END"
        )),
        // polars takes the even neighbour of a half, SQL the one away from zero.
        Expr::Function(function) if name_of(function) == "round" => {
            let mut arguments = arguments(function);
            let (x, digits) = (arguments.next()?, arguments.next());
            let digits = match digits {
                None => 0,
                Some(digits) => digits.to_string().parse::<u32>().ok().filter(|digits| *digits < 16)?,
            };
            let by = format!("1{}.0", "0".repeat(digits as usize));
            Some(format!(
                "CASE WHEN ({x}) < 0 THEN -floor(-({x}) * {by} + 0.5) / {by} ELSE floor(({x}) * {by} + 0.5) / {by} END"
            ))
        }
        // polars cuts fractions off and keeps the number of bits, in which products wrap around.
        Expr::Cast { kind, expr, data_type, .. } if is_whole(data_type) => {
            let cast = match kind {
                CastKind::TryCast | CastKind::SafeCast => "TRY_CAST",
                _ => "CAST",
            };
            Some(format!("{cast}(round({cast}({expr} AS DOUBLE)) AS BIGINT)"))
        }
        _ => None,
    }
}

fn is_whole(data_type: &DataType) -> bool {
    let name = data_type.to_string().to_ascii_uppercase();
    let name = name.split(['(', ' ']).next().unwrap_or_default();
    let names = [
        "TINYINT",
        "SMALLINT",
        "MEDIUMINT",
        "INT",
        "INTEGER",
        "BIGINT",
        "INT1",
        "INT2",
        "INT4",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "HUGEINT",
    ];
    names.contains(&name)
}

/// Names and aliases of the relations of a query, with those of its subqueries.
fn relation_names(query: &Query) -> Vec<String> {
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

/// Puts its value in the place of every subquery that stands for one, the inner ones first. `known` are the tables that a
/// `WITH` around has defined, `relations` the names of all tables of the statement.
fn constants(
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
                    "a subquery that looks at a row outside of it ({column}) is not known as a value: compute it for all \
                     rows in a WITH, grouped by the key, and JOIN that"
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

/// `SELECT columns FROM (query) AS q`.
fn stage(columns: &str, query: Query) -> Query {
    let text = format!("SELECT {columns} FROM (SELECT 1) AS \"{STAGE}\"");
    let Ok(Statement::Query(mut outer)) = parse(&text) else { return query };
    if let SetExpr::Select(select) = &mut *outer.body
        && let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|table| &mut table.relation)
    {
        **subquery = query;
    }
    *outer
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

/// Splits selects with aggregates into two stages, and sets of rows into pairs.
struct Stages;

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

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Refusal> {
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)) = &mut join.join_operator
            else {
                continue;
            };
            if let JoinConstraint::On(condition) = constraint
                && let Err(reason) = one_table_conditions(condition, &mut join.relation)
            {
                return refuse(reason);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refusal> {
        let SetExpr::Select(select) = &mut *query.body else { return ControlFlow::Continue(()) };
        let order = match query.order_by.as_mut().map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(exprs)) => exprs.iter_mut().map(|e| &mut e.expr).collect(),
            _ => Vec::new(),
        };
        match two_stages(select, order) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => refuse(reason),
        }
    }
}

/// Moves conditions of a join that only look at the joined table into that table, since polars joins by comparisons of
/// two tables.
fn one_table_conditions(condition: &mut Expr, table: &mut TableFactor) -> Result<(), Refusal> {
    let name = match &*table {
        TableFactor::Table { name, alias, args: None, .. } => match alias {
            Some(alias) if alias.columns.is_empty() => alias.name.clone(),
            Some(_) => return Ok(()),
            None => Ident::new(name.to_string()),
        },
        TableFactor::Derived { alias: Some(alias), .. } if alias.columns.is_empty() => alias.name.clone(),
        _ => return Ok(()),
    };
    let mut parts = Vec::new();
    conjuncts(condition, &mut parts);
    let of_table = |part: &Expr| {
        let (mut own, mut other) = (false, false);
        let _ = visit_expressions(part, |e| {
            match e {
                Expr::CompoundIdentifier(parts) if parts[0].value == name.value => own = true,
                Expr::CompoundIdentifier(_) | Expr::Identifier(_) => other = true,
                _ => {}
            }
            ControlFlow::<()>::Continue(())
        });
        own && !other
    };
    let (own, shared): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(of_table);
    let Some(shared) = shared.into_iter().reduce(both) else {
        return Err(format!("JOIN {name}: its condition compares no column of both tables"));
    };
    let Some(own) = own.into_iter().reduce(both) else { return Ok(()) };
    let text = format!("SELECT 1 FROM (SELECT * FROM {table} WHERE {own}) AS {name}");
    if let Ok(Statement::Query(query)) = parse(&text)
        && let SetExpr::Select(select) = *query.body
        && let Some(from) = select.from.into_iter().next()
    {
        (*table, *condition) = (from.relation, shared);
    }
    Ok(())
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

fn query_of(body: Box<SetExpr>) -> Query {
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
/// `SELECT k, a - lag(a) OVER (ORDER BY k) FROM (SELECT g AS k, avg(x) AS a, count(*) AS b FROM t GROUP BY g) WHERE b > 1`.
fn two_stages(select: &mut Select, order: Vec<&mut Expr>) -> Result<(), Refusal> {
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
        _ => return Err("GROUP BY with ROLLUP, CUBE or GROUPING SETS is not known: unite several queries".into()),
    };
    let aggregated = projected.iter().chain(&select.having).chain(order.iter().map(|e| &**e));
    let aggregated = aggregated.chain(&select.qualify).any(|expr| has(expr, is_aggregate));
    if keys.is_empty() && !aggregated && !matches!(select.group_by, GroupByExpr::All(_)) {
        if select.having.is_some() {
            return Err("HAVING without GROUP BY and without an aggregate: use WHERE".into());
        }
        return Ok(());
    }
    if select.projection.len() > projected.len() {
        return Err("`*` and GROUP BY do not go together: name the columns".into());
    }
    for key in &keys {
        if matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)) {
            return Err("GROUP BY with ROLLUP, CUBE or GROUPING SETS is not known: unite several queries".into());
        }
        if has(key, is_aggregate) {
            return Err(format!("GROUP BY {key}: an aggregate is no key"));
        }
    }

    // What the select calls its columns, before their text changes.
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
    let aliases: Vec<(String, Expr)> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), expr.clone())),
            _ => None,
        })
        .collect();

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
    for expr in order.into_iter().chain(select.qualify.as_mut()) {
        let is_name = matches!(expr, Expr::Identifier(name) if names.contains(&name.value.as_str()));
        if !is_name {
            let _ = VisitMut::visit(expr, &mut lift);
            lift.is_complete(expr, &names, "ORDER BY")?;
        }
    }
    for window in &mut select.named_window {
        let _ = VisitMut::visit(window, &mut lift);
    }

    let mut below = select.clone();
    let named = |expr: &Expr, name: String| SelectItem::ExprWithAlias { expr: expr.clone(), alias: quoted(name) };
    let keys = lift.keys.iter().enumerate().map(|(i, key)| named(key, format!("{STAGE}key_{i}")));
    let values = lift.aggregates.iter().enumerate().map(|(i, value)| named(value, format!("{STAGE}value_{i}")));
    below.projection = keys.chain(values).collect();
    below.group_by = GroupByExpr::Expressions(lift.keys.clone(), Vec::new());
    (below.distinct, below.qualify, below.named_window, below.having) = (None, None, Vec::new(), None);
    let below = stage("*", query_of(Box::new(SetExpr::Select(Box::new(below)))));
    let SetExpr::Select(around) = *below.body else { return Ok(()) };
    select.from = around.from;
    select.selection = having;
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    Ok(())
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
                item.ok_or_else(|| format!("GROUP BY {digits}: the SELECT has no such column"))
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

/// Casts what polars computes without a sign.
struct Signs;

impl VisitorMut for Signs {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Function(f) if UNSIGNED.contains(&name_of(f).as_str())) {
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(expr.clone()),
                data_type: DataType::BigInt(None),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared_text(sql: &str) -> Result<String, String> {
        let Statement::Query(query) = parse(sql)? else { return Err("no query".into()) };
        prepared(*query, &mut |part| Ok(Value::Number(part.to_string().len().to_string(), false)))
            .map(|q| q.to_string())
    }

    #[test]
    fn aggregates_are_computed_below_what_is_made_of_them() {
        let text = prepared_text(
            "SELECT g AS h, avg(x) - lag(avg(x)) OVER (ORDER BY g) AS d FROM t GROUP BY h HAVING count(*) > 1",
        )
        .unwrap();
        assert_eq!(
            text,
            "SELECT \"__stage_key_0\" AS h, \"__stage_value_0\" - lag(\"__stage_value_0\") OVER (ORDER BY \"__stage_key_0\") AS d \
             FROM (SELECT g AS \"__stage_key_0\", avg(x) AS \"__stage_value_0\", CAST(count(*) AS BIGINT) AS \"__stage_value_1\" \
             FROM t GROUP BY g) AS \"__stage_\" WHERE \"__stage_value_1\" > 1"
        );
    }

    #[test]
    fn names_nulls_and_signs() {
        let text = prepared_text("SELECT length(a) - 1 FROM t ORDER BY b DESC").unwrap();
        assert_eq!(text, "SELECT CAST(length(a) AS BIGINT) - 1 AS \"length(a) - 1\" FROM t ORDER BY b DESC NULLS LAST");
        let text = prepared_text("SELECT count(*) FILTER (WHERE a > 1) AS n FROM t").unwrap();
        assert!(text.contains("count(CASE WHEN a > 1 THEN 1 END)"), "{text}");
    }

    #[test]
    fn a_condition_on_the_joined_table_goes_into_it() {
        let text = prepared_text("SELECT m.a FROM m LEFT JOIN p AS x ON m.k = x.k AND x.model = 'a'").unwrap();
        assert!(text.contains("LEFT JOIN (SELECT * FROM p AS x WHERE x.model = 'a') AS x ON m.k = x.k"), "{text}");
    }

    #[test]
    fn sets_are_put_in_parentheses_pair_by_pair() {
        let text =
            prepared_text("SELECT a FROM t INTERSECT SELECT a FROM u EXCEPT SELECT a FROM v ORDER BY a").unwrap();
        assert!(text.contains("((SELECT a FROM t) INTERSECT (SELECT a FROM u)) EXCEPT (SELECT a FROM v)"), "{text}");
        assert!(text.ends_with("ORDER BY a NULLS LAST"), "{text}");
    }

    #[test]
    fn what_would_be_wrong_is_refused_with_a_way_out() {
        for (sql, words) in [
            ("SELECT a FROM t WHERE avg(a) > 1", "HAVING"),
            ("SELECT a FROM t WHERE rank() OVER (ORDER BY a) > 1", "QUALIFY"),
            ("SELECT a FROM t FULL JOIN u USING (k)", "coalesce"),
            ("SELECT sum(a) OVER (ORDER BY b) AS s FROM t", "ROWS BETWEEN"),
            ("SELECT avg(a) OVER (ORDER BY b) AS s FROM t", "running sum"),
            ("SELECT a, b FROM t GROUP BY a", "b is neither in GROUP BY"),
            ("SELECT avg(max(a)) AS s FROM t", "aggregate of an aggregate"),
            ("SELECT a FROM t AS o WHERE a > (SELECT avg(a) FROM t AS i WHERE i.k = o.k)", "JOIN"),
            ("SELECT sum(a) FROM t GROUP BY ROLLUP (a)", "ROLLUP"),
            ("SELECT perceptual_hash - 1 AS h FROM t", "compared"),
            ("SELECT 1; SELECT 2", "one statement"),
        ] {
            let reason = prepared_text(sql).unwrap_err();
            assert!(reason.contains(words), "{sql}: {reason}");
        }
    }
}
