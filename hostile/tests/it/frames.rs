//! HTTP/2 frames (RFC 9113, section 6), written by hand: no library makes the ones that are wanted.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a client begins with.
pub(crate) fn hello() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// The head of `GET /`, packed (RFC 7541): three entries of the static table, and a host.
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x01\x01a";

/// The head of a gRPC call, whose messages may be packed with gzip.
pub(crate) fn call(path: &str) -> Vec<u8> {
    let mut head = b"\x83\x86\x01\x01a".to_vec();
    head.extend([4, u8::try_from(path.len()).expect("a short path")]);
    head.extend(path.bytes());
    for (name, value) in
        [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", "gzip")]
    {
        for text in [name, value] {
            if text == name {
                head.push(0);
            }
            head.push(u8::try_from(text.len()).expect("a short text"));
            head.extend(text.bytes());
        }
    }
    head
}
