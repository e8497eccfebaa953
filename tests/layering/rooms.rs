//! Which room of the house does what: sockets, files, clocks, secrets, construction.

use crate::sources::{Source, house, protocols};

/// Those of `sources` that name one of `words` although no path in `rooms` is theirs.
fn outside(sources: &[Source], rooms: &[&str], words: &[&str]) -> Vec<String> {
    let strangers = sources.iter().filter(|source| !rooms.iter().any(|room| source.path.starts_with(room)));
    strangers
        .flat_map(|source| {
            let named = words.iter().filter(|word| source.names(word));
            named.map(|word| format!("{} names {word}", source.path)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn protocol_crates_touch_nothing_of_the_world() {
    let world = [
        "tokio",
        "tracing",
        "std::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "std::io::stdin",
        "std::os",
        "Instant",
        "SystemTime",
        "println!",
        "eprintln!",
        "rand::",
        "getrandom",
    ];
    assert_eq!(outside(&protocols(), &[], &world), [""; 0]);
}

#[test]
fn only_net_opens_sockets() {
    let sockets = [
        "TcpStream",
        "TcpListener",
        "TcpSocket",
        "UnixStream",
        "UnixListener",
        "UdpSocket",
        "std::net::TcpStream",
        "std::net::TcpListener",
        "socket2",
        "to_socket_addrs",
        "lookup_host",
    ];
    // The commands that ask a running process something are clients of their own, outside of its data path.
    assert_eq!(outside(&house(), &["src/net/", "src/cli/http.rs"], &sockets), [""; 0]);
}

#[test]
fn only_a_few_rooms_open_files_and_only_one_opens_secrets() {
    let files = ["std::fs", "tokio::fs", "File::open", "fs::read", "fs::read_to_string", "OpenOptions"];
    let rooms = [
        "src/secret/",
        // The configuration's own files.
        "src/config/",
        // Certificate authorities, which are no secret, and the files of Unix sockets.
        "src/net/authorities.rs",
        "src/net/listen.rs",
        // Manifests, and configurations that the webhook offers: both name Secrets and hold none.
        "src/cli/inject.rs",
        "src/inject/webhook/profiles.rs",
        // The terminal, to see whose keyboard signals are.
        "src/cli/dev/signals.rs",
    ];
    assert_eq!(outside(&house(), &rooms, &files), [""; 0]);
    // Whoever could name a key of a credential could read it.
    let parts = ["Zeroizing", "Secret::new", "Credential::new"];
    assert_eq!(outside(&house(), &["src/secret/"], &parts), [""; 0]);
}

#[test]
fn only_protocol_crates_expose_a_secret() {
    assert_eq!(outside(&house(), &[], &["expose"]), [""; 0]);
}

#[test]
fn only_app_constructs_what_the_process_has_one_of() {
    let constructors = [
        "Resolver::from_system",
        "Metrics::new",
        "Drain::default",
        "Ids::new",
        "Worker::start",
        "Listener::bind",
        "Source::open",
        "RouteParts {",
    ];
    let rooms = [
        "src/app.rs",
        // To which `app` leaves the making of routes.
        "src/serving.rs",
        // Where the parts of a route are defined.
        "src/session/route.rs",
        // Where the listeners of a process that serves are bound, at its start and by reloads.
        "src/sockets.rs",
        // A check is a whole process of its own: what `app` makes for serving, it makes for one look.
        "src/cli/check.rs",
        // So is a house of one route.
        "src/cli/dev/house.rs",
        // A credential of what a person typed.
        "src/secret/given.rs",
        // The webhook is another process than `app` wires: its listeners and counters, and its certificate.
        "src/inject/webhook/mod.rs",
        "src/cli/webhook.rs",
        // The page on metrics is made from a set that nobody counts with.
        "src/metrics/document.rs",
    ];
    assert_eq!(outside(&house(), &rooms, &constructors), [""; 0]);
}

#[test]
fn nothing_is_global() {
    let mut found = Vec::new();
    for source in house().iter().chain(&protocols()) {
        for (number, line) in source.lines() {
            let item = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            if item.starts_with("static ") {
                found.push(format!("{}:{number}: {}", source.path, item.trim()));
            }
        }
    }
    // Each thread reads through one buffer; nothing outlives a read in it. It draws random octets in stock, and each is given
    // out once. Its beat is a timer's, and decides nothing. And the world of a simulation belongs to its thread, as the
    // paused clock of a runtime does.
    let excused = [
        ("src/net/pump.rs", "BUFFER: RefCell<Vec<u8>>"),
        ("src/chance.rs", "STOCK: RefCell<Stock>"),
        ("src/deadline.rs", "HEART: Heart"),
        ("src/sim.rs", "PLAYED: RefCell<"),
    ];
    found.retain(|line| !excused.iter().any(|(path, item)| line.starts_with(path) && line.contains(item)));
    assert_eq!(found, [""; 0]);
    let hidden = ["OnceLock", "LazyLock", "OnceCell", "lazy_static", "unsafe"];
    assert_eq!(outside(&house(), &[], &hidden), [""; 0]);
    assert_eq!(outside(&protocols(), &[], &hidden), [""; 0]);
}

/// What is ready at the same time is chosen among by chance otherwise, and a schedule of `tests/sim` could not be had
/// again.
#[test]
fn chance_comes_from_one_room_and_no_choice_on_the_data_path_is_left_to_the_runtime() {
    let chance = ["aws_lc_rs::rand", "getrandom", "rand::"];
    assert_eq!(outside(&house(), &["src/chance.rs"], &chance), [""; 0]);
    let rooms = ["drain", "net", "orders", "route", "secret", "serving", "session", "upstream"];
    let sources = house();
    let data_path = sources.iter().filter(|source| rooms.contains(&source.module()));
    let mut left = Vec::new();
    for source in data_path {
        for (at, choice) in source.code.match_indices("select! {") {
            if !source.code[at + choice.len()..].trim_start().starts_with("biased;") {
                left.push(format!(
                    "{}: {}",
                    source.path,
                    source.code[at..].lines().nth(1).unwrap_or_default()
                ));
            }
        }
    }
    assert_eq!(left, [""; 0]);
}

/// A channel of the runtime draws whom of those who wait it wakes first; a bell does not.
#[test]
fn news_on_the_data_path_is_carried_by_bells() {
    let rooms = ["drain", "net", "orders", "route", "secret", "serving", "session", "upstream"];
    let data_path: Vec<_> = house().into_iter().filter(|source| rooms.contains(&source.module())).collect();
    let excused = [
        // One listener, the end of the process.
        "src/drain.rs",
        // Those who accept hear that they are to stop, and nothing else.
        "src/serving.rs",
    ];
    let channels = ["watch::Sender", "watch::Receiver", "watch::channel", "broadcast::channel"];
    assert_eq!(outside(&data_path, &excused, &channels), [""; 0]);
}

#[test]
fn only_the_product_of_a_command_is_printed() {
    let printing = ["println!", "print!", "eprintln!", "eprint!", "dbg!", "stdout()"];
    assert_eq!(outside(&house(), &["src/cli/"], &printing), [""; 0]);
}
