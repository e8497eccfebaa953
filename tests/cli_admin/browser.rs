//! A real browser without a screen, driven step by step by `browser.js`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use attache_kit::{available, tools};
use serde_json::{Value, json};

/// It ends with its standard input. A step that takes too long ends by itself, and fails the test.
pub(crate) struct Browser {
    node: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// `None` where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let mut command = available(tools::browser())?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli_admin/browser.js");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = command.spawn().unwrap();
        let (orders, answers) = (node.stdin.take(), BufReader::new(node.stdout.take().unwrap()));
        Some(Self { node, orders, answers })
    }

    /// Opens a page in a window of its own, and comes back with the answer's status.
    pub(crate) fn open(&mut self, url: &str, window: Value) -> u64 {
        let mut window = window;
        window["url"] = url.into();
        self.order("open", window).as_u64().unwrap()
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        self.order("text", json!({ "selector": selector })).as_str().unwrap().trim().to_owned()
    }

    /// Waits until such an element with this text is there.
    pub(crate) fn wait(&mut self, selector: &str, text: &str) {
        self.order("wait", json!({ "selector": selector, "text": text }));
    }

    pub(crate) fn click(&mut self, selector: &str) {
        self.order("click", json!({ "selector": selector }));
    }

    /// Writes what can be seen into a file of the target folder, for people.
    pub(crate) fn picture(&mut self, name: &str) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        self.order("picture", json!({ "path": path }));
    }

    /// What the console and the policy on content have to complain of.
    pub(crate) fn complaints(&mut self) -> Value {
        self.ask("complaints")
    }

    pub(crate) fn ask(&mut self, question: &str) -> Value {
        self.order(question, json!({}))
    }

    pub(crate) fn order(&mut self, order: &str, mut rest: Value) -> Value {
        rest["order"] = order.into();
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{rest}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{order}: {line:?}"));
        assert_eq!(answer["failed"], Value::Null, "{rest}");
        answer["done"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.node.wait();
    }
}
