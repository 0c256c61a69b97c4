//! Many rows in few statements: one `INSERT` of up to 64 rows, in fixed sizes so that each is prepared once.

use super::{Connection, Engine, StoreError};
use sqlx::{Arguments, AssertSqlSafe, Encode, Type};

/// Rows in one statement, largest first; any count is made of these.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

type Args = <Engine as sqlx::Database>::Arguments;

/// The words around the rows of a statement.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// `INSERT INTO t (a, b)`.
    pub(super) head: &'static str,
    /// How many columns a row has.
    pub(super) columns: usize,
    /// `ON CONFLICT …`, `RETURNING …`, or nothing.
    pub(super) tail: &'static str,
}

/// Collects the values of a statement; the first that can't be encoded fails the statement.
pub(super) struct Binder {
    args: Args,
    fault: Option<sqlx::Error>,
}

impl Binder {
    /// Adds the next value.
    pub(super) fn add<'t, T: Encode<'t, Engine> + Type<Engine>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.args.add(value) {
            self.fault.get_or_insert(sqlx::Error::Encode(error));
        }
        self
    }
}

/// Inserts all rows; `bind` adds one row's values.
pub(super) async fn insert<T: Sync>(
    connection: &mut Connection,
    shape: Shape,
    rows: &[T],
    bind: fn(&T, &mut Binder),
) -> Result<(), StoreError> {
    for (sql, args) in statements(shape, rows, bind)? {
        sqlx::query_with(AssertSqlSafe(sql), args).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What one statement of several inserted.
pub(super) struct Inserted {
    /// Rows it was given.
    pub(super) given: usize,
    /// The rowids of those it stored: adjacent, in the order given.
    pub(super) stored: std::ops::Range<i64>,
}

/// Inserts all rows into a table that counts its own rowids, and tells which ones they got. Much cheaper than to have
/// each row returned: rows that are stored by one statement get adjacent rowids.
pub(super) async fn insert_numbered<T: Sync>(
    connection: &mut Connection,
    shape: Shape,
    rows: &[T],
    bind: fn(&T, &mut Binder),
) -> Result<Vec<Inserted>, StoreError> {
    let mut inserted = Vec::new();
    let mut rest = rows.len();
    for (sql, args) in statements(shape, rows, bind)? {
        let given = size(rest);
        rest -= given;
        let done = sqlx::query_with(AssertSqlSafe(sql), args).execute(&mut *connection).await?;
        let last = done.last_insert_rowid();
        let stored = i64::try_from(done.rows_affected()).unwrap_or(0);
        inserted.push(Inserted { given, stored: last + 1 - stored..last + 1 });
    }
    Ok(inserted)
}

/// How many of so many rows go into the next statement.
fn size(rows: usize) -> usize {
    SIZES.into_iter().find(|size| *size <= rows).unwrap_or(1)
}

fn statements<T>(
    shape: Shape,
    rows: &[T],
    bind: fn(&T, &mut Binder),
) -> Result<Vec<(String, Args)>, StoreError> {
    let mut made = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size(rest.len()));
        rest = after;
        let mut binder = Binder { args: Args::default(), fault: None };
        for row in chunk {
            bind(row, &mut binder);
        }
        if let Some(fault) = binder.fault {
            return Err(fault.into());
        }
        made.push((text(shape, chunk.len()), binder.args));
    }
    Ok(made)
}

/// The statement's words. Its placeholders have no numbers: SQLite looks named ones up one by one at each binding, which
/// for the 640 of a large statement took as long as the inserting.
fn text(shape: Shape, rows: usize) -> String {
    let mut sql = String::with_capacity(shape.head.len() + shape.tail.len() + rows * shape.columns * 2 + 16);
    sql.push_str(shape.head);
    sql.push_str(" VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..shape.columns {
            sql.push_str(if column == 0 { "?" } else { ",?" });
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(shape.tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_placeholders() {
        let shape = Shape { head: "INSERT INTO t (a, b)", columns: 2, tail: "ON CONFLICT DO NOTHING" };
        assert_eq!(text(shape, 2), "INSERT INTO t (a, b) VALUES (?,?),(?,?) ON CONFLICT DO NOTHING");
    }
}
