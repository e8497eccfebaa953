//! One load through each way to one server, beside the direct one: for the databases that have a table of their own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::{Launch, Mounted, Process, Rendered, eventually};

use crate::machine::Spent;
use crate::options::Options;
use crate::report::table;
use crate::spread::Spread;

const MICROSECONDS: f64 = 1e6;
const SOON: Duration = Duration::from_secs(20);
const WARM_UP_SECONDS: usize = 1;
const HAPROXY: &str = "/usr/sbin/haproxy";

/// One way to the server.
pub(crate) struct Lane {
    name: &'static str,
    port: u16,
    /// The proxy in between.
    proxy: Option<Process>,
    _kept: (Vec<Port>, Option<Rendered>),
}

/// What the tool of a load counted.
pub(crate) struct Counted {
    pub(crate) queries: f64,
    /// Queries a second.
    pub(crate) rate: f64,
}

/// Runs against a port of this machine for some seconds.
pub(crate) type Run<'a> = &'a dyn Fn(u16, usize) -> Counted;

struct Sample {
    rate: f64,
    cpu: f64,
}

impl Lane {
    pub(crate) fn direct(port: u16) -> Lane {
        Lane { name: "direct", port, proxy: None, _kept: (Vec::new(), None) }
    }

    /// Attaché with one route, whose upstream is plain.
    pub(crate) fn attache(options: &Options, protocol: &str, server: u16, secret: &Mounted) -> Lane {
        let [listen, health, control] = [(); 3].map(|()| ports::reserve());
        let workers = options.workers.map_or_else(|| "auto".to_owned(), |workers| workers.to_string());
        let config = format!(
            "health: {}\ncontrol: {}\nworkers: {workers}\nroutes:\n  bench:\n    protocol: {protocol}\n    \
             allow_cleartext: true\n    listen: {}\n    upstream: {{ endpoints: \"127.0.0.1:{server}\", tls: {{ mode: off }} }}\n    credential: {{ path: {} }}\n",
            health.addr(),
            control.addr(),
            listen.addr(),
            secret.path().display(),
        );
        let proxy = Launch::binary(&options.binary).config(&config).start();
        Lane::through("attache", proxy, vec![listen, health, control], None)
    }

    /// HAProxy, which copies and knows nothing of the protocol. `None` where it is not installed.
    pub(crate) fn haproxy(server: SocketAddr) -> Option<Lane> {
        if !Path::new(HAPROXY).exists() {
            return None;
        }
        let listen = ports::reserve();
        let config = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\nlisten bench\n  bind \
             {}\n  server database {server}\n",
            listen.addr()
        );
        let files = Rendered::new(&[("haproxy.cfg", config.as_str())]);
        let file = files.path().join("haproxy.cfg");
        let launch =
            Launch::binary(Path::new(HAPROXY)).arg("-db").arg("-f").arg(file.to_string_lossy().as_ref());
        Some(Lane::through("haproxy", launch.start(), vec![listen], Some(files)))
    }

    /// Comes back when the proxy listens on the first of its ports.
    pub(crate) fn through(
        name: &'static str,
        proxy: Process,
        ports: Vec<Port>,
        files: Option<Rendered>,
    ) -> Lane {
        let listen = ports[0].addr();
        eventually(&format!("{name} to listen"), SOON, || TcpStream::connect(listen).ok());
        Lane { name, port: listen.port(), proxy: Some(proxy), _kept: (ports, files) }
    }

    fn sample(&self, run: Run<'_>, seconds: usize) -> Sample {
        let before = self.proxy.as_ref().map(|proxy| Spent::by(proxy.pid()));
        let counted = run(self.port, seconds);
        let now = self.proxy.as_ref().map(|proxy| Spent::by(proxy.pid()));
        let spent = now.zip(before).map(|(now, before)| now.since(before)).unwrap_or_default();
        let cpu = (spent.user + spent.system) * MICROSECONDS / counted.queries;
        Sample { rate: counted.rate, cpu }
    }
}

/// Runs the load over all lanes, every second time in reverse, and prints the table. The first lane is the direct one.
pub(crate) fn measure(title: &str, lanes: &[Lane], options: &Options, run: Run<'_>) {
    if !title.contains(&options.only) {
        return;
    }
    let mut samples: Vec<Vec<Sample>> = lanes.iter().map(|_| Vec::new()).collect();
    for lane in lanes {
        lane.sample(run, WARM_UP_SECONDS);
    }
    for pass in 0..options.passes {
        let mut order: Vec<usize> = (0..lanes.len()).collect();
        if pass % 2 == 1 {
            order.reverse();
        }
        for lane in order {
            samples[lane].push(lanes[lane].sample(run, options.seconds));
        }
    }
    println!("\n{title}");
    let head = ["", "queries/s", "ratio to direct", "its CPU µs/query"].map(str::to_owned);
    let rows = lanes.iter().zip(&samples).map(|(lane, own)| row(lane, own, &samples[0]));
    table(std::iter::once(head).chain(rows));
}

fn row(lane: &Lane, own: &[Sample], direct: &[Sample]) -> [String; 4] {
    let spread = |figures: Vec<f64>| Spread::of(figures).expect("there is at least one pass");
    let rate = spread(own.iter().map(|sample| sample.rate).collect());
    let ratio = own.iter().zip(direct).map(|(own, direct)| own.rate / direct.rate);
    let [ratio, cpu] = match lane.proxy {
        None => [String::new(), String::new()],
        Some(_) => [
            format!("{:.2}", spread(ratio.collect())),
            format!("{:.1}", spread(own.iter().map(|sample| sample.cpu).collect())),
        ],
    };
    [lane.name.to_owned(), format!("{:.0}", rate.median), ratio, cpu]
}
