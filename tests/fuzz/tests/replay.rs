//! Every input that a fuzzer has found worth keeping, once more.

use std::fs;
use std::path::Path;

#[test]
fn every_corpus_is_replayed() {
    for (name, harness) in attache_fuzz::HARNESSES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("every harness has a corpus") {
            let path = entry.expect("the folder can be listed").path();
            harness(&fs::read(&path).expect("the input can be read"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name}: the corpus is not empty");
    }
}
