//! What somebody asks for: by the annotations of a pod, and by flags, which come first.

use std::collections::BTreeMap;

use serde_json::Value;

use super::quantity;

/// What every label and annotation of ours begins with.
pub const PREFIX: &str = "attache-proxy.io/";
/// The label that asks for a sidecar, with this value; with the other one it refuses it.
pub const WANTED: (&str, &str) = ("attache-proxy.io/inject", "enabled");
pub const UNWANTED: &str = "disabled";
/// The label that says that there is a sidecar, and of which kind. Policies select by it.
pub const SIDECAR: &str = "attache-proxy.io/sidecar";
/// The annotation that says what was injected, so that it can be taken out again.
pub const INJECTED: &str = "attache-proxy.io/injected";
/// The annotation that holds a configuration, which the pod sees as a file.
pub const CONFIGURATION: &str = "attache-proxy.io/configuration";

/// Annotations that are no parameters but known: marks of ours, and one of the chart.
const MARKS: [&str; 2] = ["injected", "config"];
const KNOWN: &str = "image, kind, profile, configuration, config-map, ca-config-map, secret.ROUTE, env, cpu-request, \
                     memory-request, memory-limit";

/// How the sidecar runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sidecar {
    /// An init container that runs on: Kubernetes 1.29 and newer.
    Native,
    /// An ordinary container, for older clusters.
    Classic,
}

impl Sidecar {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Classic => "classic",
        }
    }
}

/// A container that is to find its databases by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name, or `*` for every container.
    pub container: String,
    /// One route; `None` means all.
    pub route: Option<String>,
}

impl std::str::FromStr for Offer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (container, route) = match text.split_once('=') {
            Some((container, route)) => (container, Some(route.to_owned())),
            None => (text, None),
        };
        if container.is_empty() || route.as_ref().is_some_and(String::is_empty) {
            return Err("a container, or CONTAINER=ROUTE; * means every container".to_owned());
        }
        Ok(Self { container: container.to_owned(), route })
    }
}

/// What can be asked for; everything has a default further below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    pub image: Option<String>,
    pub kind: Option<Sidecar>,
    /// The name of a configuration that the webhook knows.
    pub profile: Option<String>,
    /// The text of a configuration.
    pub configuration: Option<String>,
    /// The ConfigMap with the key `attache.yaml`.
    pub config_map: Option<String>,
    /// The ConfigMap with the key `ca.pem`.
    pub ca_config_map: Option<String>,
    /// The Secret of each route.
    pub secrets: BTreeMap<String, String>,
    pub env: Vec<Offer>,
    pub cpu_request: Option<String>,
    pub memory_request: Option<String>,
    pub memory_limit: Option<String>,
}

impl Parameters {
    /// Reads the annotations of a pod.
    ///
    /// # Errors
    /// Every annotation with our prefix that means nothing.
    pub fn of_annotations(annotations: Option<&Value>) -> Result<Self, Vec<String>> {
        let (mut parameters, mut wrong) = (Self::default(), Vec::new());
        for (name, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let read = value.as_str().ok_or_else(|| "is no text".to_owned());
            if let Err(reason) = read.and_then(|text| parameters.take(key, text)) {
                wrong.push(format!("annotation {name}: {reason}"));
            }
        }
        if wrong.is_empty() { Ok(parameters) } else { Err(wrong) }
    }

    fn take(&mut self, key: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        let slot = match key {
            "image" => &mut self.image,
            "profile" => &mut self.profile,
            "configuration" => &mut self.configuration,
            "config-map" => &mut self.config_map,
            "ca-config-map" => &mut self.ca_config_map,
            "cpu-request" => amount(&mut self.cpu_request, text)?,
            "memory-request" => amount(&mut self.memory_request, text)?,
            "memory-limit" => amount(&mut self.memory_limit, text)?,
            "kind" => {
                self.kind = Some(clap::ValueEnum::from_str(text, false).map_err(|_| "native or classic")?);
                return Ok(());
            }
            "env" => {
                self.env = text.split(',').map(|item| item.trim().parse()).collect::<Result<_, _>>()?;
                return Ok(());
            }
            mark if MARKS.contains(&mark) => return Ok(()),
            other => {
                let route = other.strip_prefix("secret.").filter(|route| !route.is_empty());
                let route = route.ok_or_else(|| format!("is not known; known are {KNOWN}"))?;
                self.secrets.insert(route.to_owned(), text.to_owned());
                return Ok(());
            }
        };
        *slot = Some(text.to_owned());
        Ok(())
    }

    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        // Only one source of the configuration is meant at a time.
        let named = self.profile.is_some() || self.configuration.is_some() || self.config_map.is_some();
        let source = if named { &Self::default() } else { other };
        let mut secrets = other.secrets.clone();
        secrets.extend(self.secrets);
        Self {
            image: self.image.or_else(|| other.image.clone()),
            kind: self.kind.or(other.kind),
            profile: self.profile.or_else(|| source.profile.clone()),
            configuration: self.configuration.or_else(|| source.configuration.clone()),
            config_map: self.config_map.or_else(|| source.config_map.clone()),
            ca_config_map: self.ca_config_map.or_else(|| other.ca_config_map.clone()),
            secrets,
            env: if self.env.is_empty() { other.env.clone() } else { self.env },
            cpu_request: self.cpu_request.or_else(|| other.cpu_request.clone()),
            memory_request: self.memory_request.or_else(|| other.memory_request.clone()),
            memory_limit: self.memory_limit.or_else(|| other.memory_limit.clone()),
        }
    }
}

/// The place for an amount, once it is known to be one.
fn amount<'a>(slot: &'a mut Option<String>, text: &str) -> Result<&'a mut Option<String>, String> {
    quantity(text).map(|_| slot)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_say_what_flags_say_and_mistakes_are_all_told() {
        let annotations = json!({
            "attache-proxy.io/secret.orders": "orders-db",
            "attache-proxy.io/kind": "classic",
            "attache-proxy.io/env": "app=orders, worker",
            "attache-proxy.io/injected": "{}",
            "example.com/other": "x",
        });
        let read = Parameters::of_annotations(Some(&annotations)).expect("known annotations");
        assert_eq!(read.secrets["orders"], "orders-db");
        assert_eq!(read.kind, Some(Sidecar::Classic));
        let offers = [("app", Some("orders")), ("worker", None)];
        let offers = offers.map(|(container, route)| Offer {
            container: container.to_owned(),
            route: route.map(str::to_owned),
        });
        assert_eq!(read.env, offers);

        let mistakes = json!({
            "attache-proxy.io/kind": "modern",
            "attache-proxy.io/imgae": "x",
            "attache-proxy.io/memory-limit": "lots",
        });
        let wrong = Parameters::of_annotations(Some(&mistakes)).expect_err("mistakes");
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }

    #[test]
    fn flags_come_before_annotations() {
        let some = |text: &str| Some(text.to_owned());
        let flags = Parameters { config_map: some("a"), ..Parameters::default() };
        let annotations = Parameters { profile: some("p"), image: some("i"), ..Parameters::default() };
        let both = flags.or(&annotations);
        assert_eq!((both.config_map, both.profile, both.image), (some("a"), None, some("i")));
    }
}
