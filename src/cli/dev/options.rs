//! Options that may be said once for each database, with its name in front.

use clap::Args;

#[derive(Debug, Default, Args)]
pub(super) struct Options {
    /// A file with the password, followed when it changes; `-` is the first line of standard input. Without it you are
    /// asked, where there is a terminal and the URL names a user. With several databases once for each, as
    /// NAME=FILE.
    #[arg(long, value_name = "[NAME=]FILE", env = "ATTACHE_PASSWORD_FILE")]
    pub(super) password_file: Vec<String>,

    /// Where to listen on this machine [default: 127.0.0.1, the usual port of the protocol, or the next free one].
    #[arg(long, value_name = "[NAME=]ADDRESS")]
    pub(super) listen: Vec<String>,

    /// The certificate authorities to trust, as a PEM file, instead of those of the system.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub(super) ca: Vec<String>,

    /// What is verified of the server: verify-full (chain and name), verify-ca (the chain), insecure-no-verify (nothing:
    /// whoever answers gets the password), or off (there is no TLS).
    #[arg(long, value_name = "[NAME=]MODE")]
    pub(super) tls: Vec<String>,

    /// The name in the server's certificate, where it is not the host of the URL.
    #[arg(long, value_name = "[NAME=]NAME")]
    pub(super) server_name: Vec<String>,
}

/// The values of one option.
pub(super) struct Choices<'a> {
    option: &'static str,
    /// Said without a name.
    bare: Option<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Choices<'a> {
    /// Tells values with a name in front from those without. What stands before an equals sign and is no name of a
    /// database belongs to the value.
    pub(super) fn sort(option: &'static str, values: &'a [String], names: &[String]) -> Result<Self, String> {
        let mut choices = Self { option, bare: None, named: Vec::new() };
        for value in values {
            let named = value.split_once('=').filter(|(name, _)| names.iter().any(|known| known == name));
            let is_second = match named {
                Some((name, _)) => choices.named.iter().any(|(known, _)| *known == name),
                None => choices.bare.is_some(),
            };
            if is_second {
                let which = named.map_or_else(String::new, |(name, _)| format!(" for {name}"));
                return Err(format!("{option} is said twice{which}"));
            }
            match named {
                Some(named) => choices.named.push(named),
                None => choices.bare = Some(value),
            }
        }
        Ok(choices)
    }

    /// What was said for this database, by its name or for all.
    pub(super) fn of(&self, name: &str) -> Option<&'a str> {
        self.named(name).or(self.bare)
    }

    /// What was said for this database by its name.
    pub(super) fn named(&self, name: &str) -> Option<&'a str> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Complains of a value without a name that several of these could take.
    pub(super) fn must_mean_one(&self, names: &[String]) -> Result<(), String> {
        let without = names.iter().filter(|name| !self.named.iter().any(|(known, _)| known == name));
        let without: Vec<_> = without.map(|name| format!("{} {name}=…", self.option)).collect();
        match (self.bare, without.as_slice()) {
            (None, _) | (Some(_), [_]) => Ok(()),
            (Some(_), []) if names.is_empty() => {
                Err(format!("{} has no effect: nobody logs in here", self.option))
            }
            (Some(_), []) => Err(format!("{} is said once more than there are databases", self.option)),
            (Some(_), several) => Err(format!(
                "{} does not say for which database it is: write {}",
                self.option,
                several.join(" and ")
            )),
        }
    }
}
