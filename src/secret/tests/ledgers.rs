//! Which contents are the same generation, also across folders, credentials and reloads.

use super::*;

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
        watcher.read().expect("a generation");
        let material = source.current().expect("a generation");
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
    source.current().expect("a generation").asked.note();
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
        watcher.read().expect("a generation");
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
    let picked = source.pick(&[]).expect("a generation");
    assert!(!source.standing().others_under_way, "it is the current one");
    volume.credential("orders", "two");
    watcher.read().expect("a generation");
    source.worked(2);
    assert!(source.standing().others_under_way);
    let new = source.pick(&[]).expect("a generation");
    assert_eq!((picked.generation(), new.generation()), (1, 2));
    drop(picked);
    assert!(!source.standing().others_under_way);
    assert!(source.pick(&[1, 2]).is_none());
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
    let picked = old.pick(&[]).expect("a generation");
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
