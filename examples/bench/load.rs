//! A cheap pipelining client: many connections on one thread, and what the server spent meanwhile.

use super::probe::Probe;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// What the connections of an arm send, and how much of it has been answered.
pub(crate) trait Work {
    /// Appends the next batch of requests of a connection.
    fn batch(&mut self, conn: usize, out: &mut Vec<u8>);

    /// Looks at all that has come since the batch was sent: the operations it completes if the answers are all there.
    fn answered(&mut self, conn: usize, data: &[u8]) -> Option<u64>;
}

/// What an arm did, and took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) ops: u64,
    pub(crate) wall: f64,
    /// Seconds of processor time of the server's main thread.
    pub(crate) cpu: f64,
    /// Its user-space instructions, where the machine counts them.
    pub(crate) instructions: Option<u64>,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.ops as f64 / self.wall
    }

    pub(crate) fn busy(&self) -> f64 {
        self.cpu / self.wall
    }

    pub(crate) fn cpu_per_op(&self) -> f64 {
        self.cpu / self.ops as f64
    }

    pub(crate) fn instructions_per_op(&self) -> Option<f64> {
        Some(self.instructions? as f64 / self.ops as f64)
    }
}

struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    waits: bool,
}

pub(crate) struct Load {
    conns: Vec<Conn>,
    epoll: i32,
    output: Vec<u8>,
}

impl Load {
    pub(crate) fn new(port: u16, conns: usize) -> Load {
        // SAFETY: creates a descriptor, which is closed on drop; the event given lives through each call.
        unsafe {
            let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let conns = (0..conns)
                .map(|i| {
                    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
                    stream.set_nodelay(true).expect("set an option");
                    stream.set_nonblocking(true).expect("set an option");
                    // What paces sending (bbr) costs timers, and there is no network here; a refusal changes nothing.
                    let plain = c"reno";
                    libc::setsockopt(
                        stream.as_raw_fd(),
                        libc::IPPROTO_TCP,
                        libc::TCP_CONGESTION,
                        plain.as_ptr().cast(),
                        plain.count_bytes() as u32,
                    );
                    let mut event = libc::epoll_event {
                        events: libc::EPOLLIN as u32,
                        u64: i as u64,
                    };
                    let fd = stream.as_raw_fd();
                    assert_eq!(
                        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event),
                        0
                    );
                    Conn {
                        stream,
                        input: vec![0; 1 << 16],
                        filled: 0,
                        waits: false,
                    }
                })
                .collect();
            Load {
                conns,
                epoll,
                output: Vec::new(),
            }
        }
    }

    /// Every connection sends a batch, waits for all its answers, and sends the next, for `warm` and then for `time`,
    /// of which the latter is measured. What is on the way at the end is waited for.
    pub(crate) fn run(
        &mut self,
        work: &mut dyn Work,
        probe: &Probe,
        warm: Duration,
        time: Duration,
    ) -> Measured {
        let start = Instant::now();
        let (mut ops, mut before, mut result) = (0, None, None);
        for i in 0..self.conns.len() {
            self.send(i, work);
        }
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 64];
        loop {
            // SAFETY: the buffer has room for as many events as said.
            let ready = unsafe {
                libc::epoll_wait(self.epoll, events.as_mut_ptr(), events.len() as i32, 50)
            };
            for event in &events[..ready.max(0) as usize] {
                let i = event.u64 as usize;
                if let Some(done) = self.receive(i, work) {
                    ops += done;
                    if result.is_none() {
                        self.send(i, work);
                    }
                }
            }
            let elapsed = start.elapsed();
            match before {
                None if elapsed >= warm => before = Some((ops, Instant::now(), probe.read())),
                Some((ops_before, at, spent)) if result.is_none() && elapsed >= warm + time => {
                    let now = probe.read();
                    result = Some(Measured {
                        ops: ops - ops_before,
                        wall: at.elapsed().as_secs_f64(),
                        cpu: now.cpu - spent.cpu,
                        instructions: now.instructions.zip(spent.instructions).map(|(a, b)| a - b),
                    });
                }
                _ => {}
            }
            if let (Some(result), true) = (result, self.conns.iter().all(|conn| !conn.waits)) {
                return result;
            }
            assert!(
                elapsed < warm + time + Duration::from_secs(30),
                "the server does not answer"
            );
        }
    }

    fn send(&mut self, i: usize, work: &mut dyn Work) {
        self.output.clear();
        work.batch(i, &mut self.output);
        let conn = &mut self.conns[i];
        conn.waits = true;
        let mut rest = &self.output[..];
        while !rest.is_empty() {
            match conn.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let mut poll = libc::pollfd {
                        fd: conn.stream.as_raw_fd(),
                        events: libc::POLLOUT,
                        revents: 0,
                    };
                    // SAFETY: one descriptor, which is open.
                    unsafe { libc::poll(&mut poll, 1, 1000) };
                }
                Err(e) => panic!("cannot send to the server: {e}"),
            }
        }
    }

    fn receive(&mut self, i: usize, work: &mut dyn Work) -> Option<u64> {
        let conn = &mut self.conns[i];
        if conn.filled == conn.input.len() {
            conn.input.resize(2 * conn.filled, 0);
        }
        match conn.stream.read(&mut conn.input[conn.filled..]) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(n) => conn.filled += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
            Err(e) => panic!("cannot read from the server: {e}"),
        }
        let done = work.answered(i, &conn.input[..conn.filled])?;
        (conn.filled, conn.waits) = (0, false);
        Some(done)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // SAFETY: ours, and closed once.
        unsafe { libc::close(self.epoll) };
    }
}

/// Sends many requests down one connection, to fill keys; `each` appends request number `i`, which is answered with one
/// line.
pub(crate) fn fill(port: u16, n: u64, each: impl FnMut(u64, &mut Vec<u8>)) {
    fill_lines(port, n, 1, each);
}

/// `fill` for answers of several lines.
pub(crate) fn fill_lines(port: u16, n: u64, lines: usize, mut each: impl FnMut(u64, &mut Vec<u8>)) {
    const CHUNK: u64 = 400;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (mut output, mut input) = (Vec::new(), vec![0; 1 << 16]);
    // Two chunks on the way keep the server busy; the answers are small enough to wait in its buffers.
    let mut due = 0;
    for start in (0..n).step_by(CHUNK as usize) {
        output.clear();
        let end = n.min(start + CHUNK);
        (start..end).for_each(|i| each(i, &mut output));
        stream.write_all(&output).expect("send");
        due += (end - start) as usize * lines;
        let left = if end == n { 0 } else { CHUNK as usize * lines };
        while due > left {
            let n = stream.read(&mut input).expect("an answer");
            assert!(n > 0, "the server closed a connection");
            no_error(&input[..n]);
            due -= newlines(&input[..n]);
        }
    }
}

pub(crate) fn newlines(data: &[u8]) -> usize {
    data.iter().filter(|&&byte| byte == b'\n').count()
}

/// Stops at the first answer that is an error, looking at the first of these bytes only.
pub(crate) fn no_error(data: &[u8]) {
    if data.first() == Some(&b'-') {
        let line = data.split(|&byte| byte == b'\r').next().unwrap_or(data);
        panic!("the server answered {}", line.escape_ascii());
    }
}
