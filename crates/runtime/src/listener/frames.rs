//! Counts what a peer sends beside calls.
//!
//! An HTTP/2 peer can make a server work without asking anything of it: pings and settings that must be acknowledged, header blocks that
//! never end, calls that are given up as soon as they are made (CVE-2023-44487), empty frames. Each is harmless now and then. So the
//! frames that come in are counted by their nine bytes of head, before the HTTP/2 implementation looks at them, and a connection that sends
//! too many in a second is cut.

use std::time::{Duration, Instant};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// For one connection, a second. Twice as many may come at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// PING, SETTINGS, PRIORITY, CONTINUATION, empty DATA, and what we do not know; of WINDOW_UPDATE every eighth.
    pub control: u32,
    /// RST_STREAM. As many as calls may be open can always come at once: whoever has them all open may give them all up.
    pub resets: u32,
    pub max_streams: u32,
}

/// What a connection is cut for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abuse {
    ControlFlood,
    ResetFlood,
}

impl Abuse {
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlFlood => "control_flood",
            Self::ResetFlood => "reset_flood",
        }
    }
}

#[derive(Debug)]
enum State {
    /// How much of the preface has come.
    Preface(usize),
    /// It speaks something else, whose own limits hold.
    Other,
    Head([u8; HEAD_BYTES], usize),
    /// What is left of a frame.
    Payload(usize),
}

#[derive(Debug)]
pub(crate) struct Frames {
    state: State,
    control: Bucket,
    resets: Bucket,
    seen_settings: bool,
    block_since: Option<Instant>,
}

impl Frames {
    pub fn new(rates: Rates, now: Instant) -> Self {
        let burst = rates.resets.saturating_mul(2).max(rates.max_streams.saturating_mul(2));
        Self {
            state: State::Preface(0),
            control: Bucket::new(rates.control, rates.control.saturating_mul(2), now),
            resets: Bucket::new(rates.resets, burst, now),
            seen_settings: false,
            block_since: None,
        }
    }

    /// Looks at what came. It need not end where a frame does.
    pub fn came(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Abuse> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Other => return Ok(()),
                State::Preface(have) => {
                    let wanted = &PREFACE[*have..];
                    let count = wanted.len().min(bytes.len());
                    if bytes[..count] != wanted[..count] {
                        self.state = State::Other;
                        return Ok(());
                    }
                    *have += count;
                    bytes = &bytes[count..];
                    if *have == PREFACE.len() {
                        self.state = State::Head([0; HEAD_BYTES], 0);
                    }
                }
                State::Payload(left) => {
                    let count = (*left).min(bytes.len());
                    *left -= count;
                    bytes = &bytes[count..];
                    if *left == 0 {
                        self.state = State::Head([0; HEAD_BYTES], 0);
                    }
                }
                State::Head(head, have) => {
                    let count = (HEAD_BYTES - *have).min(bytes.len());
                    head[*have..*have + count].copy_from_slice(&bytes[..count]);
                    *have += count;
                    bytes = &bytes[count..];
                    if *have == HEAD_BYTES {
                        let head = *head;
                        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                        self.frame(length, head[3], head[4], now)?;
                        self.state = if length == 0 { State::Head([0; HEAD_BYTES], 0) } else { State::Payload(length) };
                    }
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, length: usize, kind: u8, flags: u8, now: Instant) -> Result<(), Abuse> {
        let mut control = |cost: f64| self.control.take(cost, now).then_some(()).ok_or(Abuse::ControlFlood);
        match kind {
            // DATA
            0 if length == 0 && flags & END_STREAM == 0 => control(1.0)?,
            0 => {}
            // HEADERS
            1 => self.block_since = (flags & END_HEADERS == 0).then_some(now),
            // RST_STREAM
            3 => return self.resets.take(1.0, now).then_some(()).ok_or(Abuse::ResetFlood),
            // SETTINGS
            4 => {
                control(1.0)?;
                self.seen_settings = true;
            }
            // WINDOW_UPDATE: there are many while a long answer is read.
            8 => control(0.125)?,
            // CONTINUATION
            9 => {
                control(1.0)?;
                if flags & END_HEADERS != 0 {
                    self.block_since = None;
                }
            }
            _ => control(1.0)?,
        }
        Ok(())
    }

    /// Since when the peer owes us the rest of its beginning, or of a header block.
    pub fn owing_since(&self, accepted: Instant) -> Option<Instant> {
        let begun = match self.state {
            State::Other => true,
            State::Preface(_) => false,
            State::Head(..) | State::Payload(_) => self.seen_settings,
        };
        if begun { self.block_since } else { Some(accepted) }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    most: f64,
    each_second: f64,
    filled: Instant,
}

impl Bucket {
    fn new(each_second: u32, most: u32, now: Instant) -> Self {
        let most = f64::from(most);
        Self { tokens: most, most, each_second: f64::from(each_second), filled: now }
    }

    fn take(&mut self, cost: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        // Most frames come in bunches: the clock is only looked at once a millisecond.
        if passed > Duration::from_millis(1) {
            self.tokens = (self.tokens + passed.as_secs_f64() * self.each_second).min(self.most);
            self.filled = now;
        }
        self.tokens -= cost;
        self.tokens >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { control: 10, resets: 5, max_streams: 20 };

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).expect("small").to_be_bytes();
        let mut bytes = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD_BYTES + length, 0);
        bytes
    }

    fn connected(now: Instant) -> Frames {
        let mut frames = Frames::new(RATES, now);
        frames.came(PREFACE, now).expect("a preface");
        frames.came(&frame(4, 0, 0), now).expect("settings");
        frames
    }

    #[test]
    fn too_many_of_a_kind_are_found_however_they_are_cut_into_reads() {
        let now = Instant::now();
        for (kind, length, most, abuse) in [
            (6, 8, 19, Abuse::ControlFlood),
            (4, 6, 19, Abuse::ControlFlood),
            (3, 4, 40, Abuse::ResetFlood),
            (8, 4, 152, Abuse::ControlFlood),
        ] {
            for step in [1, 7, 4096] {
                let mut frames = connected(now);
                let allowed = frame(kind, 0, length).repeat(most);
                for bytes in allowed.chunks(step) {
                    frames.came(bytes, now).expect("as many as may come");
                }
                let one_more = frame(kind, 0, length).repeat(2);
                let cut = one_more.chunks(step).find_map(|bytes| frames.came(bytes, now).err());
                assert_eq!(cut, Some(abuse), "kind {kind}, {step} at a time");
            }
        }
    }

    #[test]
    fn what_comes_slowly_may_come_without_end() {
        let mut now = Instant::now();
        let mut frames = connected(now);
        for _ in 0..1000 {
            now += Duration::from_millis(210);
            frames.came(&frame(6, 0, 8), now).expect("five pings a second");
            frames.came(&frame(3, 0, 4), now).expect("five resets a second");
        }
    }

    #[test]
    fn calls_and_their_bodies_are_not_counted() {
        let now = Instant::now();
        let mut frames = connected(now);
        for _ in 0..1000 {
            frames.came(&frame(1, END_HEADERS, 30), now).expect("a call");
            frames.came(&frame(0, END_STREAM, 0), now).expect("its end");
            frames.came(&frame(0, 0, 16_384), now).expect("a part of a body");
        }
    }

    #[test]
    fn a_beginning_and_a_header_block_are_owed_until_they_end() {
        let now = Instant::now();
        let mut frames = Frames::new(RATES, now);
        assert_eq!(frames.owing_since(now), Some(now));
        frames.came(PREFACE, now).expect("a preface");
        assert_eq!(frames.owing_since(now), Some(now), "the settings are still to come");
        let mut frames = connected(now);
        assert_eq!(frames.owing_since(now), None);
        let later = now + Duration::from_secs(1);
        frames.came(&frame(1, 0, 10), later).expect("headers without end");
        assert_eq!(frames.owing_since(now), Some(later));
        frames.came(&frame(9, END_HEADERS, 10), later).expect("their end");
        assert_eq!(frames.owing_since(now), None);
        let mut other = Frames::new(RATES, now);
        other.came(b"GET / HTTP/1.1\r\n", now).expect("HTTP/1.1 has limits of its own");
        assert_eq!(other.owing_since(now), None);
    }
}
