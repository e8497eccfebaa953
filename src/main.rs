fn main() {
    let file = std::env::args().nth(3).expect("FILE");
    let sources = attache::config::Sources { files: vec![file.into()], ..Default::default() };
    let config = match attache::config::load(&sources, &attache::registry::facts()) {
        Ok(c) => c,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2)
        }
    };
    attache::log::start(&config.log);
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    if let Err(e) = rt.block_on(attache::app::run(config)) {
        eprintln!("{e}");
        std::process::exit(1)
    }
}
