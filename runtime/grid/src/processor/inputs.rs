//! Whether what a job was given fits what its script says that it takes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use biomero_ice::encoding::{Objects, Ref};
use biomero_omero::grid::{JobParams, Param};
use biomero_omero::types::{RCollection, RMap, RType};
use biomero_omero::{Graph, Value};

/// How deep lists of lists are looked at.
const DEPTH: usize = 8;

/// Inputs, as a session has them.
pub(super) type Inputs = Graph<BTreeMap<String, Option<Ref<RType>>>>;

/// What there is to say of them.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What is wrong, a line each, in OMERO's words.
    pub(super) errors: String,
    /// What was left out and has a default: the name, and where among the parameters' objects it is.
    pub(super) defaults: Vec<(String, Ref<RType>)>,
}

/// Checks them. Inputs of which the script knows nothing are none of our business.
pub(super) fn check(parameters: &JobParams, objects: &Objects, inputs: &Inputs) -> Checked {
    let mut checked = Checked::default();
    for (key, parameter) in &parameters.inputs {
        let Some(parameter) = parameter.and_then(|parameter| objects.get::<Param>(parameter)) else {
            continue;
        };
        match inputs.value.get(key).copied().flatten() {
            Some(input) => checked.errors += &problems(key, parameter, objects, input, &inputs.objects),
            None => match parameter.prototype.filter(|_| parameter.use_default) {
                Some(prototype) => checked.defaults.push((key.clone(), prototype)),
                None if parameter.optional => {}
                None => checked.errors += &said("Missing input", key, ""),
            },
        }
    }
    checked
}

fn said(category: &str, key: &str, problem: &str) -> String {
    format!("{} for \"{key}\": {problem}\n", category.to_uppercase())
}

fn problems(key: &str, parameter: &Param, objects: &Objects, input: Ref<RType>, given: &Objects) -> String {
    let mut errors = String::new();
    if let Some(prototype) = parameter.prototype {
        errors += &types(key, (prototype, objects), (input, given), DEPTH);
    }
    let values = flat(Value::read(given, Some(input)));
    let [min, max] = [parameter.min, parameter.max].map(|bound| Value::read(objects, bound));
    for value in &values {
        if order(value, &min) == Some(Ordering::Less) {
            errors += &said("Out of bounds", key, &format!("{} is below min {}", shown(value), shown(&min)));
        }
        if order(value, &max) == Some(Ordering::Greater) {
            errors += &said("Out of bounds", key, &format!("{} is above max {}", shown(value), shown(&max)));
        }
    }
    let allowed =
        parameter.values.map(|values| flat(Value::read(objects, Some(up(values))))).unwrap_or_default();
    if !allowed.is_empty() {
        for value in values.iter().filter(|value| !allowed.contains(value)) {
            let allowed: Vec<String> = allowed.iter().map(shown).collect();
            errors += &said("Value list", key, &format!("{} not in [{}]", shown(value), allowed.join(", ")));
        }
    }
    errors
}

fn up<T>(reference: Ref<T>) -> Ref<RType> {
    biomero_ice::encoding::Handle::from(reference).into()
}

/// Whether it is of the prototype's type, and what is in it of the type of what is in that.
fn types(
    key: &str,
    prototype: (Ref<RType>, &Objects),
    input: (Ref<RType>, &Objects),
    depth: usize,
) -> String {
    let name = |(reference, objects): (Ref<RType>, &Objects)| objects.type_id(reference).unwrap_or_default();
    let (wanted, found) = (name(prototype), name(input));
    if wanted != found {
        return said("Wrong type", key, &format!("{found} != {wanted}"));
    }
    let Some(depth) = depth.checked_sub(1) else { return String::new() };
    let Some(prototype_inside) = inside(prototype).first().copied() else { return String::new() };
    let inside = inside(input).into_iter();
    inside.map(|one| types(key, (prototype_inside, prototype.1), (one, input.1), depth)).collect()
}

fn inside((reference, objects): (Ref<RType>, &Objects)) -> Vec<Ref<RType>> {
    if let Some(list) = objects.get::<RCollection>(reference) {
        list.val.iter().flatten().copied().collect()
    } else if let Some(map) = objects.get::<RMap>(reference) {
        map.val.values().flatten().copied().collect()
    } else {
        Vec::new()
    }
}

/// What is in lists, or the one value.
fn flat(value: Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::List(values) => values.into_iter().flat_map(flat).collect(),
        other => vec![other],
    }
}

/// Numbers and texts have an order, whatever their boxes.
fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (
            Value::Int(_) | Value::Long(_) | Value::Time(_),
            Value::Int(_) | Value::Long(_) | Value::Time(_),
        ) => whole(one).zip(whole(other)).map(|(one, other)| one.cmp(&other)),
        _ => number(one)?.partial_cmp(&number(other)?),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some((*value).into()),
        Value::Long(value) | Value::Time(value) => Some(*value),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "one of two numbers that are compared is a fraction")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some((*value).into()),
        Value::Double(value) => Some(*value),
        other => whole(other).map(|value| value as f64),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.chars().take(200).collect(),
        Value::Float(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        other => whole(other).map_or_else(|| other.kind().to_owned(), |value| value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(edit: impl FnOnce(&mut Param, &mut Objects), input: Value) -> Checked {
        let mut objects = Objects::new();
        let mut parameter =
            Param { optional: true, prototype: Value::Int(3).store(&mut objects), ..Param::default() };
        edit(&mut parameter, &mut objects);
        let parameter = Some(objects.add(parameter));
        let parameters =
            JobParams { inputs: BTreeMap::from([("N".to_owned(), parameter)]), ..JobParams::default() };
        let mut given = Objects::new();
        let input = input.store(&mut given);
        let value = BTreeMap::from([("N".to_owned(), input), ("unknown".to_owned(), None)]);
        check(&parameters, &objects, &Graph { value, objects: given })
    }

    fn errors(edit: impl FnOnce(&mut Param, &mut Objects), input: Value) -> String {
        checked(edit, input).errors
    }

    fn list(values: &[i32]) -> Value {
        Value::List(values.iter().copied().map(Value::Int).collect())
    }

    #[test]
    fn what_fits_is_taken() {
        assert_eq!(errors(|_, _| {}, Value::Int(5)), "");
        assert_eq!(errors(|_, _| {}, Value::Null), "");
    }

    #[test]
    fn what_is_left_out_is_missing_unless_it_is_optional_or_has_a_default() {
        assert_eq!(
            errors(|parameter, _| parameter.optional = false, Value::Null),
            "MISSING INPUT for \"N\": \n"
        );
        let with_default = |parameter: &mut Param, _: &mut Objects| {
            parameter.optional = false;
            parameter.use_default = true;
        };
        let checked = checked(with_default, Value::Null);
        assert_eq!((checked.errors.as_str(), checked.defaults.len()), ("", 1));
    }

    #[test]
    fn a_type_is_what_the_script_says_also_in_lists() {
        assert_eq!(
            errors(|_, _| {}, Value::Long(5)),
            "WRONG TYPE for \"N\": ::omero::RLong != ::omero::RInt\n"
        );
        let of_ints =
            |parameter: &mut Param, objects: &mut Objects| parameter.prototype = list(&[1]).store(objects);
        assert_eq!(errors(of_ints, list(&[1, 2])), "");
        let mixed = Value::List(vec![Value::Int(1), Value::Text("two".to_owned())]);
        assert_eq!(errors(of_ints, mixed), "WRONG TYPE for \"N\": ::omero::RString != ::omero::RInt\n");
    }

    #[test]
    fn numbers_are_within_their_bounds() {
        let bounds = |parameter: &mut Param, objects: &mut Objects| {
            parameter.min = Value::Int(1).store(objects);
            parameter.max = Value::Double(9.5).store(objects);
        };
        assert_eq!(errors(bounds, Value::Int(0)), "OUT OF BOUNDS for \"N\": 0 is below min 1\n");
        assert_eq!(errors(bounds, Value::Int(10)), "OUT OF BOUNDS for \"N\": 10 is above max 9.5\n");
        assert_eq!(errors(bounds, Value::Int(9)), "");
    }

    #[test]
    fn a_value_is_one_of_those_that_are_listed() {
        let values = |parameter: &mut Param, objects: &mut Objects| {
            let values = list(&[1, 2]).store(objects).unwrap();
            parameter.values = Some(biomero_ice::encoding::Handle::from(values).into());
        };
        assert_eq!(errors(values, Value::Int(2)), "");
        assert_eq!(errors(values, Value::Int(3)), "VALUE LIST for \"N\": 3 not in [1, 2]\n");
    }
}
