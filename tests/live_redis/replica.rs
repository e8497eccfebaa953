//! A server that holds no password replicates through Attaché: a stream that is no longer frames.

use attache_kit::{SOON, eventually};

use crate::house::Clients;
use crate::servers::Db;

#[test]
fn a_replica_follows_its_primary_through_attache() {
    let (Some(primary), Some(replica)) = (Db::own(), Db::own()) else { return };
    let house = primary.route().start();
    assert_eq!(primary.server.command(&["SET", "before", "1"]).trim(), "OK");
    replica.server.command(&["REPLICAOF", "127.0.0.1", &house.addr().port().to_string()]);
    let follows = |key: &str| {
        let seen = || (replica.server.command(&["GET", key]).trim() == "1").then_some(());
        eventually(&format!("{key} to be replicated"), SOON, seen);
    };
    follows("before");
    for key in ["one", "two"] {
        assert_eq!(house.raw().ask(&["SET", key, "1"]), "+OK\r\n");
        follows(key);
    }
    let told = primary.server.command(&["INFO", "replication"]);
    assert!(told.contains("connected_slaves:1") && told.contains("state=online"), "{told}");
    replica.server.command(&["REPLICAOF", "NO", "ONE"]);
}
