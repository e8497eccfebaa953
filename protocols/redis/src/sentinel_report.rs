//! What the answers of a Sentinel say: lists of names and values in turns, whose order means nothing.

use attache_wire::{Address, Fault, Report};
use redis_protocol::resp2::types::OwnedFrame;

use crate::frame::{Reply, elements_of, text};

/// The longest name in the DNS, written with dots (RFC 1035, section 2.3.4).
const MAX_HOST_LEN: usize = 253;
/// What a Sentinel says of a replica that nobody should be sent to.
const UNUSABLE: [&[u8]; 3] = [b"s_down", b"o_down", b"disconnected"];

/// What has been answered so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    primary: Option<Address>,
    epoch: Option<u64>,
    replicas: Vec<Address>,
    pub(crate) announces: bool,
    /// Whether the Sentinel knows no such servers.
    pub(crate) is_unknown: bool,
}

impl Draft {
    /// To `get-master-addr-by-name`: host and port, or nothing.
    pub(crate) fn address(&mut self, reply: &Reply) -> Result<(), Fault> {
        const WRONG: Fault =
            Fault::Malformed("a reply to SENTINEL get-master-addr-by-name that is no address");
        if &reply.bytes[..] == b"*-1\r\n" || &reply.bytes[..] == b"$-1\r\n" {
            self.is_unknown = true;
            return Ok(());
        }
        let elements = reply.elements().ok_or(WRONG)?;
        let [host, port] = &elements[..] else { return Err(WRONG) };
        self.primary = Some(address(text(host), text(port)).ok_or(WRONG)?);
        Ok(())
    }

    /// To `MASTER`, of which only the epoch is of interest.
    pub(crate) fn master(&mut self, reply: &Reply) -> Result<(), Fault> {
        let elements = reply.elements().unwrap_or_default();
        let epoch = field(&elements, b"config-epoch").and_then(number);
        self.epoch =
            Some(epoch.ok_or(Fault::Malformed("a reply to SENTINEL MASTER without a config-epoch"))?);
        Ok(())
    }

    /// To `REPLICAS`: those that sessions may be sent to.
    pub(crate) fn replicas(&mut self, reply: &Reply) -> Result<(), Fault> {
        const WRONG: Fault = Fault::Malformed("a reply to SENTINEL REPLICAS that is no list of servers");
        for replica in reply.elements().ok_or(WRONG)? {
            let fields = elements_of(&replica).ok_or(WRONG)?;
            let found = address(field(fields, b"ip"), field(fields, b"port")).ok_or(WRONG)?;
            let flags = field(fields, b"flags").unwrap_or_default();
            if flags.split(|octet| *octet == b',').all(|flag| !UNUSABLE.contains(&flag)) {
                self.replicas.push(found);
            }
        }
        Ok(())
    }

    /// Everything was answered.
    pub(crate) fn finish(self) -> Result<Option<Report>, Fault> {
        let Self { primary, epoch, replicas, announces, is_unknown } = self;
        match (is_unknown, primary, epoch) {
            (true, _, _) => Ok(None),
            (false, Some(primary), Some(epoch)) => Ok(Some(Report { epoch, primary, replicas, announces })),
            (false, _, _) => Err(Fault::Malformed("answers of a Sentinel that do not fit together")),
        }
    }
}

/// Whether it is something that was published. In RESP2 that is an array like any other.
pub(crate) fn is_message(reply: &Reply) -> bool {
    reply.is_push()
        || matches!(reply.elements().as_deref(), Some([first, ..]) if text(first) == Some(b"message"))
}

/// The value behind a name.
fn field<'a>(elements: &'a [OwnedFrame], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = elements.chunks_exact(2);
    pairs.find(|pair| text(&pair[0]) == Some(name)).and_then(|pair| text(&pair[1]))
}

fn address(host: Option<&[u8]>, port: Option<&[u8]>) -> Option<Address> {
    let is_letter = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.:".contains(octet);
    let host = host.filter(|host| (1..=MAX_HOST_LEN).contains(&host.len()) && host.iter().all(is_letter))?;
    let host = str::from_utf8(host).ok()?.to_owned();
    let port = port.and_then(number).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)?;
    Some(Address { host, port })
}

fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))?.parse().ok()
}
