//! What the API server asks before it stores a pod, and what it is answered (`admission.k8s.io/v1`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::needs::Needs;
use super::operation::{Operation, Patch, Path};
use super::parameters::{Parameters, WANTED};
use super::pod::{self, Ready, Standing};

/// The API server shortens what is longer.
const LONGEST_WARNING: usize = 256;

/// What the webhook knows beside the pod.
#[derive(Debug, Clone, Default)]
pub struct House {
    /// What annotations do not say.
    pub defaults: Parameters,
    /// Configurations by name.
    pub profiles: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Review {
    #[serde(rename = "apiVersion")]
    version: String,
    kind: String,
    request: Request,
}

#[derive(Debug, Deserialize)]
struct Request {
    uid: String,
    kind: Kind,
    #[serde(default)]
    operation: String,
    #[serde(default, rename = "subResource")]
    sub_resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    object: Value,
}

#[derive(Debug, Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    kind: String,
}

impl Request {
    fn is_new_pod(&self) -> bool {
        (self.kind.group.as_str(), self.kind.kind.as_str()) == ("", "Pod")
            && self.operation == "CREATE"
            && self.sub_resource.is_empty()
    }
}

/// What was decided, for the log and the counters.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// The AdmissionReview to send back.
    pub body: Value,
    pub verdict: Verdict,
    /// Namespace and name of the pod, as far as they are known.
    pub pod: String,
}

#[derive(Debug, PartialEq)]
pub enum Verdict {
    Injected,
    /// It has a sidecar, or does not want one.
    Unchanged,
    /// It wants one that cannot be made.
    Denied(String),
}

impl Verdict {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::Denied(_) => "denied",
        }
    }
}

impl House {
    /// Answers a review.
    ///
    /// # Errors
    /// The body is no review of the one version that there is.
    pub fn review(&self, body: &[u8]) -> Result<Answer, String> {
        let review: Review =
            serde_json::from_slice(body).map_err(|error| format!("not an AdmissionReview: {error}"))?;
        if (review.version.as_str(), review.kind.as_str()) != ("admission.k8s.io/v1", "AdmissionReview") {
            let (version, kind) = (review.version, review.kind);
            return Err(format!("{kind} {version}: only AdmissionReview admission.k8s.io/v1 is known"));
        }
        let mut request = review.request;
        if request.is_new_pod() && !request.object.is_object() {
            return Err("a pod is created, and the review does not hold it".to_owned());
        }
        let (mut notes, pod) = (Vec::new(), title(&request));
        let decided = self.decide(&mut request, &mut notes);
        let mut response = json!({ "uid": request.uid, "allowed": decided.is_ok() });
        let verdict = match decided {
            Ok(operations) if operations.is_empty() => Verdict::Unchanged,
            Ok(operations) => {
                let patch = serde_json::to_vec(&operations).expect("plain values");
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(STANDARD.encode(patch));
                Verdict::Injected
            }
            Err(reasons) => {
                let message = format!("attache: {}", reasons.join("; "));
                // 422: what the API server says itself of an object that it understands and does not take.
                response["status"] = json!({ "code": 422, "reason": "Invalid", "message": message });
                Verdict::Denied(message)
            }
        };
        if !notes.is_empty() {
            let short = |note: &String| format!("attache: {note}").chars().take(LONGEST_WARNING).collect();
            response["warnings"] = notes.iter().map(short).collect::<Vec<String>>().into();
        }
        let body = json!({ "apiVersion": review.version, "kind": "AdmissionReview", "response": response });
        Ok(Answer { body, verdict, pod })
    }

    /// Takes the object out of the request: a pod may be so large that two of it are one too many.
    fn decide(&self, request: &mut Request, notes: &mut Vec<String>) -> Result<Vec<Operation>, Vec<String>> {
        if !request.is_new_pod() || request.object["metadata"]["labels"][WANTED.0] != WANTED.1 {
            return Ok(Vec::new());
        }
        let mut patch = Patch::new(request.object.take());
        let pod = Path::default();
        match pod::standing(&patch, &pod) {
            Standing::Injected | Standing::Otherwise => return Ok(Vec::new()),
            Standing::Without => {}
        }
        let asked = Parameters::of_annotations(pod.join("metadata/annotations").find(&patch.document))?;
        let asked = asked.or(&self.defaults);
        let (needs, carried) = self.needs(&asked)?;
        let ready = Ready { asked: &asked, needs: &needs, carried: carried.as_deref() };
        pod::add(&mut patch, &pod, &ready, notes)?;
        Ok(patch.operations)
    }

    fn needs(&self, asked: &Parameters) -> Result<(Needs, Option<String>), Vec<String>> {
        match (&asked.configuration, &asked.profile) {
            (Some(_), Some(_)) => {
                Err(vec!["annotations name a configuration and a profile: take one of them out".to_owned()])
            }
            (Some(text), None) => Ok((Needs::of_text("annotation", text, asked)?, Some(text.clone()))),
            (None, Some(name)) => {
                let known: Vec<_> = self.profiles.keys().map(String::as_str).collect();
                let text = self.profiles.get(name).ok_or_else(|| {
                    vec![format!("there is no profile {name}; there are: {}", known.join(", "))]
                })?;
                Ok((Needs::of_text(&format!("profile {name}"), text, asked)?, Some(text.clone())))
            }
            (None, None) => Ok((Needs::of_secrets(asked), None)),
        }
    }
}

/// A pod of a controller has no name yet, and its namespace is that of the request.
fn title(request: &Request) -> String {
    let metadata = &request.object["metadata"];
    let name = metadata["name"].as_str().or_else(|| metadata["generateName"].as_str());
    format!("{}/{}", request.namespace, name.unwrap_or_default())
}
