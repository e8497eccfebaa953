//! What a source tells of one folder: its generation, what is wrong with it, and how often a login may be sent.

use super::*;

#[tokio::test]
async fn the_folder_is_read_at_once() {
    let volume = Mounted::new(&[("username", "orders\n"), ("password", "one\r\n")]);
    let (source, _watcher) = Source::open("orders", mount(volume.path()));
    assert!(holds(&source, "orders", "one"));
    assert!(source.previous().is_none());
    let standing = source.standing();
    assert_eq!((standing.generation, standing.problem, standing.rejected), (Some(1), None, false));
    assert!(standing.file_time.is_some_and(|time| time <= SystemTime::now()));
}

fn problem(entries: &[(&str, &str)]) -> Problem {
    let volume = Mounted::new(entries);
    let (source, _watcher) = Source::open("orders", mount(volume.path()));
    assert!(source.current().is_none());
    source.standing().problem.expect("a problem")
}

#[test]
fn what_cannot_be_a_credential_is_named() {
    let key = |name: &str| name.to_owned();
    assert_eq!(problem(&[("username", "orders")]), Problem::Missing { key: key("password") });
    assert_eq!(problem(&[("password", "one")]), Problem::Missing { key: key("username") });
    assert_eq!(
        problem(&[("username", "orders"), ("password", "\n")]),
        Problem::Empty { key: key("password") }
    );
    assert_eq!(problem(&[("username", "a\nb"), ("password", "one")]).name(), "key_malformed");
    let long = "x".repeat(64 * 1024 + 1);
    assert_eq!(problem(&[("username", "orders"), ("password", &long)]).name(), "key_too_large");
    let pair = Pki::new().client("orders");
    let missing = problem(&[("username", "orders"), ("tls.crt", &pair.cert_pem)]);
    assert_eq!(missing, Problem::Missing { key: key("tls.key") });
    let other = Pki::new().client("orders");
    let mixed = problem(&[("username", "orders"), ("tls.crt", &pair.cert_pem), ("tls.key", &other.key_pem)]);
    let rule = "does not belong to the certificate";
    assert_eq!(mixed, Problem::Malformed { key: key("tls.key"), rule });
    let garbled = problem(&[("username", "orders"), ("tls.crt", "none"), ("tls.key", &pair.key_pem)]);
    assert_eq!(garbled, Problem::Malformed { key: key("tls.crt"), rule: "holds no PEM certificate" });
}

#[test]
fn a_path_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (source, _watcher) = Source::open("orders", mount(file.path()));
    assert_eq!(source.standing().problem, Some(Problem::NotAFolder));
}

#[test]
fn a_certificate_will_do_instead_of_a_password() {
    let pair = Pki::new().client("orders");
    let volume =
        Mounted::new(&[("username", "orders"), ("tls.crt", &pair.cert_pem), ("tls.key", &pair.key_pem)]);
    let (source, _watcher) = Source::open("orders", mount(volume.path()));
    let material = source.current().expect("a generation");
    let identity = material.identity.as_ref().expect("an identity");
    assert_eq!(identity.chain[0].as_ref(), pair.cert_der);
    assert!(source.standing().certificate_not_after.is_some_and(|end| end > SystemTime::now()));
    assert!(material.credential.secret().is_none());
}

#[test]
fn files_that_everyone_may_write_are_warned_about() {
    let folder = Rendered::new(&[("username", "orders"), ("password", "one")]);
    let mount = mount(folder.path());
    assert_eq!(super::mount::warnings(&mount), []);
    let all = fs::Permissions::from_mode(0o666);
    fs::set_permissions(folder.path().join("password"), all).expect("changed");
    assert_eq!(super::mount::warnings(&mount), [Warning::WorldWritable]);
}

#[tokio::test]
async fn files_that_a_rotation_can_never_reach_are_warned_about() {
    let folder = SubPath::new(&[("username", "orders"), ("password", "one")]);
    let source = watched(mount(folder.path()));
    until("the first", &source, |source| holds(source, "orders", "one")).await;
    folder.rotate();
    source.reread().await;
    until("the warning", &source, |source| source.standing().warnings == [Warning::NeverUpdates]).await;
    assert!(holds(&source, "orders", "one"));
}

#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    const PASSWORD: &str = "hunter2-and-more";
    let pair = Pki::new().client("orders");
    let entries = [
        ("username", "orders_a"),
        ("password", PASSWORD),
        ("tls.crt", &pair.cert_pem),
        ("tls.key", &pair.key_pem),
    ];
    let volume = Mounted::new(&entries);
    let (source, _watcher) = Source::open("orders", mount(volume.path()));
    let material = source.current().expect("a generation");
    let bytes = format!("{:?}", PASSWORD.as_bytes());
    let key = format!("{:?}", material.identity.as_ref().expect("an identity").key().secret_der());
    for shown in [
        format!("{source:?}"),
        format!("{material:#?}"),
        format!("{material:?}"),
        format!("{:?}", source.standing()),
    ] {
        for hidden in [PASSWORD, "orders_a", &bytes[1..bytes.len() - 1], &key[1..40], "PRIVATE KEY"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}

/// A rejection of one session's login is no verdict on the generation: it may have been one of many servers.
#[test]
fn what_is_rejected_at_leisure_bounds_what_follows_and_changes_nothing_else() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (source, _watcher) = Source::open("orders", mount(volume.path()));
    source.worked(1);
    assert_eq!(source.leave_at_leisure(1), Ok(Leave::Free));
    source.rejected_at_leisure(1, Leave::Free);
    for _ in 0..100 {
        assert_eq!(source.leave_at_leisure(1), Ok(Leave::Counted));
        source.was_not_rejected(Leave::Counted);
    }
    let mut sent = 1;
    while let Ok(leave) = source.leave_at_leisure(1) {
        source.rejected_at_leisure(1, leave);
        sent += 1;
    }
    assert!(sent <= REJECTED_A_MINUTE / 2, "{sent} rejected at once");
    assert_eq!(
        (source.leave(1), source.in_force().accepted),
        (Ok(Leave::Free), Some(1)),
        "others log in as before"
    );
}

/// What never reached a server cannot lock an account.
#[test]
fn a_login_that_was_not_rejected_leaves_the_account_as_it_was() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (source, _watcher) = Source::open("orders", mount(volume.path()));
    source.rejected(1, Leave::Free);
    for _ in 0..100 {
        let leave = source.leave(1).expect("leave");
        assert_eq!(leave, Leave::Counted);
        source.was_not_rejected(leave);
    }
}
