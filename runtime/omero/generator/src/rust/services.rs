//! Services: a type to call each with, and for some a trait to answer with.

use std::fmt::Write as _;

use super::names::{borrowed, owned, path, snake};
use crate::check::Checked;
use crate::schema::{Operation, Service, Type};

pub(super) fn print(checked: &Checked, service: &Service, text: &mut String) {
    let (name, id) = (&service.name.simple, service.name.type_id());
    let base = service.base.as_ref().map_or_else(|| "crate::Service".to_owned(), |base| path(checked, base));
    let (of, inner) = match &service.base {
        Some(_) => ("crate::Remote::of(service)", "crate::Remote::service(&self.0)"),
        None => ("service", "&self.0"),
    };
    let _ = writeln!(
        text,
        "#[derive(Debug, Clone)]\npub struct {name}({base});\n\
         impl crate::Remote for {name} {{\nconst TYPE_ID: &'static str = \"{id}\";\n\
         fn of(service: crate::Service) -> Self {{ Self({of}) }}\n\
         fn service(&self) -> &crate::Service {{ {inner} }}\n}}"
    );
    if service.base.is_some() {
        let _ = writeln!(
            text,
            "impl ::std::ops::Deref for {name} {{\ntype Target = {base};\nfn deref(&self) -> &{base} {{ &self.0 }}\n}}"
        );
    }
    let _ = writeln!(text, "impl {name} {{");
    for operation in &service.operations {
        print_operation(checked, operation, text);
    }
    text.push_str("}\n");
}

fn print_operation(checked: &Checked, operation: &Operation, text: &mut String) {
    let mut parameters = String::new();
    let mut values = String::new();
    for parameter in &operation.parameters {
        let name = snake(&parameter.name);
        let _ = write!(parameters, ", {name}: {}", borrowed(checked, &parameter.of));
        let cloned = if matches!(parameter.of, Type::Proxy(_)) { ".cloned()" } else { "" };
        let _ = write!(values, "{name}{cloned}, ");
    }
    let with_instances = operation.parameters.iter().any(|parameter| checked.holds_instances(&parameter.of));
    let objects = if with_instances { "Some(objects)" } else { "None" };
    if with_instances {
        parameters.push_str(", objects: &::biomero_ice::encoding::Objects");
    }
    let (result, rest) = match &operation.result {
        None => ("()".to_owned(), ""),
        Some(Type::Proxy(name)) => {
            let of = if checked.service(name).is_some() {
                path(checked, name)
            } else {
                "crate::Service".to_owned()
            };
            (format!("Option<{of}>"), "?.proxy().await")
        }
        Some(of) if checked.holds_instances(of) => {
            (format!("crate::Graph<{}>", owned(checked, of)), "?.graph()")
        }
        Some(of) => (owned(checked, of), "?.value()"),
    };
    let call = if operation.result.is_some() { "ask" } else { "tell" };
    let _ = writeln!(
        text,
        "pub async fn {}(&self{parameters}) -> Result<{result}, crate::Error> {{ \
         crate::Remote::service(self).{call}(crate::Operation {{ name: \"{}\", idempotent: {} }}, {objects}, &({values})).await{rest} }}",
        snake(&operation.name),
        operation.name,
        operation.idempotent,
    );
}

pub(super) fn print_servant(checked: &Checked, service: &Service, text: &mut String) {
    let (name, id) = (&service.name.simple, service.name.type_id());
    let mut methods = String::new();
    let mut arms = String::new();
    for operation in &service.operations {
        let method = snake(&operation.name);
        let with_instances =
            operation.parameters.iter().any(|parameter| checked.holds_instances(&parameter.of));
        let mut declared = String::new();
        let (mut names, mut types) = (String::new(), String::new());
        for parameter in &operation.parameters {
            let (name, of) = (snake(&parameter.name), owned(checked, &parameter.of));
            let _ = write!(declared, ", {name}: {of}");
            let _ = write!(names, "{name}, ");
            let _ = write!(types, "{of}, ");
        }
        let given = if with_instances { format!("{names}objects") } else { names.clone() };
        let read = if with_instances {
            declared.push_str(", objects: ::biomero_ice::encoding::Objects");
            format!("let (({names}), objects) = call.parameters_with_objects::<({types})>()?;")
        } else {
            format!("let ({names}) = call.parameters::<({types})>()?;")
        };
        let (result, answer) = match &operation.result {
            None => ("()".to_owned(), "answered"),
            Some(of) if checked.holds_instances(of) => {
                (format!("crate::Graph<{}>", owned(checked, of)), "answered_graph")
            }
            Some(of) => (owned(checked, of), "answered"),
        };
        let _ = writeln!(
            methods,
            "fn {method}(&self, call: &::biomero_ice::Call{declared}) \
             -> impl ::std::future::Future<Output = Result<{result}, crate::Refused>> + Send;"
        );
        let _ = writeln!(
            arms,
            "\"{}\" => {{ {read} let result = self.0.{method}(&call, {given}).await; crate::servant::{answer}(&call, result) }}",
            operation.name
        );
    }
    let _ = writeln!(
        text,
        "pub trait {name}Servant: Send + Sync + 'static {{\n{methods}}}\n\
         #[derive(Debug)]\npub struct {name}Dispatch<S>(pub S);\n\
         impl<S: {name}Servant> ::biomero_ice::Servant for {name}Dispatch<S> {{\n\
         fn type_ids(&self) -> &[&'static str] {{ &[\"{id}\"] }}\n\
         fn answer(self: ::std::sync::Arc<Self>, call: ::biomero_ice::Call) -> ::biomero_ice::adapter::Answering {{\n\
         Box::pin(async move {{ match call.operation() {{\n{arms}_ => Err(call.unknown_operation()),\n}} }})\n}}\n}}"
    );
}
