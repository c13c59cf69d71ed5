//! gRPC's framing of messages: a byte of flags, four of length, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost_reflect::{DynamicMessage, prost::Message as _};

const HEAD: usize = 5;
/// An answer longer than this is no answer of ours.
const MAX_ANSWER: usize = 64 << 20;

pub fn frame(message: &DynamicMessage) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // It grows as it is written to: it has room for all of it.
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// Takes messages out of what came.
#[derive(Debug, Default)]
pub struct Frames(BytesMut);

/// What came is no message of ours: compressed, though nobody asked for it, or too long.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not framed as gRPC frames messages")]
pub struct FrameError;

impl Frames {
    pub fn add(&mut self, data: impl Buf) {
        self.0.put(data);
    }

    /// None: the next message is not all there yet.
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(head) = self.0.first_chunk::<HEAD>() else { return Ok(None) };
        let [flags, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if flags != 0 || length > MAX_ANSWER {
            return Err(FrameError);
        }
        if self.0.len() < HEAD + length {
            return Ok(None);
        }
        self.0.advance(HEAD);
        Ok(Some(self.0.split_to(length).freeze()))
    }

    /// Whether something is left over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let sent: Vec<u8> = [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1], b"d"].concat();
        for cut in 1..sent.len() {
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for part in sent.chunks(cut) {
                frames.add(part);
                while let Some(message) = frames.next().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, [&b"abc"[..], b"", b"d"]);
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bad in [[1, 0, 0, 0, 1], [0, 255, 255, 255, 255]] {
            let mut frames = Frames::default();
            frames.add(&bad[..]);
            assert!(frames.next().is_err());
        }
    }
}
