//! SQL as polars is given it. What polars 0.55 answers otherwise than DuckDB is rewritten to what it answers alike;
//! what it would answer wrongly, or only with a dump of its syntax tree, is refused with a sentence that says how to
//! write it.
//!
//! | in the statement | what becomes of it |
//! |---|---|
//! | aggregates, with `GROUP BY` or without | two stages: keys and aggregates below, everything that is computed of them above (polars mixes both up where a window, an `ORDER BY` or a name of a column comes in between) |
//! | `count(*)`, `length(x)`, `rank()`, … | signed 64 bits: polars' own type has no sign, and `count(*) - 100` wraps around |
//! | a column without a name | the name is its text: `count(*)`, `corr(dice, hd95)` |
//! | `ORDER BY x DESC` | nulls come last, as for `ASC` and in DuckDB |
//! | a window's `ORDER BY x` | nulls come last, and have a rank |
//! | `f(x) FILTER (WHERE c)` | `f(CASE WHEN c THEN x END)` |
//! | `a % b`, `a // b`, `round(x)`, `CAST(x AS INTEGER)`, `log(x)` | towards zero, halves away from zero, the nearest whole number in 64 bits, of base 10 |
//! | `sum(1)` | `1 * count(*)`: polars takes a constant for one row |
//! | names and joins | see [`names`] |
//! | `UNION`, `EXCEPT`, `INTERSECT` of several | each pair in parentheses of its own (polars takes all for the outermost) |
//! | a running sum without a frame, a window in `WHERE`, `RIGHT JOIN … USING`, a subquery that looks at its outer row | refused |

mod constants;
mod meaning;
mod names;
mod refusals;
mod stages;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint, JoinOperator, Query, SelectItem,
    SetExpr, Statement, TableFactor, Value, Visit, VisitMut, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};

use self::constants::{constants, relation_names};
pub(super) use self::meaning::decimal;
use self::meaning::{Meaning, OfConstants, Signs};
pub(super) use self::names::own_names;
use self::refusals::Refusals;
use self::stages::Stages;

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

/// Columns that `SELECT *` has twice after `JOIN … USING`, as polars calls the second.
pub(super) fn repeated_keys(query: &Query) -> Vec<String> {
    let SetExpr::Select(select) = &*query.body else { return Vec::new() };
    if !select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
        return Vec::new();
    }
    let mut keys = Vec::new();
    for join in select.from.iter().flat_map(|table| &table.joins) {
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)) = &join.join_operator
        else {
            continue;
        };
        let table = match &join.relation {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                alias.name.value.clone()
            }
            TableFactor::Table { name, .. } => name.to_string(),
            _ => continue,
        };
        if let JoinConstraint::Using(columns) = constraint {
            keys.extend(columns.iter().map(|column| format!("{column}:{table}")));
        }
    }
    keys
}

/// The query in the form that polars answers as DuckDB does. `answer` gives the value of a query of one column that
/// does not depend on rows around it: a literal, or why there is none.
pub(super) fn prepared(
    mut query: Query,
    answer: &mut dyn FnMut(Query) -> Result<Value, Refusal>,
) -> Result<Query, Refusal> {
    stop(VisitMut::visit(&mut query, &mut Refusals))?;
    let _ = VisitMut::visit(&mut query, &mut Meaning);
    let outside: BTreeSet<String> = relation_names(&query).into_iter().collect();
    constants(&mut query, &outside, &[], answer)?;
    names::meant(&mut query)?;
    stop(VisitMut::visit(&mut query, &mut OfConstants))?;
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
            "SELECT g AS h, avg(x) - lag(avg(x)) OVER (ORDER BY count(*)) AS d FROM t GROUP BY h HAVING count(*) > 1",
        )
        .unwrap();
        assert_eq!(
            text,
            "SELECT \"__stage_key_0\" AS h, \"__stage_value_0\" - lag(\"__stage_value_0\") OVER (ORDER BY \"__stage_value_1\") AS d \
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
        assert!(text.contains("LEFT JOIN (SELECT * FROM p AS x WHERE x.model = 'a') AS \"x\" ON m.k = x.k"), "{text}");
        let text =
            prepared_text("SELECT m.source FROM masks m LEFT JOIN metrics x ON m.mask_id = x.mask_id AND dice > 0.9");
        assert!(
            text.unwrap().contains("(SELECT * FROM metrics x WHERE x.dice > 0.9) AS \"x\" ON m.mask_id = x.mask_id")
        );
        let text = prepared_text("SELECT m.a FROM m RIGHT JOIN p ON m.k = p.k AND m.a > 1").unwrap();
        assert!(text.contains("(SELECT * FROM m WHERE m.a > 1) AS \"m\" RIGHT JOIN p ON m.k = p.k"), "{text}");
    }

    #[test]
    fn an_inner_join_keeps_equalities_and_an_outer_join_takes_nothing_else() {
        let text = prepared_text("SELECT m.a FROM m JOIN p ON m.k = p.k AND m.a > p.b").unwrap();
        assert!(text.ends_with("FROM m JOIN p ON m.k = p.k WHERE (m.a > p.b)"), "{text}");
        let text = prepared_text("SELECT m.a FROM m JOIN p ON m.a > p.b").unwrap();
        assert!(text.ends_with("FROM m CROSS JOIN p WHERE (m.a > p.b)"), "{text}");
        for kind in ["LEFT", "RIGHT", "FULL", "LEFT SEMI", "LEFT ANTI"] {
            for condition in ["m.a < p.b", "m.a + 1 = p.b", "(m.a > 1 OR p.b > 1)", "m.a = p.b + 1"] {
                let sql = format!("SELECT 1 FROM m {kind} JOIN p ON m.k = p.k AND {condition}");
                let reason = prepared_text(&sql).unwrap_err();
                assert!(reason.contains("Filter in a subquery first"), "{sql}: {reason}");
            }
        }
        assert!(prepared_text("SELECT 1 FROM m FULL JOIN p ON m.k = p.k AND p.b > 1").is_err());
        assert!(prepared_text("SELECT 1 FROM m LEFT JOIN p ON m.k = p.k AND m.b > 1").is_err());
        let reason = prepared_text("SELECT 1 FROM masks m JOIN metrics x ON m.mask_id = x.mask_id AND source = 'a'");
        assert!(reason.unwrap_err().contains("source is ambiguous between m and x"));
    }

    #[test]
    fn names_are_those_of_the_tables_and_of_the_nearest_with() {
        let text = prepared_text("SELECT M.Area_Px FROM masks AS m WHERE TARGET = 'a'").unwrap();
        assert_eq!(text, "SELECT m.area_px FROM masks AS m WHERE target = 'a'");
        let own = |sql: &str| {
            let Statement::Query(mut query) = parse(sql).unwrap() else { unreachable!() };
            own_names(&mut query);
            query.to_string()
        };
        assert_eq!(
            own("WITH metrics AS (SELECT * FROM metrics) SELECT count(*) FROM metrics WHERE metrics.dice > 0"),
            "WITH __stage_with_0_metrics AS (SELECT * FROM metrics) \
             SELECT count(*) FROM __stage_with_0_metrics AS metrics WHERE metrics.dice > 0"
        );
        assert_eq!(
            own("WITH x AS (SELECT 1) SELECT * FROM (WITH x AS (SELECT * FROM x) SELECT * FROM x) AS y, x"),
            "WITH x AS (SELECT 1), __stage_with_0_x AS (SELECT * FROM x) \
             SELECT * FROM (SELECT * FROM __stage_with_0_x AS x) AS y, x"
        );
    }

    #[test]
    fn a_constant_counts_for_every_row() {
        let text = prepared_text("SELECT sum(1) AS n FROM t GROUP BY g").unwrap();
        assert!(text.contains("THEN (1) * \"__stage_value_0\" END"), "{text}");
        let text = prepared_text("SELECT sum(1.5) OVER (PARTITION BY g) AS n FROM t").unwrap();
        assert!(text.contains("count(*) OVER (PARTITION BY g)"), "{text}");
        let text = prepared_text("SELECT sum(count(*)) OVER () AS n FROM t GROUP BY g").unwrap();
        assert!(text.starts_with("SELECT sum(\"__stage_value_0\") OVER () AS n"), "{text}");
        assert!(prepared_text("SELECT string_agg('a', ',') FROM t").unwrap_err().contains("of a constant"));
    }

    #[test]
    fn an_expression_is_ordered_by_columns() {
        let text = prepared_text("SELECT -area_px AS area_px FROM masks ORDER BY -area_px, area_px").unwrap();
        assert_eq!(
            text,
            "SELECT area_px FROM (SELECT -area_px AS area_px, -area_px AS \"__stage_order_0\" FROM masks) AS \"__stage_\" \
             ORDER BY \"__stage_order_0\" NULLS LAST, area_px NULLS LAST"
        );
        assert!(prepared_text("SELECT DISTINCT target FROM masks ORDER BY area_px").unwrap_err().contains("DISTINCT"));
    }

    #[test]
    fn columns_of_a_join_have_a_stage_of_their_own() {
        let text = prepared_text("SELECT b.g, avg(a.x) AS d FROM a JOIN b ON a.k = b.k GROUP BY b.g").unwrap();
        assert!(
            text.contains(
                "(SELECT b.g AS \"__stage_column_0\", a.x AS \"__stage_column_1\" FROM a JOIN b ON a.k = b.k)"
            ),
            "{text}"
        );
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
            ("SELECT sum(perceptual_hash) AS h FROM t", "compared"),
            ("SELECT area_px * 100000000000000000 FROM masks", "64-bit"),
            ("SELECT sum(area_px * area_px * area_px) FROM masks", "64-bit"),
            ("SELECT bool_and(a > 1) FROM t", "not supported"),
            ("SELECT substr(a, -3, 2) FROM t", "right("),
            ("SELECT 1; SELECT 2", "one statement"),
        ] {
            let reason = prepared_text(sql).unwrap_err();
            assert!(reason.contains(words), "{sql}: {reason}");
        }
    }
}
