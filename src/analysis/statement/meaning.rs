//! Expressions that polars reads otherwise than DuckDB, in words that both read alike.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, NamedWindowExpr, ObjectName, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr,
    Statement, UnaryOperator, Value, VisitMut, VisitorMut, WindowSpec, WindowType,
};

use super::names::is_constant;
use super::{AGGREGATES, Refusal, arguments, has, name_of, parse, refuse};
use crate::store::Table;

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

/// Gives every computed column its text for a name, puts nulls last, and takes `FILTER` into the argument.
pub(super) struct Meaning;

impl VisitorMut for Meaning {
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

    // After those of subqueries, whose windows may have the same names.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let named: BTreeMap<String, WindowSpec> = std::mem::take(&mut select.named_window)
            .into_iter()
            .filter_map(|window| match window.1 {
                NamedWindowExpr::WindowSpec(mut spec) => {
                    nulls_last(&mut spec.order_by);
                    Some((window.0.value, spec))
                }
                NamedWindowExpr::NamedWindow(_) => None,
            })
            .collect();
        let _ = VisitMut::visit(select, &mut Windows(&named));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            filter_as_case(function);
            if let Some(WindowType::WindowSpec(window)) = &mut function.over {
                nulls_last(&mut window.order_by);
            }
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

/// Puts windows in the place of their names, which polars does not know for all functions.
struct Windows<'a>(&'a BTreeMap<String, WindowSpec>);

impl VisitorMut for Windows<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(WindowType::NamedWindow(name)) = &function.over
            && let Some(window) = self.0.get(&name.value)
        {
            function.over = Some(WindowType::WindowSpec(window.clone()));
        }
        ControlFlow::Continue(())
    }
}

/// Orders the rows of a window by whether a value is there, then by the value: polars takes nulls first, and ranks
/// none. Only the first column that may be null is seen to, since polars names this key by itself.
fn nulls_last(order: &mut Vec<OrderByExpr>) {
    let Some(at) = order.iter().position(|key| may_be_null(&key.expr)) else { return };
    let last = !order[at].options.nulls_first.take().unwrap_or(false);
    let descending = order[at].options.asc == Some(false);
    let flag = u8::from(last != descending);
    let text = format!("SELECT CASE WHEN {} IS NULL THEN {flag} ELSE {} END", order[at].expr, 1 - flag);
    if let Ok(Statement::Query(query)) = parse(&text)
        && let SetExpr::Select(select) = *query.body
        && let Some(SelectItem::UnnamedExpr(expr)) = select.projection.into_iter().next()
    {
        let key = OrderByExpr { expr, ..order[at].clone() };
        order.insert(at, key);
    }
}

/// False for the columns of the tables that are always there, and for what stands in for nulls.
fn may_be_null(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(name) => &name.value,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(name) => &name.value,
            None => return true,
        },
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => return may_be_null(inner),
        Expr::Function(function) => return !["coalesce", "count", "ifnull"].contains(&name_of(function).as_str()),
        Expr::Value(_) => return false,
        _ => return true,
    };
    let columns = Table::ALL.iter().flat_map(|table| table.columns()).filter(|column| column.name == *name);
    let nullable: Vec<bool> = columns.map(|column| column.nullable).collect();
    nullable.is_empty() || nullable.contains(&true)
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
            // By what is left of the fraction, since `y + 0.5` is rounded itself.
            let up = |y: String| format!("(CASE WHEN {y} - floor({y}) >= 0.5 THEN floor({y}) + 1 ELSE floor({y}) END)");
            let (below, above) = (up(format!("(-({x}) * {by})")), up(format!("(({x}) * {by})")));
            Some(format!("CASE WHEN ({x}) < 0 THEN -{below} / {by} ELSE {above} / {by} END"))
        }
        // polars cuts fractions off and keeps the number of bits, in which products wrap around.
        Expr::Cast { kind, expr, data_type, .. } if is_whole(data_type) => {
            let cast = match kind {
                CastKind::TryCast | CastKind::SafeCast => "TRY_CAST",
                _ => "CAST",
            };
            Some(format!("{cast}(round({cast}({expr} AS DOUBLE)) AS BIGINT)"))
        }
        Expr::Function(function) if name_of(function) == "mod" => {
            let mut arguments = arguments(function);
            let (a, b) = (arguments.next()?, arguments.next()?);
            Some(format!("CASE WHEN ({a}) < 0 THEN -((-({a})) % abs({b})) ELSE ({a}) % abs({b}) END"))
        }
        // polars takes the base last.
        Expr::Function(function) if name_of(function) == "log" => {
            let mut arguments = arguments(function);
            let (base, x) = (arguments.next()?, arguments.next()?);
            Some(format!("log10({x}) / log10({base})"))
        }
        Expr::Function(function) if name_of(function) == "substr" || name_of(function) == "substring" => {
            let all: Vec<&Expr> = arguments(function).collect();
            let [x, from] = all[..] else { return None };
            Some(format!("right({x}, {})", negative(from)?))
        }
        Expr::Substring { expr: x, substring_from: Some(from), substring_for: None, .. } => {
            Some(format!("right({x}, {})", negative(from)?))
        }
        // polars gives null where the condition is.
        Expr::IsTrue(x) => Some(format!("coalesce({x}, false)")),
        Expr::IsNotTrue(x) => Some(format!("NOT coalesce({x}, false)")),
        Expr::IsFalse(x) => Some(format!("NOT coalesce({x}, true)")),
        Expr::IsNotFalse(x) => Some(format!("coalesce({x}, true)")),
        Expr::IsUnknown(x) => Some(format!("({x}) IS NULL")),
        Expr::IsNotUnknown(x) => Some(format!("({x}) IS NOT NULL")),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits.contains(['e', 'E']) => decimal(digits.parse().ok()?),
            _ => None,
        },
        _ => None,
    }
}

/// A number without an exponent, which polars does not read.
pub(in crate::analysis) fn decimal(number: f64) -> Option<String> {
    let digits = number.to_string();
    let whole = if digits.contains('.') { "" } else { ".0" };
    number.is_finite().then(|| format!("{digits}{whole}"))
}

/// `3` of `-3`.
pub(super) fn negative(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(expr),
        Expr::Nested(inner) => negative(inner),
        _ => None,
    }
}

/// Aggregates of constants: polars takes a constant for one row, whatever the rows are.
pub(super) struct OfConstants;

impl VisitorMut for OfConstants {
    type Break = Refusal;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refusal> {
        let Expr::Function(function) = &*expr else { return ControlFlow::Continue(()) };
        let name = name_of(function);
        let all: Vec<&Expr> = arguments(function).collect();
        let two = ["corr", "covar", "covar_pop", "covar_samp"].contains(&name.as_str());
        let Some(constant) = all.iter().take(if two { 2 } else { 1 }).find(|argument| is_constant(argument)) else {
            return ControlFlow::Continue(());
        };
        if !AGGREGATES.contains(&name.as_str()) || name == "count" {
            return ControlFlow::Continue(());
        }
        let over = match &function.over {
            Some(WindowType::WindowSpec(window)) => format!(" OVER ({window})"),
            Some(WindowType::NamedWindow(window)) => format!(" OVER {window}"),
            None => String::new(),
        };
        let rows = format!("count(*){over}");
        let text = match name.as_str() {
            "sum" | "total" => format!("CASE WHEN {rows} > 0 THEN ({constant}) * {rows} END"),
            "min" | "max" | "first" | "last" => format!("CASE WHEN {rows} > 0 THEN {constant} END"),
            "avg" | "median" | "quantile_cont" => format!("CASE WHEN {rows} > 0 THEN ({constant}) * 1.0 END"),
            "quantile_disc" => format!("CASE WHEN {rows} > 0 THEN {constant} END"),
            "stddev" | "stddev_samp" | "stdev" | "stdev_samp" | "var" | "var_samp" | "variance" => {
                format!("CASE WHEN {rows} > 1 THEN ({constant}) * 0.0 END")
            }
            _ => return refuse(format!("{function}: {name} of a constant is not supported: use a column")),
        };
        if let Ok(Statement::Query(query)) = parse(&format!("SELECT {text}"))
            && let SetExpr::Select(select) = *query.body
            && let Some(SelectItem::UnnamedExpr(meant)) = select.projection.into_iter().next()
        {
            *expr = Expr::Nested(Box::new(meant));
        }
        ControlFlow::Continue(())
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

/// Casts what polars computes without a sign.
pub(super) struct Signs;

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
