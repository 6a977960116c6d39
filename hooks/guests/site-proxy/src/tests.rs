use super::*;

/// Made for these tests: `openssl req -x509 -newkey ec …`.
const AUTHORITY: &str = include_str!("testdata/site.pem");
const PUBLIC: &str = include_str!("testdata/system.pem");
const BUNDLE: &str = "/opt/omero/server/OMERO.server/etc/site-ca-bundle.pem";

fn context() -> Context {
    Context::empty()
        .with_setting("omero.directory", "/opt/omero/server/OMERO.server")
        .with_setting("worker.name", "biomeroworker")
        .with_setting("master.host", "omeroserver")
}

fn with_system(context: Context) -> Context {
    context.with_file(SYSTEM[0], SYSTEM[0], format!("# Public\n{PUBLIC}\n\n")).with_state(
        SYSTEM[1],
        SYSTEM[1],
        biomero_hooks_guest::FileState::Absent,
    )
}

fn set(name: &str, value: &str) -> Effect {
    Variable::set(name, value).into()
}

#[test]
fn without_certificates_and_proxies_nothing_changes() {
    assert_eq!(SiteProxy::plan(&with_system(context())), Ok(vec![]));
}

#[test]
fn the_sites_certificates_follow_the_systems_and_all_programs_are_pointed_at_them() {
    let context = with_system(context())
        .with_file(SITE[0], "/run/secrets/site.pem", format!("Bag Attributes: <Empty>\r\n{AUTHORITY}"))
        // The same once more, its lines cut otherwise.
        .with_file(SITE[1], "/etc/biomero/site-ca/again.pem", recut(AUTHORITY));
    assert_eq!(
        SiteProxy::plan(&context).unwrap(),
        [
            File::text(BUNDLE, format!("# Public\n{PUBLIC}\n# /run/secrets/site.pem\n{AUTHORITY}")).into(),
            set("REQUESTS_CA_BUNDLE", BUNDLE),
            set("SSL_CERT_FILE", BUNDLE),
            set("CURL_CA_BUNDLE", BUNDLE),
        ]
    );
}

fn recut(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[test]
fn a_private_key_is_passed_over_and_never_copied() {
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let context = with_system(context()).with_file(SITE[0], "/run/secrets/client.pem", key).with_file(
        SITE[0],
        "/run/secrets/site.pem",
        format!("{key}{AUTHORITY}"),
    );
    let effects = SiteProxy::plan(&context).unwrap();
    assert_eq!(
        effects[0],
        Effect::notice("/run/secrets/client.pem holds a private key and no certificate: passed over")
    );
    let Effect::File(bundle) = &effects[1] else { panic!("{effects:?}") };
    assert!(!String::from_utf8_lossy(&bundle.content).contains("c2VjcmV0"));
}

#[test]
fn a_certificate_that_is_not_whole_is_an_error_that_names_file_and_line() {
    let lines: Vec<&str> = AUTHORITY.lines().collect();
    let without = |line: usize| {
        lines
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != line)
            .map(|(_, line)| format!("{line}\n"))
            .collect::<String>()
    };
    for (text, expected) in [
        (
            without(lines.len() - 1),
            "/etc/biomero/site-ca/a.pem:1: BEGIN CERTIFICATE has no END: the file is cut off; ",
        ),
        (without(2), "/etc/biomero/site-ca/a.pem:1: the certificate is not whole; "),
        (
            AUTHORITY.replacen("MII", "M!I", 1),
            "/etc/biomero/site-ca/a.pem:1: the certificate is not Base64; ",
        ),
        (
            AUTHORITY.replace("END CERT", "END X CERT"),
            "END X CERTIFICATE where BEGIN CERTIFICATE is to end; ",
        ),
        (
            format!("\n\n{}{AUTHORITY}", without(lines.len() - 1)),
            "/etc/biomero/site-ca/a.pem:3: BEGIN CERTIFICATE has no END; ",
        ),
    ] {
        let context = with_system(context()).with_file(SITE[1], "/etc/biomero/site-ca/a.pem", text);
        let error = SiteProxy::plan(&context).unwrap_err().sentence();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn both_spellings_are_set_and_near_hosts_need_no_proxy() {
    let context = context()
        .with_variable("HTTPS_PROXY", "http://proxy.example.org:3128")
        .with_variable("no_proxy", "intranet.example.org, OMEROserver");
    let near = "intranet.example.org,OMEROserver,localhost,127.0.0.1,::1,biomeroworker";
    assert_eq!(
        SiteProxy::plan(&context).unwrap(),
        [set("https_proxy", "http://proxy.example.org:3128"), set("NO_PROXY", near), set("no_proxy", near),]
    );
}

#[test]
fn a_second_start_with_what_the_first_set_changes_nothing() {
    let near = "localhost,127.0.0.1,::1,biomeroworker,omeroserver";
    let context = ["HTTP_PROXY", "http_proxy"]
        .into_iter()
        .fold(context(), |context, name| context.with_variable(name, "proxy:3128"))
        .with_variable("NO_PROXY", near)
        .with_variable("no_proxy", near);
    assert_eq!(SiteProxy::plan(&context), Ok(vec![]));
}

#[test]
fn a_password_in_a_proxys_url_stays_secret() {
    let context = context().with_variable("http_proxy", "http://worker:hunter2@proxy:3128/");
    let effects = SiteProxy::plan(&context).unwrap();
    assert_eq!(effects[0], Variable::set("HTTP_PROXY", "http://worker:hunter2@proxy:3128/").secret().into());
    for bad in [
        "http://worker:hunter2@proxy:port",
        "gopher://worker:hunter2@proxy",
        "http://worker:hunter2@",
        "a hunter2",
    ] {
        let error =
            SiteProxy::plan(&self::context().with_variable("HTTP_PROXY", bad)).unwrap_err().sentence();
        assert!(error.starts_with("HTTP_PROXY: ") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn of_two_spellings_the_lower_counts_and_an_asterisk_turns_proxies_off() {
    let context = context()
        .with_variable("ALL_PROXY", "socks5://a:1080")
        .with_variable("all_proxy", "socks5h://[2001:db8::7]:1080")
        .with_variable("NO_PROXY", "*");
    assert_eq!(
        SiteProxy::plan(&context).unwrap(),
        [
            Effect::notice("all_proxy and ALL_PROXY differ: all_proxy counts"),
            set("ALL_PROXY", "socks5h://[2001:db8::7]:1080"),
            set("no_proxy", "*"),
        ]
    );
}
