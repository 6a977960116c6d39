//! `nat-worker`: the IceGrid node's configuration for a worker behind a router that forwards one port.
//!
//! Stands in for the built-in `icegrid-node`, which knows one port: the one that the node listens on is the one that
//! it announces. Here the router's address and port are announced, and the node listens on its own:
//!
//! | what | from | if that is not set |
//! |---|---|---|
//! | announced address | `BIOMERO_PUBLIC_ADDRESS` | `worker.address` |
//! | announced port | `BIOMERO_PUBLIC_PORT` | the local port |
//! | local address | `worker.bind` | all, `0.0.0.0` |
//! | local port | `worker.port` | 4062 |

mod host;

use biomero_hooks_guest::{
    Context, Description, Directory, Effect, File, FileState, Hook, HookError, description, export,
};

struct NatWorker;

const VARIABLE_DIRECTORY: &str = "{omero.directory}/var/{worker.name}";
const LOG_DIRECTORY: &str = "{omero.directory}/var/log";
const LOCAL_PORT: u16 = 4062;

impl Hook for NatWorker {
    fn describe() -> Description {
        description!("writes etc/NAME.cfg for a node that is reached through a forwarded port")
            .setting("omero.directory")
            .setting("worker.address")
            .setting("worker.bind")
            .setting("worker.name")
            .setting("worker.port")
            .variable("BIOMERO_PUBLIC_ADDRESS")
            .variable("BIOMERO_PUBLIC_PORT")
            .file(VARIABLE_DIRECTORY)
            .file(LOG_DIRECTORY)
    }

    fn plan(context: &Context) -> Result<Vec<Effect>, HookError> {
        let omero = context.setting("omero.directory")?;
        let name = context.setting("worker.name")?;
        check_name(name)?;
        let node = Node::of(context, name)?;

        let mut effects = vec![];
        for asked in [VARIABLE_DIRECTORY, LOG_DIRECTORY] {
            effects.extend(directory(context, asked)?);
        }
        effects.push(File::text(format!("{omero}/etc/{name}.cfg"), node.configuration()).into());
        effects.push(Effect::notice(format!(
            "the router must forward {} to port {} of this worker",
            node.announced(),
            node.local_port
        )));
        Ok(effects)
    }
}

export!(NatWorker);

/// A directory that the node writes in: made where there is none, and left as it is where there is one, since a
/// volume's mode is its owner's affair.
fn directory(context: &Context, asked: &str) -> Result<Option<Effect>, HookError> {
    let found = context.file(asked)?;
    match &found.state {
        FileState::Absent => Ok(Some(Directory::new(&found.path).into())),
        FileState::Directory => Ok(None),
        _ => Err(HookError::invalid(&found.path, "is not a directory", "move it away")),
    }
}

/// The name is a file name, a directory name and a line of the file.
fn check_name(name: &str) -> Result<(), HookError> {
    let well_formed = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let taken = matches!(name, "internal" | "master");
    if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(well_formed) || taken {
        return Err(HookError::invalid(
            "worker.name",
            format!("{name:?} cannot name a node"),
            "use letters, digits, '.', '-' and '_', and neither internal nor master",
        ));
    }
    Ok(())
}

/// What the endpoint lines are made of.
struct Node<'a> {
    name: &'a str,
    public_address: String,
    public_port: u16,
    local_address: String,
    local_port: u16,
}

impl<'a> Node<'a> {
    fn of(context: &'a Context, name: &'a str) -> Result<Self, HookError> {
        let local_port = context.parsed_setting("worker.port")?.unwrap_or(LOCAL_PORT);
        let (from, public_address) = match context.optional_variable("BIOMERO_PUBLIC_ADDRESS") {
            Some(address) => ("BIOMERO_PUBLIC_ADDRESS", address),
            None => ("worker.address", context.optional_setting("worker.address").unwrap_or_default()),
        };
        if public_address.is_empty() {
            return Err(HookError::missing(
                "BIOMERO_PUBLIC_ADDRESS",
                "set it to the address or name by which the master reaches the router in front of this worker",
            ));
        }
        Ok(Self {
            name,
            public_address: host::checked(from, public_address)?,
            public_port: port(context.parsed_variable("BIOMERO_PUBLIC_PORT")?, local_port)?,
            local_address: host::checked(
                "worker.bind",
                context.optional_setting("worker.bind").unwrap_or("0.0.0.0"),
            )?,
            local_port,
        })
    }

    fn announced(&self) -> String {
        format!("tcp -h {} -p {}", host::in_endpoint(&self.public_address), self.public_port)
    }

    fn configuration(&self) -> String {
        let Self { name, local_port, .. } = self;
        format!(
            "# IceGrid node behind NAT. Written at every start by the site hook nat-worker.\n\
             IceGrid.Node.Endpoints=tcp -h {} -p {local_port}\n\
             IceGrid.Node.PublishedEndpoints={}\n\
             IceGrid.Node.Name={name}\n\
             IceGrid.Node.Data=var/{name}\n\
             IceGrid.Node.Output=var/log\n\
             \n\
             Ice.StdOut=var/log/{name}.out\n\
             Ice.StdErr=var/log/{name}.err\n",
            host::in_endpoint(&self.local_address),
            self.announced(),
        )
    }
}

/// Zero would let the system choose, of which the router knows nothing.
fn port(given: Option<u16>, otherwise: u16) -> Result<u16, HookError> {
    match given {
        Some(0) => Err(HookError::invalid(
            "BIOMERO_PUBLIC_PORT",
            "0 is no port",
            "give the forwarded port, as 14062",
        )),
        Some(port) => Ok(port),
        None => Ok(otherwise),
    }
}

#[cfg(test)]
mod tests;
