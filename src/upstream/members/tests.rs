use super::*;

fn members(of: &[(u16, u16)]) -> Vec<Member> {
    let member = |(index, (priority, weight)): (usize, &(u16, u16))| Member {
        priority: *priority,
        host: format!("db-{index}.example.com"),
        port: 5432,
        weight: *weight,
    };
    of.iter().enumerate().map(member).collect()
}

/// A source that is the same in every run: Knuth's linear congruence, of which the upper half is used.
fn counted() -> impl FnMut(u32) -> u32 {
    let mut state = 1_u64;
    move |most| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 32) % (u64::from(most) + 1)).unwrap()
    }
}

/// How often each came first.
fn first(of: &[(u16, u16)], rounds: usize) -> Vec<usize> {
    let (members, mut source, mut count) = (members(of), counted(), vec![0; of.len()]);
    for _ in 0..rounds {
        count[draw(&members, &mut source)[0]] += 1;
    }
    count
}

#[test]
fn priorities_are_strict_and_everybody_is_tried_once() {
    let (members, mut source) = (members(&[(1, 1), (1, 0), (1, 60_000), (5, 9), (5, 9), (9, 0)]), counted());
    for _ in 0..200 {
        let order = draw(&members, &mut source);
        let priorities: Vec<_> = order.iter().map(|index| members[*index].priority).collect();
        assert_eq!(priorities, [1, 1, 1, 5, 5, 9]);
        let mut all = order;
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }
    assert_eq!(draw(&[], &mut source), [0; 0]);
}

#[test]
fn weights_are_shares() {
    let count = first(&[(0, 10), (0, 30), (0, 60)], 10_000);
    for (seen, wanted) in count.iter().zip([1_000_usize, 3_000, 6_000]) {
        assert!(seen.abs_diff(wanted) < 250, "{count:?}");
    }
}

#[test]
fn without_a_weight_one_is_seldom_first_beside_others_and_all_are_equal_among_themselves() {
    let count = first(&[(0, 0), (0, 99)], 10_000);
    assert!((1..300).contains(&count[0]), "about one in a hundred: {count:?}");
    let count = first(&[(0, 0), (0, 0), (0, 0), (0, 0)], 10_000);
    assert!(count.iter().all(|seen| seen.abs_diff(2_500) < 250), "{count:?}");
}

#[test]
fn the_greatest_weights_do_not_overflow() {
    let all = [(0, u16::MAX); MOST_MEMBERS];
    assert!(first(&all, 1_000).iter().all(|seen| *seen > 50));
}

#[test]
fn servers_are_of_the_domain_of_their_list() {
    let srv = "_postgresql._tcp.orders.example.com";
    assert_eq!(domain_of(srv), "example.com");
    assert_eq!(domain_of("_postgresql._tcp.example.com"), "example.com", "never a whole top-level domain");
    assert_eq!(domain_of("_postgresql._tcp.db.blue.svc.cluster.local"), "blue.svc.cluster.local");
    for host in ["db-1.example.com", "DB-1.Orders.Example.com.", "example.com"] {
        assert!(is_of_domain(host, srv), "{host}");
    }
    for host in ["db-1.example.net", "badexample.com", "com", "example.com.evil.org", ""] {
        assert!(!is_of_domain(host, srv), "{host}");
    }
}
