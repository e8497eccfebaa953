//! A folder that changes, by every writer that fills such folders, and who asks for it to be read.

use super::*;

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
    assert!(read > 100, "{read} snapshots read");
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
async fn a_file_that_is_emptied_or_removed_is_reported_and_the_last_good_generation_stays() {
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
async fn an_unreadable_key_is_reported_and_the_last_good_generation_stays() {
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
