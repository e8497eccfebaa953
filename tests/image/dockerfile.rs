//! `deploy/Dockerfile` as buildah builds it. Its compiler's image cannot be pulled here: this machine's own programs stand in
//! for it, and a compiler that is done at once, for `make image` has compiled the same with `deploy/image/root` already.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attache_kit::container::Engine;
use attache_kit::namespace::machine;
use attache_kit::{StartError, available, tools};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::play::deploy;

const COMPILER: &str = "localhost/rust:1.95-bookworm";
const NAME: &str = "localhost/attache:docker";
const DEADLINE: Duration = Duration::from_secs(300);
/// What a Debian with a compiler has, and this machine too.
const OF_MACHINE: [&str; 3] = ["/usr", "/etc/alternatives", "/var/lib/dpkg"];

/// Where cargo and rustup keep what they have.
fn homes() -> [(&'static str, PathBuf); 2] {
    [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")].map(|(variable, folder)| {
        let usual = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(folder);
        (variable, env::var_os(variable).map_or_else(usual, PathBuf::from))
    })
}

/// An image without files of its own: links into folders that are mounted while it is built with.
fn make_compiler(engine: &Engine) {
    let root = TempDir::new().unwrap();
    for name in ["bin", "lib", "lib64", "sbin"] {
        symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
    }
    let [(_, cargo), _] = homes();
    let stand_in = root.path().join("standin/cargo");
    fs::create_dir(stand_in.parent().unwrap()).unwrap();
    let script = format!(
        r#"#!/bin/sh
# Everything but the compilation, which has to be asked for as a release is.
case "$1" in
  fetch) exit 0 ;;
  build) ;;
  *) exec {}/bin/cargo "$@" ;;
esac
case "$* $RUSTFLAGS" in
  *--release*crt-static*) ;;
  *) echo "not a release: $*" >&2; exit 1 ;;
esac
folder=target/image/$(rustc -vV | sed -n 's/^host: //p')/release
mkdir -p "$folder"
echo compiled >"$folder/attache"
"#,
        cargo.display()
    );
    fs::write(&stand_in, script).unwrap();
    fs::set_permissions(stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = format!("ENV PATH=/standin:{}/bin:/usr/bin CARGO_NET_OFFLINE=true", cargo.display());
    for (variable, home) in homes() {
        settings += &format!(" {variable}={}", home.display());
    }
    engine.image(COMPILER, root.path(), &settings);
}

fn build(engine: &Engine) -> Result<PathBuf, StartError> {
    make_compiler(engine);
    let mut build = engine.command("buildah");
    build.args(["bud", "--isolation", "chroot", "--layers=false", "--pull=never", "--tag", NAME]);
    let homes = homes().map(|(_, home)| home);
    let mounted = OF_MACHINE.iter().map(PathBuf::from).chain(homes).filter(|path| path.is_dir());
    for path in mounted {
        build.arg("--volume").arg(format!("{0}:{0}:ro", path.display()));
    }
    build.arg("--file").arg(deploy().join("Dockerfile")).arg(deploy().join(".."));
    tools::run(&mut build, b"", DEADLINE).ok();
    Ok(PathBuf::from(engine.podman(&["image", "mount", NAME]).ok().trim()))
}

#[test]
fn the_dockerfile_ends_in_the_image_that_is_promised() {
    let permitted = machine("dockerfile::the_dockerfile_ends_in_the_image_that_is_promised", || {
        let Some(engine) = available(Engine::start()) else { return };
        let Some(root) = available(build(&engine)) else { return };
        let read = |file: &str| {
            fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
        };
        assert_eq!(read("usr/local/bin/attache"), "compiled\n");
        assert!(read("etc/ssl/certs/ca-certificates.crt").contains("BEGIN CERTIFICATE"));
        assert!(read("etc/passwd").contains("\nattache:x:65532:65532:"));
        assert!(read("usr/share/doc/attache/THIRD-PARTY.txt").contains("tokio"));
        let bill: Value = serde_json::from_str(&read("usr/share/doc/attache/sbom.cdx.json")).unwrap();
        assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
        // Nothing else: no shell, no /tmp, nothing of the image that it was built with.
        let mut folders: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        folders.sort();
        assert_eq!(folders, ["etc", "usr"]);
        assert_eq!(fs::read_dir(root.join("usr/local/bin")).unwrap().count(), 1);
        assert!(!Path::new(&root.join("usr/bin")).exists());

        let told = engine.podman(&["image", "inspect", NAME, "--format", "{{json .Config}}"]).ok();
        let config: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!(["attache"]));
        assert_eq!(config["Cmd"], json!(["run", "-c", "/etc/attache/attache.yaml"]));
        assert_eq!(config["Env"], json!(["PATH=/usr/local/bin"]));
        assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
    });
    available(permitted);
}
