use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const RULES: domain::Pool = domain::Pool {
    warm: 2,
    reuse: false,
    max_idle: Duration::from_secs(600),
    max_age: Duration::from_secs(3600),
};
const REUSING: domain::Pool = domain::Pool { reuse: true, ..RULES };

/// Links are numbers here.
type Numbers = Stock<&'static str, u32>;

fn take(stock: &mut Numbers, key: &str) -> Found<u32> {
    stock.take(&key.as_bytes().into(), &Arc::new("intent"), Instant::now(), |_| true)
}

fn put(stock: &mut Numbers, key: &str, link: u32) -> Result<(), u32> {
    stock.put(key.as_bytes(), link, Instant::now(), Instant::now(), 1.0)
}

fn ordered(stock: &mut Numbers, most: usize) -> Vec<String> {
    let orders = stock.orders(Instant::now(), most);
    orders.iter().map(|order| String::from_utf8_lossy(&order.key).into_owned()).collect()
}

fn sweep(stock: &mut Numbers, verdict: impl Fn(u32) -> Verdict) -> Vec<u32> {
    stock.sweep(Instant::now(), |link| verdict(*link));
    stock.gone()
}

/// A stock that knows the key `a`, for which these wait.
fn stocked(rules: domain::Pool, links: &[u32]) -> Numbers {
    let mut stock = Stock::new(rules);
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
    ordered(&mut stock, 9).iter().for_each(|key| stock.settle(key.as_bytes()));
    links.iter().for_each(|link| put(&mut stock, "a", *link).expect("there is room"));
    stock
}

#[tokio::test(start_paused = true)]
async fn a_key_is_learned_from_a_session_and_its_links_are_opened_two_at_a_time() {
    let mut stock = Numbers::new(domain::Pool { warm: 3, ..RULES });
    assert!(!stock.is_in_use());
    assert_eq!(put(&mut stock, "a", 1), Err(1), "nobody has asked for such a link");
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
    assert_eq!(ordered(&mut stock, 2), ["a", "a"]);
    assert_eq!(ordered(&mut stock, 2), ["a"]);
    assert_eq!(ordered(&mut stock, 2), [""; 0], "three are under way");
    stock.settle(b"a");
    assert_eq!(ordered(&mut stock, 2), ["a"], "one of them failed");
}

#[tokio::test(start_paused = true)]
async fn a_link_is_handed_out_once_the_latest_first() {
    let mut stock = stocked(RULES, &[1, 2]);
    assert_eq!(take(&mut stock, "b"), Found::Nothing, "another key");
    assert_eq!(take(&mut stock, "a"), Found::Link(2));
    assert_eq!(take(&mut stock, "a"), Found::Link(1));
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
    assert_eq!(stock.gone(), [0u32; 0]);
}

#[tokio::test(start_paused = true)]
async fn there_are_links_while_one_waits_or_is_being_reset() {
    let mut stock = stocked(REUSING, &[1]);
    assert!(stock.has_links());
    assert_eq!(take(&mut stock, "a"), Found::Link(1));
    assert!(!stock.has_links());
    stock.returning(b"a");
    assert!(stock.has_links());
    stock.returned(b"a");
    assert!(!stock.has_links());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_does_not_fit_is_never_seen_again() {
    let mut stock = stocked(RULES, &[1, 2]);
    let found = stock.take(&b"a".as_slice().into(), &Arc::new("intent"), Instant::now(), |link| *link == 1);
    assert_eq!(found, Found::Link(1));
    assert_eq!(stock.gone(), [2]);
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_warm_wait() {
    let mut stock = stocked(RULES, &[1, 2]);
    assert_eq!(put(&mut stock, "a", 3), Err(3));
    assert_eq!(ordered(&mut stock, 9), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_key_that_was_used_least_recently_is_forgotten_with_its_links() {
    let mut stock = stocked(RULES, &[1, 2]);
    for number in 1..MOST_KEYS {
        take(&mut stock, &number.to_string());
    }
    assert_eq!(stock.gone(), [0u32; 0]);
    take(&mut stock, "one too many");
    assert_eq!(stock.gone(), [1, 2]);
    assert_eq!(put(&mut stock, "a", 3), Err(3));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_uses_is_forgotten_unless_it_was_the_last_one() {
    let mut stock = stocked(RULES, &[]);
    take(&mut stock, "b");
    tokio::time::advance(FORGET_AFTER).await;
    put(&mut stock, "a", 1).expect("room");
    put(&mut stock, "b", 2).expect("room");
    assert_eq!(sweep(&mut stock, |_| Verdict::Good), [1]);
    assert_eq!(take(&mut stock, "b"), Found::Link(2));
}

#[tokio::test(start_paused = true)]
async fn the_successor_of_a_link_is_there_before_it_is_due_to_go() {
    let mut stock = stocked(RULES, &[]);
    stock.put(b"a", 1, Instant::now(), Instant::now(), 0.0).expect("room");
    stock.put(b"a", 2, Instant::now(), Instant::now(), 1.0).expect("room");
    tokio::time::advance(RULES.max_idle.mul_f64(0.6)).await;
    assert_eq!(sweep(&mut stock, |_| Verdict::Good), [0u32; 0], "it serves until then");
    assert_eq!(ordered(&mut stock, 9), ["a"]);
    stock.settle(b"a");
    put(&mut stock, "a", 3).expect("it takes the place of 1");
    assert_eq!(stock.gone(), [1]);
    assert_eq!(take(&mut stock, "a"), Found::Link(3));
}

#[tokio::test(start_paused = true)]
async fn without_a_successor_a_link_waits_for_max_idle_at_most() {
    let mut stock = stocked(RULES, &[1, 2]);
    tokio::time::advance(RULES.max_idle - SECOND).await;
    assert_eq!(take(&mut stock, "a"), Found::Link(2));
    tokio::time::advance(SECOND).await;
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
    assert_eq!(sweep(&mut stock, |_| Verdict::Good), [1]);
}

#[tokio::test(start_paused = true)]
async fn links_of_an_older_generation_are_replaced_one_by_one_successor_first() {
    let mut stock = stocked(RULES, &[1, 2]);
    let old = |link| if link < 10 { Verdict::Stale } else { Verdict::Good };
    assert_eq!(sweep(&mut stock, old), [0u32; 0]);
    assert_eq!(ordered(&mut stock, 1), ["a"]);
    put(&mut stock, "a", 10).expect("it takes the place of 1");
    stock.settle(b"a");
    assert_eq!(stock.gone(), [1]);
    assert_eq!(ordered(&mut stock, 9), ["a"]);
    assert_eq!(take(&mut stock, "a"), Found::Link(10), "the new one first");
    assert_eq!(take(&mut stock, "a"), Found::Link(2), "the old one rather than none");
}

#[tokio::test(start_paused = true)]
async fn what_is_found_dead_is_gone() {
    let mut stock = stocked(RULES, &[1, 2]);
    let verdict = |link| if link == 1 { Verdict::Dead } else { Verdict::Good };
    assert_eq!(sweep(&mut stock, verdict), [1]);
    assert_eq!(ordered(&mut stock, 9), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_stock_keeps_nothing() {
    let mut stock = stocked(REUSING, &[1, 2]);
    stock.close();
    assert_eq!(stock.gone(), [1, 2]);
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
    assert_eq!(put(&mut stock, "a", 3), Err(3));
    assert!(!stock.wants_back(b"a", Instant::now(), Instant::now()));
    assert_eq!(ordered(&mut stock, 9), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_link_comes_back_while_it_is_young_and_there_is_room() {
    let mut stock = stocked(REUSING, &[1]);
    let start = Instant::now();
    assert!(stock.wants_back(b"a", start, start));
    assert!(!stock.wants_back(b"b", start, start), "an unknown key");
    assert!(!stocked(RULES, &[1]).wants_back(b"a", start, start), "links are used once");
    stock.returning(b"a");
    assert!(!stock.wants_back(b"a", start, start), "another one is on its way back");
    stock.returned(b"a");
    tokio::time::advance(REUSING.max_age).await;
    assert!(!stock.wants_back(b"a", start, Instant::now()), "too old");
    assert_eq!(stock.put(b"a", 2, start, Instant::now(), 1.0), Err(2));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_came_back_waits_no_longer_than_its_age_allows() {
    let mut stock = stocked(REUSING, &[]);
    let start = Instant::now();
    tokio::time::advance(REUSING.max_age - MINUTE).await;
    stock.put(b"a", 1, start, Instant::now(), 1.0).expect("room");
    tokio::time::advance(MINUTE).await;
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_session_may_wait_for_a_link_that_is_being_reset() {
    let mut stock = stocked(REUSING, &[]);
    stock.returning(b"a");
    assert_eq!(take(&mut stock, "a"), Found::Soon);
    put(&mut stock, "a", 1).expect("room");
    stock.returned(b"a");
    assert_eq!(take(&mut stock, "a"), Found::Link(1));
    assert_eq!(take(&mut stock, "a"), Found::Nothing);
}

#[tokio::test(start_paused = true)]
async fn where_links_come_back_only_what_is_lacking_for_a_while_is_opened() {
    let mut stock = stocked(REUSING, &[1, 2]);
    for _ in 0..5 {
        let Found::Link(one) = take(&mut stock, "a") else { panic!("one waits") };
        let Found::Link(other) = take(&mut stock, "a") else { panic!("one waits") };
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(ordered(&mut stock, 9), [""; 0], "both will be back");
        put(&mut stock, "a", one).expect("room");
        put(&mut stock, "a", other).expect("room");
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(ordered(&mut stock, 9), [""; 0], "both were back");
    }
    assert!(matches!(take(&mut stock, "a"), Found::Link(_)));
    tokio::time::advance(REFILL_AFTER).await;
    assert_eq!(ordered(&mut stock, 9), [""; 0], "two were waiting a moment ago");
    tokio::time::advance(REFILL_AFTER).await;
    assert_eq!(ordered(&mut stock, 9), ["a"], "its session stays");
}
