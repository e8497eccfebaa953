"""A wire between two networks, in user space: LINK PID HERE THERE makes the device LINK in our network and in that of the
process PID, with these addresses, and carries packets between the two.

A line on standard input changes the weather: DELAY_MS JITTER_MS LOSS_PERCENT TO_THERE TO_HERE, of which the last two are 1
where packets pass. "ready" is said once packets pass, and "ok" after each line."""
import ctypes, fcntl, heapq, os, random, select, struct, subprocess, sys, time

CLONE_NEWNET, TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x40000000, 0x400454CA, 0x0001, 0x1000
LONGEST_PACKET = 65536
libc = ctypes.CDLL(None, use_errno=True)


def enter(network):
    if libc.setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "could not enter the other network")


def device(name, address, peer):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "address", "add", address, "peer", peer, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return tun


class Wire:
    """Packets on their way, by the time of their arrival."""

    def __init__(self, here, there):
        self.ends = {here: there, there: here}
        self.here = here
        self.chance = random.Random(1)
        self.waiting, self.count = [], 0
        self.weather("0 0 0 1 1")

    def weather(self, line):
        delay, jitter, loss, to_there, to_here = line.split()
        self.delay, self.jitter, self.loss = float(delay) / 1000, float(jitter) / 1000, float(loss) / 100
        self.passes = {end: (to_there if end == self.here else to_here) == "1" for end in self.ends}

    def take(self, end):
        while True:
            try:
                packet = os.read(end, LONGEST_PACKET)
            except BlockingIOError:
                return
            if self.passes[end] and self.chance.random() >= self.loss:
                arrival = time.monotonic() + self.delay + self.chance.uniform(0, self.jitter)
                self.count += 1
                heapq.heappush(self.waiting, (arrival, self.count, self.ends[end], packet))

    def give(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(self.waiting)
            try:
                os.write(end, packet)
            except BlockingIOError:
                pass  # A full queue loses packets, as a network may.

    def until_next(self):
        return max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else None


def main():
    name, pid, here, there = sys.argv[1:]
    ours, theirs = (os.open(f"/proc/{of}/ns/net", os.O_RDONLY) for of in ("self", pid))
    near = device(name, here, there)
    enter(theirs)
    far = device(name, there, here)
    enter(ours)
    wire = Wire(near, far)
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([near, far, sys.stdin], [], [], wire.until_next())
        for end in readable:
            if end is sys.stdin:
                line = sys.stdin.readline()
                if not line:
                    return
                wire.weather(line)
                print("ok", flush=True)
            else:
                wire.take(end)
        wire.give()


main()
