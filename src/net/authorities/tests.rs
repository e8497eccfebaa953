use std::fs;
use std::time;

use attache_kit::{Mounted, Pki, Rendered, SOON, SubPath};

use super::*;

fn trusts(authorities: &Authorities, file: &Path, pki: &Pki) -> bool {
    let expected = read(Some(pki.ca())).expect("its own file");
    authorities.of(Some(file)).expect("some authorities").roots == expected.roots
}

/// Until this holds: a file that was just written has to rest, and that by the clock of the file system.
async fn comes_to(authorities: &Authorities, file: &Path, holds: impl Fn() -> bool) {
    let end = time::Instant::now() + SOON;
    while !holds() {
        assert!(time::Instant::now() < end, "{:?}", authorities.problem(Some(file)));
        tokio::time::advance(FILE_LOOKED_AT).await;
        let _ = authorities.of(Some(file));
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_swapped_or_written_in_place_is_followed() {
    let (one, two, three) = (Pki::new(), Pki::new(), Pki::new());
    let authorities = Authorities::default();
    let mounted = Mounted::new(&[("ca.pem", one.ca_pem())]);
    let file = mounted.path().join("ca.pem");
    assert!(trusts(&authorities, &file, &one));
    mounted.write(&[("ca.pem", two.ca_pem())]);
    assert!(trusts(&authorities, &file, &one), "looked at a moment ago");
    comes_to(&authorities, &file, || trusts(&authorities, &file, &two)).await;
    fs::write(&file, three.ca_pem()).expect("written in place");
    comes_to(&authorities, &file, || trusts(&authorities, &file, &three)).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_content_is_the_same_so_is_the_store() {
    let pki = Pki::new();
    let rendered = Rendered::new(&[("ca.pem", pki.ca_pem())]);
    let file = rendered.path().join("ca.pem");
    let authorities = Authorities::default();
    let first = authorities.of(Some(&file)).expect("a good file");
    rendered.replace("ca.pem", pki.ca_pem());
    let has_read = || authorities.lock()[&Some(file.clone())].stamp == Stamp::at(&file);
    comes_to(&authorities, &file, has_read).await;
    assert!(Arc::ptr_eq(&first, &authorities.of(Some(&file)).expect("a good file")));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_said_and_those_before_go_on_until_it_is_put_right() {
    let (old, new) = (Pki::new(), Pki::new());
    let rendered = Rendered::new(&[("ca.pem", old.ca_pem())]);
    let file = rendered.path().join("ca.pem");
    let authorities = Authorities::default();
    assert!(trusts(&authorities, &file, &old));
    let (half, rest) = new.ca_pem().split_at(new.ca_pem().len() / 2);
    for broken in ["", "no certificate\n", half] {
        rendered.overwrite("ca.pem", broken);
        comes_to(&authorities, &file, || authorities.problem(Some(&file)).is_some()).await;
        assert!(trusts(&authorities, &file, &old), "{broken}");
        rendered.overwrite("ca.pem", old.ca_pem());
        comes_to(&authorities, &file, || authorities.problem(Some(&file)).is_none()).await;
    }
    rendered.remove("ca.pem");
    comes_to(&authorities, &file, || authorities.problem(Some(&file)).is_some()).await;
    assert!(trusts(&authorities, &file, &old));
    rendered.overwrite("ca.pem", half);
    rendered.append("ca.pem", rest);
    comes_to(&authorities, &file, || trusts(&authorities, &file, &new)).await;
    assert_eq!(authorities.problem(Some(&file)), None);
}

#[tokio::test(start_paused = true)]
async fn where_none_were_read_before_the_file_is_tried_each_time() {
    let pki = Pki::new();
    let rendered = Rendered::new(&[]);
    let file = rendered.path().join("ca.pem");
    let authorities = Authorities::default();
    let trouble = authorities.of(Some(&file)).expect_err("no file");
    assert_eq!(trouble.cause, Cause::TlsSetup);
    assert!(trouble.detail.starts_with(&file.display().to_string()), "{}", trouble.detail);
    assert_eq!(authorities.problem(Some(&file)), None, "nothing goes on in its place");
    rendered.overwrite("ca.pem", pki.ca_pem());
    assert!(trusts(&authorities, &file, &pki));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_broken_is_so_whether_or_not_others_go_on_in_its_place() {
    let pki = Pki::new();
    let rendered = Rendered::new(&[("ca.pem", "")]);
    let file = rendered.path().join("ca.pem");
    let authorities = Authorities::default();
    assert!(!authorities.is_broken(Some(&file)), "nobody has looked at it");
    assert!(authorities.of(Some(&file)).is_err());
    assert!(authorities.is_broken(Some(&file)), "none were read before");
    rendered.overwrite("ca.pem", pki.ca_pem());
    comes_to(&authorities, &file, || !authorities.is_broken(Some(&file))).await;
    rendered.overwrite("ca.pem", "");
    comes_to(&authorities, &file, || authorities.is_broken(Some(&file))).await;
    assert!(trusts(&authorities, &file, &pki), "those before go on");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_mounted_by_itself_is_doubted_and_one_in_a_mounted_folder_is_not() {
    let pki = Pki::new();
    let (alone, mounted) =
        (SubPath::new(&[("ca.pem", pki.ca_pem())]), Mounted::new(&[("ca.pem", pki.ca_pem())]));
    alone.rotate();
    let authorities = Authorities::default();
    for (folder, expected) in [(alone.path(), &[Warning::NeverUpdates][..]), (mounted.path(), &[])] {
        let file = folder.join("ca.pem");
        assert!(trusts(&authorities, &file, &pki));
        assert_eq!(authorities.warnings(Some(&file)), expected, "{}", file.display());
    }
    assert!(authorities.of(None).is_ok() && authorities.warnings(None).is_empty(), "the system's");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_everyone_may_write_to_is_doubted_until_they_may_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let pki = Pki::new();
    let rendered = Rendered::new(&[("ca.pem", pki.ca_pem())]);
    let file = rendered.path().join("ca.pem");
    let permit = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
    let authorities = Authorities::default();
    permit(0o666);
    assert!(trusts(&authorities, &file, &pki));
    assert_eq!(authorities.warnings(Some(&file)), [Warning::WorldWritable]);
    permit(0o644);
    comes_to(&authorities, &file, || authorities.warnings(Some(&file)).is_empty()).await;
}
