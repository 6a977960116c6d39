//! hook-name: greets who logs in to the worker.

use biomero_hooks_guest::{
    Context, Description, Effect, File, Hook, HookError, description, export,
};

struct Motd;

impl Hook for Motd {
    /// What it wants to know. `[grants]` in hook.toml must hold as much.
    fn describe() -> Description {
        description!("greets who logs in to the worker")
            .setting("omero.directory")
            .setting("worker.name")
            .variable("MOTD_CONTACT")
    }

    /// What should be. It happens when all of it is granted.
    fn plan(context: &Context) -> Result<Vec<Effect>, HookError> {
        let omero = context.setting("omero.directory")?;
        let worker = context.setting("worker.name")?;
        let mut text = format!("Welcome to {worker}.\n");
        if let Some(contact) = context.optional_variable("MOTD_CONTACT") {
            text += &format!("Questions: {contact}\n");
        }
        Ok(vec![File::text(format!("{omero}/etc/motd"), text).into()])
    }
}

export!(Motd);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_contact_it_only_welcomes() {
        let context = Context::empty()
            .with_setting("omero.directory", "/omero")
            .with_setting("worker.name", "biomeroworker");
        let expected = File::text("/omero/etc/motd", "Welcome to biomeroworker.\n");
        assert_eq!(Motd::plan(&context).unwrap(), [expected.into()]);
    }
}
