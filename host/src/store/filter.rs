//! A statement whose conditions depend on what is asked for, so that each form of it can use its index.

use super::{Engine, Row, Store, StoreError};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Type};
use std::fmt::Write as _;

/// A statement under construction; every value is bound, never written into the text.
pub(super) struct Filter {
    sql: String,
    args: <Engine as sqlx::Database>::Arguments,
    fault: Option<sqlx::Error>,
    values: usize,
}

impl Filter {
    /// Begins with a `SELECT … FROM … WHERE true` of constant text.
    pub(super) fn new(head: &'static str) -> Self {
        Self { sql: format!("{head} WHERE true"), args: <_>::default(), fault: None, values: 0 }
    }

    /// Adds a condition of constant text in which `?` stands for the value.
    pub(super) fn and<'t, T: Encode<'t, Engine> + Type<Engine>>(
        &mut self,
        condition: &'static str,
        value: T,
    ) {
        self.text(" AND ");
        self.with(condition, value);
    }

    /// Adds a condition on a pair, `(?, ?)` for its values.
    pub(super) fn and_pair<'t, A, B>(&mut self, condition: &'static str, pair: (A, B))
    where
        A: Encode<'t, Engine> + Type<Engine>,
        B: Encode<'t, Engine> + Type<Engine>,
    {
        self.text(" AND ");
        let (first, second) = condition.split_once('?').unwrap_or((condition, ""));
        self.text(first);
        self.bind(pair.0);
        self.with(second, pair.1);
    }

    /// Adds constant text.
    pub(super) fn text(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    /// Adds constant text in which `?` stands for the value.
    pub(super) fn with<'t, T: Encode<'t, Engine> + Type<Engine>>(&mut self, text: &str, value: T) {
        let (before, after) = text.split_once('?').unwrap_or((text, ""));
        self.text(before);
        self.bind(value);
        self.text(after);
    }

    fn bind<'t, T: Encode<'t, Engine> + Type<Engine>>(&mut self, value: T) {
        self.values += 1;
        let _infallible = write!(self.sql, "${}", self.values);
        if let Err(error) = self.args.add(value) {
            self.fault.get_or_insert(sqlx::Error::Encode(error));
        }
    }

    /// Runs it on a reader.
    pub(super) async fn rows(self, store: &Store) -> Result<Vec<Row>, StoreError> {
        if let Some(fault) = self.fault {
            return Err(fault.into());
        }
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.args).fetch_all(&store.readers).await?)
    }

    /// The text, for tests that look at its plan.
    #[cfg(test)]
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }
}
