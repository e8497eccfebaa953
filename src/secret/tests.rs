//! A source and its folder, with the writers that fill such folders.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use attache_kit::{Mounted, Pki, Rendered, SubPath};
use attache_wire::Secret;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::*;

/// So rare that whatever is noticed was noticed by the watch.
const NEVER: Duration = Duration::from_secs(3600);
/// More than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn mount(path: &Path) -> Mount {
    Mount { path: path.to_owned(), keys: Keys::default(), user: None, poll: NEVER, needs_user: true }
}

fn secret(password: &str) -> Secret {
    Secret::new(Zeroizing::new(password.as_bytes().to_vec()))
}

/// Whether this is the user and the password of that generation.
fn is(material: &Material, user: &str, password: &str) -> bool {
    material.credential.user() == Some(user)
        && material.credential.secret().is_some_and(|found| found.same_as(&secret(password)))
}

fn holds(source: &Source, user: &str, password: &str) -> bool {
    source.current().is_some_and(|material| is(&material, user, password))
}

/// Opens a source and lets its watcher run until the test is over.
fn watched(mount: Mount) -> Source {
    let (source, watcher) = Source::open("orders", mount);
    tokio::spawn(watcher.run());
    source
}

async fn until(what: &str, source: &Source, holds: impl Fn(&Source) -> bool) {
    let wait = async {
        while !holds(source) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(DEADLINE, wait).await.is_ok(), "waited for: {what}; {source:?}");
}

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

#[tokio::test]
async fn a_swap_becomes_the_next_generation() {
    let volume = Mounted::new(&[("username", "orders_a"), ("password", "one")]);
    let source = watched(mount(volume.path()));
    let mut news = source.subscribe();
    assert_eq!(news.catch_up(), 1);
    for (round, password) in ["two", "three", "four"].into_iter().enumerate() {
        volume.credential("orders_b", password);
        timeout(DEADLINE, news.changed()).await.expect("noticed");
        assert_eq!(news.catch_up(), round as u64 + 2);
        assert!(holds(&source, "orders_b", password));
    }
    assert_eq!(source.previous().map(|material| material.generation()), Some(3));
}

#[tokio::test]
async fn ten_thousand_swaps_never_mix_a_user_with_another_password() {
    let volume = Mounted::new(&[("username", "user-0"), ("password", "password-0")]);
    let mount = mount(volume.path());
    let writer = std::thread::spawn(move || {
        for number in 1..=10_000 {
            volume.credential(&format!("user-{number}"), &format!("password-{number}"));
        }
        volume
    });
    let mut read = 0;
    while !writer.is_finished() {
        match snapshot::read(&mount) {
            Ok(contents) => {
                let material = contents.accept(1, Asked::default());
                let user = material.credential.user().expect("a user").to_owned();
                assert!(is(&material, &user, &user.replace("user", "password")), "{user}");
                read += 1;
            }
            Err(Problem::Changing) => {}
            Err(problem) => panic!("{problem}"),
        }
    }
    assert!(read > 100, "{read} versions read");
    let volume = writer.join().expect("all written");
    let (source, _watcher) = Source::open("orders", Mount { path: volume.path().to_owned(), ..mount });
    assert!(holds(&source, "user-10000", "password-10000"));
}

#[tokio::test]
async fn a_folder_may_come_late_and_go_and_come_back() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    volume.break_();
    let source = watched(mount(volume.path()));
    assert!(source.current().is_none() && source.candidates().is_empty());
    assert_eq!(source.standing().problem, Some(Problem::FolderMissing));

    volume.heal();
    until("the folder", &source, |source| holds(source, "orders", "one")).await;
    assert_eq!(source.standing().problem, None);

    volume.break_();
    until("the loss", &source, |source| source.standing().problem == Some(Problem::FolderMissing)).await;
    assert!(holds(&source, "orders", "one"), "the last good one stays");

    volume.heal();
    until("the return", &source, |source| source.standing().problem.is_none()).await;
    assert_eq!(source.standing().generation, Some(1), "the same content is no news");
    volume.credential("orders", "two");
    until("the watch on the new folder", &source, |source| holds(source, "orders", "two")).await;
}

#[tokio::test]
async fn what_nobody_tells_is_found_by_the_poll() {
    let one = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let two = Mounted::new(&[("username", "orders"), ("password", "two")]);
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("link");
    symlink(one.path(), &path).expect("a link");
    // The watch follows the link, so it sees nothing of the link itself.
    let source = watched(Mount { poll: Duration::from_millis(200), ..mount(&path) });
    assert!(holds(&source, "orders", "one"));
    fs::remove_file(&path).expect("removed");
    symlink(two.path(), &path).expect("a link");
    until("the poll", &source, |source| holds(source, "orders", "two")).await;
}

#[tokio::test]
async fn files_that_are_replaced_or_overwritten_one_by_one_are_followed() {
    let folder = Rendered::new(&[("username", "orders"), ("password", "one")]);
    let source = watched(mount(folder.path()));
    until("the first", &source, |source| holds(source, "orders", "one")).await;

    folder.replace("username", "orders_b");
    folder.replace("password", "two");
    until("the renaming", &source, |source| holds(source, "orders_b", "two")).await;

    folder.overwrite("password", "three");
    until("the overwriting", &source, |source| holds(source, "orders_b", "three")).await;
}

#[tokio::test]
async fn a_file_that_is_emptied_or_removed_is_reported_and_the_last_good_version_stays() {
    let folder = Rendered::new(&[("username", "orders"), ("password", "one")]);
    let source = watched(mount(folder.path()));
    until("the first", &source, |source| holds(source, "orders", "one")).await;
    let key = "password".to_owned();

    folder.truncate("password");
    let empty = Problem::Empty { key: key.clone() };
    until("the loss", &source, |source| source.standing().problem.as_ref() == Some(&empty)).await;
    assert!(holds(&source, "orders", "one"));

    folder.remove("password");
    let missing = Problem::Missing { key };
    until("the loss", &source, |source| source.standing().problem.as_ref() == Some(&missing)).await;
    assert!(holds(&source, "orders", "one"));

    folder.overwrite("password", "two");
    until("the return", &source, |source| holds(source, "orders", "two")).await;
    assert_eq!(source.standing().problem, None);
}

#[tokio::test]
async fn an_unreadable_key_is_reported_and_the_last_good_version_stays() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let source = watched(mount(volume.path()));
    volume.unreadable("password");
    source.reread().await;
    let problem = source.standing().problem.expect("a problem");
    assert_eq!(problem.name(), "key_unreadable", "{problem}");
    assert!(holds(&source, "orders", "one"));
    volume.readable("password");
    source.reread().await;
    assert_eq!(source.standing().problem, None);
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
    let material = source.current().expect("a version");
    let identity = material.identity.as_ref().expect("an identity");
    assert_eq!(identity.chain[0].as_ref(), pair.cert_der);
    assert!(source.standing().certificate_not_after.is_some_and(|end| end > SystemTime::now()));
    assert!(material.credential.secret().is_none());
}

#[tokio::test]
async fn all_who_ask_for_a_reading_share_it_and_see_what_was_there_when_they_asked() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let source = watched(mount(volume.path()));
    for password in ["two", "three"] {
        volume.credential("orders", password);
        let asking: Vec<_> = (0..200)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move {
                    source.reread().await;
                    holds(&source, "orders", password)
                })
            })
            .collect();
        for asked in asking {
            assert!(timeout(DEADLINE, asked).await.expect("an answer").expect("no panic"), "{password}");
        }
    }
}

#[tokio::test]
async fn asking_a_watcher_that_is_gone_returns_at_once() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (source, watcher) = Source::open("orders", mount(volume.path()));
    drop(watcher);
    timeout(DEADLINE, source.reread()).await.expect("an answer");
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
    let material = source.current().expect("a version");
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

/// A folder with a password and the certificate of that number.
fn with_certificate(pki: &Pki, password: &str) -> [(&'static str, String); 4] {
    let pair = pki.client("orders");
    let entries = [("username", "orders".to_owned()), ("password", password.to_owned())];
    let [user, password] = entries;
    [user, password, ("tls.crt", pair.cert_pem), ("tls.key", pair.key_pem)]
}

#[test]
fn another_certificate_is_another_generation_only_where_a_server_has_asked_for_one() {
    let pki = Pki::new();
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (source, watcher) = Source::open("orders", mount(volume.path()));
    let [first, second, third] = [(); 3].map(|()| with_certificate(&pki, "one"));
    let put = |entries: &[(&'static str, String)]| {
        volume.write(&entries.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>());
        watcher.read().expect("a version");
        let material = source.current().expect("a version");
        let leaf = material.identity.as_ref().map(|identity| identity.chain[0].to_vec());
        (material.generation(), leaf)
    };
    source.worked(1);
    let mut seen = Vec::new();
    for entries in [&first, &second, &third] {
        let (generation, leaf) = put(entries);
        assert_eq!((generation, source.standing().state), (1, State::Ok), "nobody has asked for it");
        assert!(leaf.is_some() && !seen.contains(&leaf), "but the new one is shown from now on");
        seen.push(leaf);
    }
    source.current().expect("a version").asked.note();
    assert_eq!((put(&second).0, source.standing().state), (2, State::Untried));
    assert_eq!((put(&third).0, source.standing().state), (1, State::Ok), "the same again");
    assert_eq!(put(&with_certificate(&pki, "two")).0, 3);
}

#[test]
fn a_content_that_comes_back_is_the_generation_that_it_was_and_was_read_just_now() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (source, watcher) = Source::open("orders", mount(volume.path()));
    source.worked(1);
    let loaded = source.standing().loaded_at;
    let mut news = source.subscribe();
    for (password, generation) in [("wrong", 2), ("one", 1)] {
        let heard = news.catch_up();
        volume.credential("orders", password);
        watcher.read().expect("a version");
        assert!(holds(&source, "orders", password));
        assert_eq!(source.standing().generation, Some(generation));
        assert!(news.catch_up() > heard, "it is told");
    }
    let standing = source.standing();
    assert_eq!((standing.state, standing.in_use, standing.last), (State::Ok, Some(1), 2));
    assert!(standing.loaded_at > loaded, "whoever waits for it to be read sees that it was");
}

#[test]
fn a_login_under_way_counts_until_it_is_over() {
    let volume = Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (source, watcher) = Source::open("orders", mount(volume.path()));
    source.worked(1);
    let picked = source.pick(&[]).expect("a version");
    assert!(!source.standing().others_under_way, "it is the current one");
    volume.credential("orders", "two");
    watcher.read().expect("a version");
    source.worked(2);
    assert!(source.standing().others_under_way);
    let new = source.pick(&[]).expect("a version");
    assert_eq!((picked.generation(), new.generation()), (1, 2));
    drop(picked);
    assert!(!source.standing().others_under_way);
    assert!(source.pick(&[1, 2]).is_none());
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

#[tokio::test]
async fn a_folder_that_moves_is_a_rotation_and_the_old_one_is_not_heard_of_any_more() {
    let [here, there] =
        ["one", "two"].map(|password| Mounted::new(&[("username", "orders"), ("password", password)]));
    let (source, watcher) = Source::open("orders", mount(here.path()));
    let old = tokio::spawn(watcher.run());
    source.worked(1);
    let new = tokio::spawn(source.moved(mount(there.path())).run());
    old.abort();
    assert!(holds(&source, "orders", "two"), "it is read at once");
    let standing = source.standing();
    assert_eq!((standing.generation, standing.in_use, standing.state), (Some(2), Some(1), State::Untried));
    assert_eq!(source.on_trial().map(|material| material.generation()), Some(2));

    here.credential("orders", "three");
    source.reread().await;
    assert!(holds(&source, "orders", "two"), "who asks for a reading is heard where the credential lies now");
    there.credential("orders", "four");
    until("the watch on the new folder", &source, |source| holds(source, "orders", "four")).await;
    assert_eq!(source.standing().generation, Some(3));
    new.abort();
}

#[test]
fn the_same_content_elsewhere_is_no_rotation_and_a_folder_that_cannot_be_read_leaves_what_there_is() {
    let volume = || Mounted::new(&[("username", "orders"), ("password", "one")]);
    let (here, there) = (volume(), volume());
    let (source, _watcher) = Source::open("orders", mount(here.path()));
    source.worked(1);
    let mut news = source.subscribe();
    let heard = news.catch_up();
    let _watcher = source.moved(mount(there.path()));
    let standing = source.standing();
    assert_eq!((standing.generation, standing.state), (Some(1), State::Ok));
    assert_eq!(news.catch_up(), heard);

    let _watcher = source.moved(mount(&here.path().join("mistyped")));
    let standing = source.standing();
    assert_eq!((standing.problem, standing.state), (Some(Problem::FolderMissing), State::Ok));
    assert!(holds(&source, "orders", "one"));
    let _watcher = source.moved(mount(here.path()));
    assert_eq!(source.standing().problem, None);
}

/// Sessions of both live side by side, and are told apart by these numbers.
#[test]
fn another_credential_of_the_same_route_goes_on_counting_and_knows_of_the_others_logins() {
    let ledger = Ledger::default();
    let [one, two] =
        ["one", "two"].map(|password| Mounted::new(&[("username", "orders"), ("password", password)]));
    let (old, _watcher) = Source::open_in(&ledger, "orders", mount(one.path()));
    old.worked(1);
    let picked = old.pick(&[]).expect("a version");
    assert!(old.is_current(1));

    let (new, _watcher) = Source::open_in(&ledger, "orders", mount(two.path()));
    assert_eq!(new.candidates().iter().map(|material| material.generation()).collect::<Vec<_>>(), [2]);
    new.worked(2);
    let standing = new.standing();
    assert_eq!((standing.state, standing.last, standing.others_under_way), (State::Ok, 2, true));
    assert!(old.is_current(2) && !old.is_current(1) && !new.is_current(1));
    drop(picked);
    assert!(!new.standing().others_under_way);
}
