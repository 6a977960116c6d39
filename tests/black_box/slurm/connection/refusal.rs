//! What keeps us out has a kind of its own and a remedy, and none of it weakens the check of host keys.

use super::*;

fn config(node: &Node, name: &str, text: &str) -> Result<SshOptions> {
    let path = node.control.path().join(name);
    std::fs::write(&path, text).map_err(Trouble::doing("write a configuration"))?;
    Ok(SshOptions { config: Some(path), ..node.options() })
}

/// The node's own configuration behind these lines.
fn before(node: &Node, name: &str, lines: &str) -> Result<SshOptions> {
    config(node, name, &format!("{lines}\nInclude {}\n", node.sshd.ssh_config().display()))
}

#[test]
fn each_refusal_has_its_kind_and_is_passed_over_when_its_cause_has_gone() -> Result<()> {
    let mut node = Node::start(&sshd::Options::default())?;

    node.sshd.forget_key()?;
    assert_eq!(kind(&node.refused(node.options())), ConnectKind::Denied);
    let locked = node.control.path().join("locked");
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "secret", "-f"]).arg(&locked);
    process::succeed(&mut keygen, PATIENCE)?;
    let with_key = |name: &str, path: &Path| {
        before(&node, name, &format!("Host slurm\n  IdentityFile {}\n", path.display()))
    };
    let refused = node.refused(with_key("with-locked", &locked)?);
    assert_eq!(kind(&refused), ConnectKind::KeyLocked);
    assert!(refused.to_string().contains(&locked.display().to_string()), "{refused}");
    assert_eq!(kind(&node.refused(with_key("without", Path::new("/no/such/key"))?)), ConnectKind::KeyFile);
    node.sshd.authorise_key()?;
    node.ask(&node.cluster(), &patient(Command::new("true")))?;

    node.sshd.change_host_key()?;
    assert_eq!(kind(&node.refused(node.options())), ConnectKind::HostKeyChanged);
    let accepting = SshOptions { host_keys: HostKeys::AcceptNew, ..node.options() };
    assert_eq!(
        kind(&node.refused(accepting)),
        ConnectKind::HostKeyChanged,
        "a key that differs is never new"
    );
    let lax = before(&node, "lax", "Host *\n  StrictHostKeyChecking no\n")?;
    assert_eq!(
        kind(&node.refused(lax)),
        ConnectKind::HostKeyChanged,
        "whatever the user's configuration says"
    );

    let known = node.sshd.known_hosts();
    std::fs::write(&known, "").map_err(Trouble::doing("forget the host"))?;
    assert_eq!(kind(&node.refused(node.options())), ConnectKind::HostKey);
    let lax = before(&node, "lax", "Host *\n  StrictHostKeyChecking no\n")?;
    assert_eq!(kind(&node.refused(lax.clone())), ConnectKind::HostKey, "strict stays strict");
    let strict_user = SshOptions { host_keys: HostKeys::AcceptNew, ..node.options() };
    assert_eq!(kind(&node.refused(strict_user)), ConnectKind::HostKey, "the user's own `yes` is stricter");
    let accepting = SshOptions { host_keys: HostKeys::AcceptNew, ..lax };
    node.ask(&Cluster::over_ssh(accepting), &patient(Command::new("true")))?;
    assert!(std::fs::read_to_string(&known).is_ok_and(|text| !text.is_empty()), "it is remembered");
    node.ask(&node.cluster(), &patient(Command::new("true")))?;

    node.sshd.kill()?;
    assert_eq!(kind(&node.refused(node.options())), ConnectKind::Refused);
    let jumped = SshOptions { host: node.sshd.jumped().to_owned(), ..node.options() };
    let refused = node.refused(jumped);
    assert_eq!(kind(&refused), ConnectKind::Refused);
    assert!(refused.to_string().contains("on the way there"), "{refused}");
    Ok(())
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_before_anybody_is_asked() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let option = config(&node, "option", "Host slurm\n  NoSuchOption yes\n")?;
    assert_eq!(kind(&node.refused(option)), ConnectKind::Configuration);
    let absent = SshOptions { config: Some("/no/such/config".into()), ..node.options() };
    assert_eq!(kind(&node.refused(absent)), ConnectKind::Configuration);
    let nowhere = config(&node, "nowhere", "Host slurm\n  HostName no-such-host.invalid\n")?;
    assert_eq!(kind(&node.refused(nowhere)), ConnectKind::UnknownHost);
    let dash = SshOptions { host: "-oProxyCommand=touch".to_owned(), ..node.options() };
    assert_eq!(kind(&node.refused(dash)), ConnectKind::Configuration);
    let deep = node.control.path().join("a-folder-with-a-name".repeat(5));
    std::fs::create_dir(&deep).map_err(Trouble::doing("make a folder"))?;
    let long = SshOptions { control: deep, ..node.options() };
    assert_eq!(kind(&node.refused(long)), ConnectKind::ControlFolder);
    let program = before(&node, "program", "Host slurm\n  ProxyCommand /no/such/program\n")?;
    assert_eq!(kind(&node.refused(program)), ConnectKind::Jump);
    Ok(())
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").map_err(Trouble::doing("listen"))?;
    let port = silent.local_addr().map_err(Trouble::doing("listen"))?.port();
    let options = config(&node, "silent", &format!("Host slurm\n  HostName 127.0.0.1\n  Port {port}\n"))?;
    let options = SshOptions { connect: Duration::from_secs(2), ..options };
    assert_eq!(kind(&node.refused(options)), ConnectKind::TimedOut);
    Ok(())
}

#[test]
fn the_users_own_settings_disturb_nothing() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let own = format!(
        "Host *\n  ControlMaster auto\n  ControlPath {0}/own-%C\n  ControlPersist yes\n  PermitLocalCommand yes\n  \
         LocalCommand echo noise; echo noise >&2\n  RemoteCommand echo noise\n  RequestTTY force\n  \
         ForkAfterAuthentication yes\n  LogLevel QUIET\n  LocalForward 1 127.0.0.1:1\n  ExitOnForwardFailure yes\n  \
         ForwardAgent yes\n  SessionType none\n  StdinNull yes\n",
        node.control.path().display()
    );
    let cluster = Cluster::over_ssh(before(&node, "own", &own)?);
    let command = patient(Command::shell("cat; echo \"${SSH_AUTH_SOCK-none}\"")).input("here\n");
    assert_eq!(node.ask(&cluster, &command)?, "here\nnone\n");
    node.runtime.block_on(cluster.close());
    wait::until("the end of the connection", PATIENCE, &[], || {
        (node.sshd.connection_count() == 0).then_some(())
    })
}

#[test]
fn what_ssh_makes_of_its_configuration_is_told() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let jumped = SshOptions { host: node.sshd.jumped().to_owned(), ..node.options() };
    let told = node.runtime.block_on(Cluster::over_ssh(jumped).configuration()).map_err(trouble)?;
    let told = told.ok_or_else(|| Trouble::new("no configuration"))?;
    assert_eq!((told.host_name.as_str(), told.port), ("127.0.0.1", node.sshd.port()));
    assert_eq!(told.user, node.sshd.user());
    assert_eq!(told.identity_files, [node.sshd.private_key()]);
    assert_eq!(told.known_hosts, [node.sshd.known_hosts()]);
    assert_eq!(told.proxy.as_deref(), Some("slurm"));
    Ok(())
}
