//! The real `attache` binary as a process: its configuration, its log as it comes, its signals, its size.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub use rustix::process::Signal;

use crate::keeper::Keeper;
use crate::scratch;
use crate::tools::{self, Ran};
use crate::wait::within;

/// For a command that is expected to end by itself.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// What a process said arrives at once after its end, unless a child of its own holds the pipe.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How the binary is to be started.
#[derive(Debug)]
pub struct Launch {
    binary: PathBuf,
    config: Option<String>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// `env!("CARGO_BIN_EXE_attache")`, which only a test of that package knows.
    pub fn binary(path: impl AsRef<Path>) -> Launch {
        Launch {
            binary: path.as_ref().to_path_buf(),
            config: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Its text goes to a file, and the process is started as `run -c FILE` and then the other arguments.
    pub fn config(mut self, yaml: &str) -> Launch {
        self.config = Some(yaml.to_string());
        self
    }

    pub fn arg(mut self, argument: impl Into<OsString>) -> Launch {
        self.arguments.push(argument.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    pub fn start(self) -> Process {
        let folder = scratch::folder("config");
        let config = folder.path().join("attache.yaml");
        let mut command = self.prepared();
        if let Some(yaml) = &self.config {
            fs::write(&config, yaml).expect("our own folder takes a file");
            command.args(["run", "-c"]).arg(&config);
        }
        command.args(&self.arguments);
        Process::spawn(command, folder, config)
    }

    /// Any other subcommand, to its end; a configuration, if given, stands where the arguments say `{config}`.
    pub fn command(self, arguments: &[&str]) -> Ran {
        let folder = scratch::folder("config");
        let config = folder.path().join("attache.yaml");
        fs::write(&config, self.config.as_deref().unwrap_or_default()).expect("our own folder takes a file");
        let config = config.to_str().expect("a temporary folder has a plain name");
        let mut command = self.prepared();
        command
            .args(arguments.iter().map(|argument| argument.replace("{config}", config)))
            .args(&self.arguments);
        tools::run(&mut command, b"", COMMAND_DEADLINE)
    }

    /// Without the developer's own `ATTACHE_…` settings, which would be a layer of the configuration.
    fn prepared(&self) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATTACHE_"))
        {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running process. It is killed on drop; if the test panics, everything it said is printed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
    config: PathBuf,
    _keeper: Keeper,
    _folder: TempDir,
}

impl Process {
    fn spawn(mut command: Command, folder: TempDir, config: PathBuf) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let stdout = Lines::of(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is a pipe"));
        let keeper = Keeper::of_process(child.id());
        Process { child, status: None, stdout, stderr, config, _keeper: keeper, _folder: folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn config_path(&self) -> &Path {
        &self.config
    }

    /// Replaces the file in one step, as an editor or a ConfigMap does; the process is not told.
    pub fn rewrite_config(&self, yaml: &str) {
        let next = self.config.with_extension("next");
        fs::write(&next, yaml).expect("our own folder takes a file");
        fs::rename(&next, &self.config).expect("a rename within the folder");
    }

    /// The log so far; a line that is not JSON is a JSON string.
    pub fn log(&self) -> Vec<Value> {
        self.stderr.lock().iter().map(|line| parsed(line)).collect()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().join("\n")
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().join("\n")
    }

    /// How many log lines so far are like this.
    pub fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.log().iter().filter(|line| wanted(line)).count()
    }

    /// The first log line like this, said already or still to come.
    pub fn wait_for(&self, what: &str, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_since(0, what, deadline, wanted)
    }

    /// The same for lines after the first `since`, which [`Process::lines`] told before the event.
    pub fn wait_for_since(
        &self,
        since: usize,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.stderr
            .wait(since, deadline, |line| Some(parsed(line)).filter(&wanted))
            .unwrap_or_else(|| panic!("waited {deadline:?} for the log to tell {what}"))
    }

    pub fn lines(&self) -> usize {
        self.stderr.lock().len()
    }

    pub fn signal(&self, signal: Signal) {
        assert!(self.status.is_none(), "the process has ended");
        kill_process(Pid::from_child(&self.child), signal).expect("our own child takes a signal");
    }

    /// Its status, once it has ended and all that it said has arrived here.
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let pid = self.pid();
        let status = within(deadline, || self.ended());
        let status = status.unwrap_or_else(|| panic!("process {pid} did not end within {deadline:?}"));
        let complete = || (self.stdout.is_complete() && self.stderr.is_complete()).then_some(());
        within(LAST_WORDS, complete);
        status
    }

    pub fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    pub fn open_files(&self) -> usize {
        self.descriptors().count()
    }

    /// Open sockets among its files: listeners, sessions and the rest.
    pub fn sockets(&self) -> usize {
        self.descriptors().filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    pub fn threads(&self) -> usize {
        self.status_field("Threads").try_into().expect("a number of threads")
    }

    pub fn resident_bytes(&self) -> u64 {
        const KIB: u64 = 1024;
        self.status_field("VmRSS") * KIB
    }

    fn descriptors(&self) -> impl Iterator<Item = PathBuf> {
        let folder = format!("/proc/{}/fd", self.pid());
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
    }

    fn status_field(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is running");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no number {name} in the status of the process"))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("our own child can be waited for");
        }
        self.status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            self.print_everything();
        }
    }
}

impl Process {
    #[expect(clippy::print_stderr, reason = "the test runner shows it under the failed test")]
    fn print_everything(&self) {
        eprintln!("--- log of process {}\n{}", self.pid(), self.stderr());
        if !self.stdout().is_empty() {
            eprintln!("--- its output\n{}", self.stdout());
        }
    }
}

/// The lines of a pipe, collected by a thread that ends with it.
#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
    complete: AtomicBool,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        let writer = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                writer.lock().push(String::from_utf8_lossy(&line).into_owned());
                writer.changed.notify_all();
            }
            writer.complete.store(true, Ordering::SeqCst);
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_complete(&self) -> bool {
        self.complete.load(Ordering::SeqCst)
    }

    fn wait<T>(&self, since: usize, deadline: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + deadline;
        let mut seen = since;
        let mut lines = self.lock();
        loop {
            let fresh = lines.get(seen..).unwrap_or_default();
            if let Some(found) = fresh.iter().find_map(|line| wanted(line)) {
                return Some(found);
            }
            seen = seen.max(lines.len());
            let left = end.checked_duration_since(Instant::now())?;
            lines = self.changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_string()))
}
