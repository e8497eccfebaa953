//! How clients are told where to connect: by their environment, and by what a person reads.

use attache_wire::Directions;

use super::house::House;

/// The environment of a client.
pub(super) struct Surroundings {
    pub(super) set: Vec<(String, String)>,
    /// What would lead a client past us.
    pub(super) clear: Vec<&'static str>,
}

/// The directions to one of the databases.
pub(super) struct Way<'a> {
    pub(super) name: &'a str,
    pub(super) is_named: bool,
    pub(super) directions: Directions,
}

impl Surroundings {
    /// The usual variables lead to the first database that has them. Among several, one that was given a name, or that
    /// does not have all of its variables to itself, has them also with its name in front.
    pub(super) fn of(ways: &[Way<'_>]) -> Self {
        let mut set: Vec<(String, String)> = Vec::new();
        for way in ways {
            let variables = &way.directions.env;
            let is_taken = |name: &str| set.iter().any(|(known, _)| known == name);
            let has_lost = variables.iter().any(|(name, _)| is_taken(name));
            // The first variable says where: half of a way to one database and half of that to another lead nowhere.
            let leads_elsewhere = variables.first().is_some_and(|(name, _)| is_taken(name));
            let free = variables.iter().filter(|(name, _)| !leads_elsewhere && !is_taken(name));
            let own: Vec<_> = free.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            set.extend(own);
            if ways.len() > 1 && (way.is_named || has_lost) {
                let prefix = way.name.to_uppercase().replace('-', "_");
                set.extend(variables.iter().map(|(name, value)| (format!("{prefix}_{name}"), value.clone())));
            }
        }
        let clear = ways.iter().flat_map(|way| way.directions.clear);
        let clear = clear.filter(|name| set.iter().all(|(known, _)| known != *name)).copied().collect();
        Self { set, clear }
    }
}

/// What somebody reads who was told nothing else.
pub(super) fn how_to_connect(house: &House, ways: &[Way<'_>], surroundings: &Surroundings) -> String {
    let mut text = String::new();
    for (database, way) in house.databases.iter().zip(ways) {
        let name = if ways.len() > 1 { format!("{}: ", way.name) } else { String::new() };
        text += &format!("{name}{} at {}", database.wanted.target.servers(), database.address());
        let taken = database.taken.map(|port| format!(" ({port} is taken)"));
        let read_only = database.wanted.read_only.then(|| ", read-only".to_owned());
        text.extend(taken.into_iter().chain(read_only));
        text += "\n\n";
        let words: Vec<_> = way.directions.example.iter().map(|word| quoted(word)).collect();
        let example = Some(words.join(" ")).filter(|example| !example.is_empty());
        let lines: Vec<_> =
            example.iter().chain(&way.directions.jdbc).map(|line| format!("  {line}\n")).collect();
        if !lines.is_empty() {
            text += &(lines.concat() + "\n");
        }
    }
    for (name, value) in &surroundings.set {
        text += &format!("  export {name}={}\n", quoted(value));
    }
    text + "\nCtrl-C ends it.\n"
}

/// For a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,=[]".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_see_more_in_them() {
        assert_eq!(quoted("127.0.0.1"), "127.0.0.1");
        assert_eq!(
            quoted("postgresql://o@127.0.0.1:5432/o?a=b&c=d"),
            "'postgresql://o@127.0.0.1:5432/o?a=b&c=d'"
        );
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    fn way(name: &'static str, is_named: bool, variables: &[&'static str]) -> Way<'static> {
        let env = variables.iter().map(|variable| (*variable, format!("{name}'s"))).collect();
        Way { name, is_named, directions: Directions { env, clear: &["B", "C"], ..Directions::default() } }
    }

    fn set(ways: &[Way<'_>]) -> Vec<String> {
        Surroundings::of(ways).set.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn variables_lead_to_the_first_that_has_them_and_names_to_the_others() {
        assert_eq!(set(&[way("x", true, &["A"])]), ["A=x's"]);
        let two = [way("x", false, &["A", "B"]), way("y", false, &["C"])];
        assert_eq!(set(&two), ["A=x's", "B=x's", "C=y's"]);
        let two = [way("x", false, &["A", "B"]), way("y-z", false, &["B", "C"])];
        assert_eq!(set(&two), ["A=x's", "B=x's", "Y_Z_B=y-z's", "Y_Z_C=y-z's"]);
        let two = [way("x", false, &["A", "B"]), way("y", false, &["C", "B"])];
        assert_eq!(set(&two), ["A=x's", "B=x's", "C=y's", "Y_C=y's", "Y_B=y's"]);
        let two = [way("x", true, &["A"]), way("y", false, &["B"])];
        assert_eq!(set(&two), ["A=x's", "X_A=x's", "B=y's"]);
    }

    #[test]
    fn what_is_set_is_not_taken_out() {
        assert_eq!(Surroundings::of(&[way("x", false, &["B"])]).clear, ["C"]);
    }
}
