use std::time::Instant;

use attache_kit::dns::{Dns, Kind, Record, Trouble as Said};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig};

use super::*;

/// Below what a question that nobody answers costs, with room for a busy machine.
const AT_ONCE: Duration = Duration::from_millis(2500);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// As `/etc/resolv.conf` of a pod in the namespace `blue` says.
const SEARCH: [&str; 3] = ["blue.svc.cluster.local", "svc.cluster.local", "cluster.local"];

fn resolver(dns: &Dns, search: &[&str], ndots: usize) -> Resolver {
    let at = |mut connection: ConnectionConfig| {
        connection.port = dns.addr().port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    let mut server = NameServerConfig::udp_and_tcp(dns.addr().ip());
    server.connections = connections;
    let search = search.iter().map(|domain| Name::from_str_relaxed(domain).unwrap()).collect();
    let config = ResolverConfig::from_parts(None, search, vec![server]);
    let mut options = ResolverOpts::default();
    options.ndots = ndots;
    options.timeout = Duration::from_secs(3);
    options.attempts = 1;
    Resolver(Arc::new(Known { hosts: Hosts::default(), names: Ok(Names::new(config, options).unwrap()) }))
}

fn in_pod(dns: &Dns) -> Resolver {
    resolver(dns, &SEARCH, 5)
}

/// How often the server was asked, once that was so often: a question may be on its way although another was enough.
async fn questions(dns: &Dns, expected: usize) -> usize {
    let asked = async {
        while dns.questions() < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), asked).await;
    dns.questions()
}

async fn found(resolver: &Resolver, host: &str) -> Result<Vec<String>, Cause> {
    let found = resolver.addresses(host, 1).await.map_err(|trouble| trouble.cause)?;
    Ok(found.first.iter().map(|address| address.ip().to_string()).collect())
}

fn asked(dns: &Dns, name: &str) -> (usize, usize) {
    (dns.asked(name, Kind::A), dns.asked(name, Kind::Aaaa))
}

fn just(address: &str) -> Result<Vec<String>, Cause> {
    Ok(vec![address.to_owned()])
}

#[tokio::test]
async fn a_short_name_is_looked_for_in_the_search_list_first() {
    let dns = Dns::start();
    dns.address("redis.blue.svc.cluster.local", "10.0.0.1");
    dns.address("redis.green.svc.cluster.local", "10.0.0.2");
    dns.address("redis", "10.0.0.3");
    let resolver = in_pod(&dns);
    assert_eq!(found(&resolver, "redis").await, just("10.0.0.1"));
    assert_eq!(questions(&dns, 2).await, 2, "one per family");
    assert_eq!(found(&resolver, "redis.green").await, just("10.0.0.2"));
    assert_eq!(found(&resolver, "redis.").await, just("10.0.0.3"), "a dot at the end means the name itself");
}

#[tokio::test]
async fn an_absolute_name_costs_one_question_per_family() {
    let dns = Dns::start();
    dns.address("db.example.com", "10.0.0.1");
    let pod = in_pod(&dns);
    assert_eq!(found(&pod, "db.example.com.").await, just("10.0.0.1"));
    assert_eq!(questions(&dns, 2).await, 2, "with a dot at its end");

    let elsewhere = resolver(&dns, &["corp.example"], 1);
    assert_eq!(found(&elsewhere, "db.example.com").await, just("10.0.0.1"));
    assert_eq!(questions(&dns, 4).await, 4, "with as many dots as ndots");
    assert_eq!(asked(&dns, "db.example.com.corp.example"), (0, 0));

    let again = in_pod(&dns);
    assert_eq!(found(&again, "db.example.com").await, just("10.0.0.1"));
    assert_eq!(asked(&dns, "db.example.com.cluster.local"), (1, 1), "with fewer, the search list is first");
}

#[tokio::test]
async fn chains_of_aliases_are_followed() {
    let dns = Dns::start();
    dns.alias("orders.blue.svc.cluster.local", "orders.db.example.com");
    dns.alias("orders.db.example.com", "instance-7.cloud.example");
    dns.address("instance-7.cloud.example", "10.0.0.7");
    dns.alias("dangling.example.com", "nowhere.example.com");
    let resolver = in_pod(&dns);
    assert_eq!(found(&resolver, "orders").await, just("10.0.0.7"));
    assert_eq!(found(&resolver, "dangling.example.com.").await, Err(Cause::NameNotFound));
}

#[tokio::test]
async fn a_changed_address_is_found_when_its_lifetime_is_over_and_not_asked_for_before() {
    let dns = Dns::start();
    let address = |last: u8| Record::Address(IpAddr::from([10, 0, 0, last]));
    dns.set("moving.example.com", Duration::from_secs(1), &[address(1)]);
    // A lifetime longer than anybody waits for a database.
    dns.set("zero.example.com", Duration::ZERO, &[address(3)]);
    let resolver = in_pod(&dns);
    let start = Instant::now();
    assert_eq!(found(&resolver, "moving.example.com.").await, just("10.0.0.1"));
    dns.set("moving.example.com", TEN_MINUTES, &[address(2)]);
    while found(&resolver, "moving.example.com.").await == just("10.0.0.1") {
        assert!(start.elapsed() < Duration::from_secs(30), "the new address is never found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "it was kept for its lifetime");
    assert_eq!(dns.asked("moving.example.com", Kind::A), 2);

    for _ in 0..20 {
        assert_eq!(found(&resolver, "zero.example.com.").await, just("10.0.0.3"));
    }
    assert!(dns.asked("zero.example.com", Kind::A) <= 3, "a lifetime of zero is no question per session");
}

/// The kit's name server does not say for how long that holds.
#[tokio::test]
async fn a_family_without_an_address_is_no_question_per_session_either() {
    let dns = Dns::start();
    dns.address("four.example.com", "10.0.0.1");
    let resolver = resolver(&dns, &[], 1);
    for _ in 0..100 {
        assert_eq!(found(&resolver, "four.example.com").await, just("10.0.0.1"));
    }
    let (a, aaaa) = asked(&dns, "four.example.com");
    assert!(a <= 3 && aaaa <= 3, "{a} {aaaa}");
}

#[tokio::test]
async fn a_long_lifetime_is_cut_short() {
    let dns = Dns::start();
    dns.set("db.example.com", Duration::from_secs(86_400), &[Record::Address([10, 0, 0, 1].into())]);
    let resolver = in_pod(&dns);
    let names = resolver.0.names.as_ref().unwrap();
    let lookup = names.client.lookup("db.example.com.", RecordType::A).await.unwrap();
    let left = lookup.valid_until() - Instant::now();
    assert!(left <= LONGEST_LIFETIME, "{left:?}");
}

#[tokio::test]
async fn both_families_are_used_ipv6_first() {
    let dns = Dns::start();
    let both = ["10.0.0.1", "fd00::1"].map(|address| Record::Address(address.parse().unwrap()));
    dns.set("db.example.com", TEN_MINUTES, &both);
    let resolver = in_pod(&dns);
    // One of the answers may be late on a busy machine; from then on both are known.
    let found_at_first = resolver.addresses("db.example.com.", 1).await.expect("an address");
    if let Some(late) = found_at_first.late {
        late.await;
    }
    assert_eq!(
        found(&resolver, "db.example.com.").await,
        Ok(vec!["fd00::1".to_owned(), "10.0.0.1".to_owned()])
    );
}

#[tokio::test]
async fn one_family_without_an_answer_costs_a_moment() {
    let dns = Dns::start();
    dns.address("old.example.com", "10.0.0.1");
    dns.trouble("old.example.com", Kind::Aaaa, Said::Silence);
    dns.address("new.example.com", "fd00::1");
    dns.trouble("new.example.com", Kind::A, Said::Silence);
    dns.address("broken.example.com", "10.0.0.2");
    dns.trouble("broken.example.com", Kind::Aaaa, Said::Failure);
    dns.trouble("absent.example.com", Kind::Aaaa, Said::Silence);
    let resolver = in_pod(&dns);
    let start = Instant::now();
    assert_eq!(found(&resolver, "old.example.com.").await, just("10.0.0.1"));
    assert_eq!(found(&resolver, "new.example.com.").await, just("fd00::1"));
    assert_eq!(found(&resolver, "broken.example.com.").await, just("10.0.0.2"));
    assert_eq!(found(&resolver, "absent.example.com.").await, Err(Cause::NameNotFound));
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_slower_family_is_not_lost() {
    let dns = Dns::start();
    dns.address("db.example.com", "10.0.0.1");
    dns.trouble("db.example.com", Kind::Aaaa, Said::Silence);
    let resolver = in_pod(&dns);
    let found = resolver.addresses("db.example.com.", 5).await.expect("an address");
    // The question is repeated, so that a lost packet does not cost a family.
    dns.set("db.example.com", TEN_MINUTES, &[Record::Address("fd00::1".parse().unwrap())]);
    dns.heal("db.example.com", Kind::Aaaa);
    let late = found.late.expect("one answer is missing").await;
    assert_eq!(late, ["[fd00::1]:5".parse().unwrap()]);
}

#[tokio::test]
async fn what_is_wrong_with_a_name_is_told_apart() {
    let dns = Dns::start();
    dns.set("empty.example.com", TEN_MINUTES, &[]);
    for kind in [Kind::A, Kind::Aaaa] {
        dns.trouble("failing.example.com", kind, Said::Failure);
        dns.trouble("silent.example.com", kind, Said::Silence);
    }
    let resolver = in_pod(&dns);
    let cause = async |host| found(&resolver, host).await;
    assert_eq!(cause("absent.example.com.").await, Err(Cause::NameNotFound));
    assert_eq!(cause("empty.example.com.").await, Err(Cause::NameNotFound));
    assert_eq!(cause("failing.example.com.").await, Err(Cause::NameServerFailed));
    assert_eq!(cause("silent.example.com.").await, Err(Cause::NameServerSilent));
    assert_eq!(cause("absent").await, Err(Cause::NameNotFound));
}

#[tokio::test]
async fn a_failure_inside_the_search_list_is_remembered_but_does_not_hide_a_later_name() {
    let dns = Dns::start();
    for kind in [Kind::A, Kind::Aaaa] {
        dns.trouble("db.example.com.svc.cluster.local", kind, Said::Failure);
        dns.trouble("redis.blue.svc.cluster.local", kind, Said::Failure);
    }
    dns.address("db.example.com", "10.0.0.1");
    let resolver = in_pod(&dns);
    assert_eq!(found(&resolver, "db.example.com").await, just("10.0.0.1"));
    assert_eq!(
        found(&resolver, "redis").await,
        Err(Cause::NameServerFailed),
        "not that there is no such name"
    );
}

#[tokio::test]
async fn silence_ends_the_search() {
    let dns = Dns::start();
    for kind in [Kind::A, Kind::Aaaa] {
        dns.trouble("redis.blue.svc.cluster.local", kind, Said::Silence);
    }
    dns.address("redis.svc.cluster.local", "10.0.0.1");
    let resolver = in_pod(&dns);
    assert_eq!(found(&resolver, "redis").await, Err(Cause::NameServerSilent));
    assert_eq!(asked(&dns, "redis.svc.cluster.local"), (0, 0), "another namespace's server is no substitute");
}

#[tokio::test]
async fn the_hosts_file_goes_before_the_name_server() {
    let dns = Dns::start();
    dns.address("db.blue.svc.cluster.local", "10.0.0.1");
    let Known { names, .. } = Arc::into_inner(in_pod(&dns).0).expect("nobody shares it");
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(&b"10.9.9.9 db\n"[..]).unwrap();
    let resolver = Resolver(Arc::new(Known { hosts, names }));
    assert_eq!(found(&resolver, "db").await, just("10.9.9.9"));
    assert_eq!(dns.questions(), 0);
}

#[tokio::test]
async fn without_resolv_conf_addresses_work_and_names_say_why_not() {
    let known =
        Known { hosts: Hosts::default(), names: Err("/etc/resolv.conf cannot be used: gone".to_owned()) };
    let resolver = Resolver(Arc::new(known));
    assert_eq!(found(&resolver, "127.0.0.1").await, just("127.0.0.1"));
    assert_eq!(found(&resolver, "::1").await, just("::1"));
    let trouble = resolver.addresses("db", 1).await.err().expect("no address");
    assert_eq!(trouble.cause, Cause::NameServerSilent);
    assert!(trouble.detail.contains("/etc/resolv.conf cannot be used"), "{}", trouble.detail);
}

fn service(priority: u16, weight: u16, target: &str) -> Record {
    Record::Service { priority, weight, port: 5432, target: target.to_owned() }
}

#[tokio::test]
async fn the_servers_of_a_service_come_in_an_order_that_stays() {
    let dns = Dns::start();
    let name = "_postgresql._tcp.orders.example.com";
    let listed =
        [service(20, 0, "C.example.com"), service(10, 5, "b.example.com"), service(10, 9, "a.example.com")];
    dns.set(name, Duration::ZERO, &listed);
    let resolver = in_pod(&dns);
    let members = resolver.members(name).await.unwrap();
    let shown: Vec<_> =
        members.iter().map(|member| (member.priority, member.weight, member.to_string())).collect();
    let at = |host: &str| format!("{host}.example.com:5432");
    assert_eq!(shown, [(10, 9, at("a")), (10, 5, at("b")), (20, 0, at("c"))]);
    assert_eq!(
        dns.questions(),
        1,
        "the name is absolute, and its list is kept a moment even without a lifetime"
    );
    assert_eq!(resolver.members(name).await.unwrap(), members);
    assert_eq!(dns.questions(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_service_is_told_apart() {
    let dns = Dns::start();
    dns.set("_a._tcp.example.com", TEN_MINUTES, &[service(0, 0, ".")]);
    dns.address("_b._tcp.example.com", "10.0.0.1");
    dns.trouble("_c._tcp.example.com", Kind::Srv, Said::Failure);
    dns.trouble("_d._tcp.example.com", Kind::Srv, Said::Silence);
    let resolver = in_pod(&dns);
    for (name, cause, text) in [
        ("_a._tcp.example.com", Cause::NameNotFound, "the service does not exist"),
        ("_b._tcp.example.com", Cause::NameNotFound, "no SRV records"),
        ("_c._tcp.example.com", Cause::NameServerFailed, ""),
        ("_d._tcp.example.com", Cause::NameServerSilent, ""),
        ("_e._tcp.example.com", Cause::NameNotFound, "there is no such name"),
    ] {
        let trouble = resolver.members(name).await.unwrap_err();
        assert_eq!(trouble.cause, cause, "{name}");
        assert!(trouble.detail.starts_with(name) && trouble.detail.contains(text), "{}", trouble.detail);
    }
}
