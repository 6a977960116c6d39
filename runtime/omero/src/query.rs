//! Queries: named parameters, and rows.

use std::collections::BTreeMap;

use biomero_ice::encoding::{Handle, Ref};

use crate::error::Error;
use crate::service::Graph;
use crate::types::api::IQuery;
use crate::types::{RInt, RLong, RType, sys};
use crate::values::{Objects, Opener, Value, Values as _};

/// What varies in a query: by names, and which part of the answer is wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryParameters {
    values: BTreeMap<String, Value>,
    page: Option<(i32, i32)>,
    owner: Option<i64>,
    group: Option<i64>,
}

impl QueryParameters {
    /// Nothing varies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands for `:name`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// A whole number, mostly an id.
    #[must_use]
    pub fn long(self, name: &str, value: i64) -> Self {
        self.with(name, Value::Long(value))
    }

    /// Several of them: `in (:name)`.
    #[must_use]
    pub fn longs(self, name: &str, values: &[i64]) -> Self {
        self.with(name, Value::List(values.iter().copied().map(Value::Long).collect()))
    }

    /// A text.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.with(name, Value::Text(value.to_owned()))
    }

    /// Of the rows, those from `offset` on, and no more than `limit`. Only in an order that the query says.
    #[must_use]
    pub fn page(mut self, offset: i32, limit: i32) -> Self {
        self.page = Some((offset, limit));
        self
    }

    /// Only what belongs to this user.
    #[must_use]
    pub fn owner(mut self, id: i64) -> Self {
        self.owner = Some(id);
        self
    }

    /// Only what belongs to this group.
    #[must_use]
    pub fn group(mut self, id: i64) -> Self {
        self.group = Some(id);
        self
    }

    /// As OMERO takes them.
    pub fn store(&self, objects: &mut Objects) -> Option<Ref<sys::Parameters>> {
        let map = self.values.iter().map(|(name, value)| (name.clone(), value.store(objects))).collect();
        let mut parameters = sys::Parameters { map, ..sys::Parameters::default() };
        if self.page.is_some() || self.owner.is_some() || self.group.is_some() {
            let filter = sys::Filter {
                offset: self.page.and_then(|(offset, _)| objects.put(RInt::from(offset))),
                limit: self.page.and_then(|(_, limit)| objects.put(RInt::from(limit))),
                owner_id: self.owner.and_then(|owner| objects.put(RLong::from(owner))),
                group_id: self.group.and_then(|group| objects.put(RLong::from(group))),
                ..sys::Filter::default()
            };
            parameters.the_filter = objects.put(filter);
        }
        objects.put(parameters)
    }
}

/// A row of a projection: values by their column, from 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row(Vec<Value>);

impl Row {
    /// How many columns it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whatever is there.
    #[must_use]
    pub fn value(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// A whole number, an int or a long.
    ///
    /// # Errors
    /// There is something else.
    pub fn long(&self, column: usize) -> Result<i64, Error> {
        self.maybe_long(column)?.ok_or_else(|| self.wrong(column, "a whole number"))
    }

    /// A whole number or nothing.
    ///
    /// # Errors
    /// There is something else.
    pub fn maybe_long(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(i64::from(*value))),
            Value::Long(value) | Value::Time(value) => Ok(Some(*value)),
            _ => Err(self.wrong(column, "a whole number")),
        }
    }

    /// A number or nothing.
    ///
    /// # Errors
    /// There is something else.
    pub fn maybe_double(&self, column: usize) -> Result<Option<f64>, Error> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(f64::from(*value))),
            Value::Float(value) => Ok(Some(f64::from(*value))),
            Value::Double(value) => Ok(Some(*value)),
            _ => Err(self.wrong(column, "a number")),
        }
    }

    /// Whether.
    ///
    /// # Errors
    /// There is something else.
    pub fn flag(&self, column: usize) -> Result<bool, Error> {
        match self.value(column) {
            Value::Bool(value) => Ok(*value),
            _ => Err(self.wrong(column, "a bool")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// There is something else.
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        self.maybe_text(column)?.ok_or_else(|| self.wrong(column, "a text"))
    }

    /// A text or nothing.
    ///
    /// # Errors
    /// There is something else.
    pub fn maybe_text(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.wrong(column, "a text")),
        }
    }

    fn wrong(&self, column: usize, wanted: &'static str) -> Error {
        Error::Column { column, wanted, found: self.value(column).kind() }
    }
}

impl IQuery {
    /// The rows of a query that selects values (`projection`): no instances are sent, which is a fraction of the bytes.
    ///
    /// # Errors
    /// As for every call.
    pub async fn rows(&self, query: &'static str, parameters: &QueryParameters) -> Result<Vec<Row>, Error> {
        let mut objects = Objects::new();
        let parameters = parameters.store(&mut objects);
        let rows: Graph<Vec<Vec<Option<Ref<RType>>>>> = self.projection(query, parameters, &objects).await?;
        let mut opener = Opener::new(&rows.objects);
        if !opener.has_room(rows.value.iter().map(Vec::len).sum()) {
            let problem = format!(
                "a query has {} rows, which are too many at once; ask for them by pages",
                rows.value.len()
            );
            return Err(Error::Protocol { problem });
        }
        let read = |row: &Vec<Option<Ref<RType>>>| Row(row.iter().map(|value| opener.open(*value)).collect());
        Ok(rows.value.iter().map(read).collect())
    }

    /// The one object that a query selects, with what it fetches.
    ///
    /// # Errors
    /// There are several, it is of another class, or as for every call.
    pub async fn one<T: 'static>(
        &self,
        query: &'static str,
        parameters: &QueryParameters,
    ) -> Result<Graph<Option<Ref<T>>>, Error> {
        let mut objects = Objects::new();
        let parameters = parameters.store(&mut objects);
        let Graph { value, objects } = self.find_by_query(query, parameters, &objects).await?;
        let value = value.map(|instance| of_class::<T>(&objects, instance.into())).transpose()?;
        Ok(Graph { value, objects })
    }

    /// All objects that a query selects, with what it fetches.
    ///
    /// # Errors
    /// They are of another class, or as for every call.
    pub async fn all<T: 'static>(
        &self,
        query: &'static str,
        parameters: &QueryParameters,
    ) -> Result<Graph<Vec<Ref<T>>>, Error> {
        let mut objects = Objects::new();
        let parameters = parameters.store(&mut objects);
        let Graph { value, objects } = self.find_all_by_query(query, parameters, &objects).await?;
        let found = value.into_iter().flatten().map(|instance| of_class::<T>(&objects, instance.into()));
        let value = found.collect::<Result<_, _>>()?;
        Ok(Graph { value, objects })
    }
}

/// A reference as one of this class, which the instance has to be.
fn of_class<T: 'static>(objects: &Objects, instance: Handle) -> Result<Ref<T>, Error> {
    if objects.get::<T>(instance).is_some() {
        return Ok(instance.into());
    }
    let found = objects.type_id(instance).unwrap_or_else(|| "nothing".to_owned());
    let wanted = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    Err(Error::Protocol { problem: format!("a query has found {found} where {wanted} was asked for") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_named_and_only_what_is_wanted_is_filtered() {
        let mut objects = Objects::new();
        let stored =
            QueryParameters::new().long("id", 7).longs("ids", &[1, 2]).text("name", "a").store(&mut objects);
        let parameters = objects.at(stored).unwrap();
        assert_eq!(parameters.the_filter, None);
        let value = |name: &str| Value::read(&objects, parameters.map[name]);
        assert_eq!(value("id"), Value::Long(7));
        assert_eq!(value("ids"), Value::List(vec![Value::Long(1), Value::Long(2)]));
        assert_eq!(value("name"), Value::Text("a".to_owned()));

        let mut objects = Objects::new();
        let stored = QueryParameters::new().page(10, 5).group(3).store(&mut objects);
        let filter = objects.at(objects.at(stored).unwrap().the_filter).unwrap();
        assert_eq!((objects.int(filter.offset), objects.int(filter.limit)), (Some(10), Some(5)));
        assert_eq!((objects.long(filter.group_id), filter.owner_id), (Some(3), None));
    }

    #[test]
    fn a_row_tells_what_is_in_the_wrong_column() {
        let row = Row(vec![Value::Int(5), Value::Text("a".to_owned()), Value::Null]);
        assert_eq!(row.long(0).unwrap(), 5);
        assert_eq!((row.maybe_text(2).unwrap(), row.maybe_long(9).unwrap()), (None, None));
        assert_eq!(row.long(1).unwrap_err().to_string(), "column 1 of a row is a text, not a whole number");
        assert_eq!(row.text(2).unwrap_err().to_string(), "column 2 of a row is null, not a text");
    }
}
