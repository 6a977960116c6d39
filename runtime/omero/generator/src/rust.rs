//! The table as Rust for `biomero-omero`: types by the macros of `biomero-ice`, which say how each stands on the wire, and a type
//! for each service.
//!
//! What is printed is small: a line for a type, a few for an operation. What many of them share is written by hand there.

mod names;
mod services;
mod types;

use std::collections::BTreeMap;

use crate::check::Checked;
use crate::schema::Name;

/// Modules, each with what is in it.
#[derive(Default)]
struct Modules(BTreeMap<Vec<String>, String>);

impl Modules {
    fn of(&mut self, name: &Name) -> &mut String {
        self.0.entry(names::modules(name)).or_default()
    }

    /// Nested, below the root.
    fn print(mut self) -> String {
        let mut root = self.0.remove(&Vec::new()).unwrap_or_default();
        let mut open: Vec<String> = Vec::new();
        for (path, content) in self.0 {
            let same = open.iter().zip(&path).take_while(|(left, right)| left == right).count();
            while open.len() > same {
                root.push_str("}\n");
                open.pop();
            }
            for module in path.iter().skip(same) {
                root.push_str(&format!("pub mod {} {{\n", names::snake(module)));
                open.push(module.clone());
            }
            root.push_str(&content);
        }
        root.push_str(&"}\n".repeat(open.len()));
        root
    }
}

/// Prints it.
#[must_use]
pub fn print(checked: &Checked) -> String {
    let mut modules = Modules::default();
    for definition in checked.definitions() {
        types::print(checked, definition, modules.of(&definition.name));
    }
    for service in checked.services() {
        let module = modules.of(&service.name);
        services::print(checked, service, module);
        if service.served {
            services::print_servant(checked, service, module);
        }
    }
    let mut root = types::print_exceptions(checked);
    root.push_str(&types::print_registry(checked));
    modules.0.entry(Vec::new()).or_default().push_str(&root);
    modules.print()
}

#[cfg(test)]
mod tests {
    #[test]
    fn modules_nest_and_close() {
        let table = "class A\nclass m.B < A: type int, keys {m.n.K: [byte]}\nstruct m.n.K: a int\nenum z.E: RED_BLUE\nservice m.S\n\
                     op m.S.getIt idempotent (a string, b m.B) -> m.S*";
        let rust = super::print(&crate::read(&[("a table", table)]).unwrap());
        let depth = rust.chars().fold(0_i32, |depth, character| match character {
            '{' => depth + 1,
            '}' => depth - 1,
            _ => depth,
        });
        assert_eq!(depth, 0, "{rust}");
        for part in [
            "use crate::types::A as RootA;",
            "pub struct B: RootA = \"::omero::m::B\" { pub r#type: i32, pub keys: \
             ::std::collections::BTreeMap<crate::types::m::n::K, ::bytes::Bytes>, }",
            "#[derive(Eq, PartialOrd, Ord)] pub struct K",
            "pub enum E { RedBlue = 0, }",
            "pub async fn get_it(&self, a: &str, b: Option<::biomero_ice::encoding::Ref<crate::types::m::B>>, \
             objects: &::biomero_ice::encoding::Objects)",
            "impl crate::Extends<crate::types::A> for B {}",
        ] {
            assert!(rust.contains(part), "{part} is not in:\n{rust}");
        }
    }
}
