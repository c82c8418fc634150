//! Rows of results as a polars frame.

/// Makes a `DataFrame` of a slice of rows, a column for each `name: expression of the row`.
macro_rules! frame_of {
    ($rows:expr, |$row:ident| { $($name:literal: $value:expr),+ $(,)? }) => {
        polars::prelude::DataFrame::new_infer_height(vec![$(
            polars::prelude::Column::new(
                $name.into(),
                $rows.iter().map(|$row| $value).collect::<Vec<_>>(),
            )
        ),+])
    };
}

pub(super) use frame_of;
