//! The example for Docker Compose as podman-compose plays it. Nothing can be pulled here: files of this machine stand in for
//! the image of PostgreSQL, and the image of Attaché is that of the other tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attache_kit::container::{Engine, root_of};
use attache_kit::namespace::machine;
use attache_kit::tools::{self, Ran};
use attache_kit::{StartError, available, eventually};
use tempfile::TempDir;

use crate::house::{ATTACHE, make_attache};
use crate::play::{LONG, deploy};

const DATABASE: &str = "localhost/postgres:18";
const SERVER: &str = "/usr/lib/postgresql/15";
const DEADLINE: Duration = Duration::from_secs(180);

/// A copy of the example, and a `docker` that is podman-compose on a storage of its own.
struct Laptop {
    engine: Engine,
    folder: TempDir,
}

impl Laptop {
    fn start() -> Result<Laptop, StartError> {
        tools::podman_compose()?;
        let engine = Engine::start()?;
        make_attache(&engine);
        engine.podman(&["tag", "localhost/attache:test", ATTACHE]).ok();
        make_database(&engine);
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-R").arg(deploy()).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        let laptop = Laptop { engine, folder };
        laptop.write_docker()?;
        Ok(laptop)
    }

    fn example(&self) -> PathBuf {
        self.folder.path().join("deploy")
    }

    /// `docker compose …` as a reader types it.
    fn write_docker(&self) -> Result<(), StartError> {
        let networks = self.folder.path().join("networks");
        fs::create_dir(&networks).unwrap();
        let mut podman = self.engine.command("podman");
        podman.arg("--network-config-dir").arg(&networks);
        // Not among the programs that the shell finds: it calls the other one of that name.
        let podman = self.program("podman/podman", &script_of(&podman));
        let mut compose = tools::podman_compose()?;
        compose.arg("--podman-path").arg(podman);
        self.program("bin/docker", &format!("[ \"$1\" = compose ] && shift\n{}", script_of(&compose)));
        Ok(())
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        tools::write_script(&file, &format!("#!/bin/sh\n{script}\n"));
        file
    }

    /// Commands of the page, in the folder of the example.
    fn shell(&self, script: &str) -> Ran {
        let mut shell = Command::new("sh");
        let programs = self.folder.path().join("bin").display().to_string();
        shell.args(["-ec", script]).current_dir(self.example());
        shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
        tools::run(&mut shell, b"", DEADLINE)
    }

    /// Starts one service, and waits for its own check as Compose does before it starts the next.
    fn up(&self, service: &str) {
        self.shell(&format!("docker compose up --detach --no-build {service}")).ok();
    }

    fn is_healthy(&self, service: &str) {
        let checked = || self.engine.podman(&["healthcheck", "run", &container(service)]).status.success();
        eventually(&format!("{service} to be healthy"), LONG, || checked().then_some(()));
    }

    fn logs(&self, service: &str) -> String {
        let ran = self.engine.podman(&["logs", &container(service)]);
        ran.stdout + &ran.stderr
    }
}

fn container(service: &str) -> String {
    format!("deploy_{service}_1")
}

/// The same command as a line of a shell.
fn script_of(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let environment = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("export {}={}\n", name.to_str().unwrap(), quoted(value?))));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    format!("{}exec {} \"$@\"", environment.collect::<String>(), words.collect::<Vec<_>>().join(" "))
}

/// PostgreSQL as its official image behaves, made of Debian's.
fn make_database(engine: &Engine) {
    let server = |name: &str| (PathBuf::from(format!("{SERVER}/bin/{name}")), format!("{SERVER}/bin/{name}"));
    let machine = |name: &str| (PathBuf::from(format!("/bin/{name}")), format!("/bin/{name}"));
    let programs = ["postgres", "initdb", "pg_ctl", "pg_isready", "psql"].map(server).into_iter();
    let programs = programs.chain(["sh", "cat", "mkdir", "chown", "chmod", "sleep", "setpriv"].map(machine));
    let programs: Vec<_> = programs.collect();
    let pairs: Vec<(&Path, &str)> = programs.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect();
    let root = root_of(&pairs).unwrap();
    for folder in [format!("{SERVER}/lib"), "/usr/share/postgresql/15".to_owned()] {
        let into = root.path().join(folder.trim_start_matches('/'));
        fs::create_dir_all(&into).unwrap();
        let copied = Command::new("cp").arg("-RL").arg(format!("{folder}/.")).arg(into).status().unwrap();
        assert!(copied.success(), "{folder}");
    }
    fs::create_dir_all(root.path().join("etc")).unwrap();
    let users = "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    fs::write(root.path().join("etc/passwd"), users).unwrap();
    fs::write(root.path().join("etc/group"), "root:x:0:\npostgres:x:999:\nnogroup:x:65534:\n").unwrap();
    let entrypoint = root.path().join("entrypoint");
    fs::write(&entrypoint, include_str!("postgres-entrypoint.sh")).unwrap();
    fs::set_permissions(entrypoint, fs::Permissions::from_mode(0o755)).unwrap();
    let settings =
        format!("ENV PATH={SERVER}/bin:/usr/bin:/bin\nENTRYPOINT [\"/entrypoint\"]\nCMD [\"postgres\"]");
    engine.image(DATABASE, root.path(), &settings);
}

/// The commands of a block of the page, the one in which `words` stand.
fn block(words: &str) -> &'static str {
    let page = include_str!("../../docs/compose.md");
    let blocks = page.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    blocks.into_iter().find(|block| block.contains(words)).unwrap_or_else(|| panic!("no block with {words}"))
}

/// podman keeps the state of networks where every podman of the machine looks for it.
fn own_state() {
    let script =
        "for folder in /run/containers /run/netns; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done";
    tools::run(Command::new("sh").args(["-ec", script]), b"", DEADLINE).ok();
}

#[test]
fn the_example_for_compose_comes_up_and_its_application_lives_through_a_rotation() {
    let name = "compose::the_example_for_compose_comes_up_and_its_application_lives_through_a_rotation";
    let permitted = machine(name, || {
        own_state();
        let Some(laptop) = available(Laptop::start()) else { return };
        let prepared = block("docker compose up").replace("cd deploy\n", "");
        laptop.shell(prepared.strip_suffix("docker compose up --build").unwrap()).ok();
        for service in ["db", "attache"] {
            laptop.up(service);
            laptop.is_healthy(service);
        }
        laptop.up("app");
        let answers = || laptop.logs("app").matches("app at ").count();
        eventually("an answer", LONG, || (answers() > 0).then_some(()));

        laptop.shell(block("alter role")).ok();
        let rotated = |log: &str| log.contains("\"generation\":2");
        eventually("the second generation", LONG, || rotated(&laptop.logs("attache")).then_some(()));
        let before = answers();
        eventually("an answer after the rotation", LONG, || (answers() > before).then_some(()));

        // As an editor does it: another file in the place of the one that there was.
        let edited = "sed -i '/ready: upstream/d' compose/attache.yaml\n";
        laptop.shell(&format!("{edited}docker compose exec attache attache reload")).ok();
        let reloaded = || laptop.logs("attache").contains(r#""changed":"[\"orders"#);
        eventually("the new configuration", LONG, || reloaded().then_some(()));
        let password = fs::read_to_string(laptop.example().join("secrets/orders/password")).unwrap();
        for service in ["attache", "app"] {
            assert!(!laptop.logs(service).contains(password.trim()), "{service} tells the password");
        }
        laptop.shell("docker compose down --timeout 1").ok();
    });
    available(permitted);
}
