use std::time::Duration;

/// Which protocols a port speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1, and HTTP/2 for those who begin with its preface.
    #[default]
    Any,
    /// HTTP/1.1 and HTTP/1.0 only.
    Http1,
    /// HTTP/2 with prior knowledge only, as for a gRPC listener.
    Http2,
}

/// Everything that can be chosen. [`Server`](crate::Server) documents each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) protocol: Protocol,
    pub(crate) host_rules: bool,
    pub(crate) connection_limit: usize,

    pub(crate) handshake_timeout: Duration,
    pub(crate) first_byte_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) age: Duration,
    pub(crate) age_grace: Duration,
    pub(crate) drain: Duration,

    pub(crate) header_count: usize,
    pub(crate) header_size: u32,

    pub(crate) stream_limit: u32,
    pub(crate) peer_reset_limit: usize,
    pub(crate) own_reset_limit: usize,
    pub(crate) control_frame_limit: u32,
    pub(crate) control_frame_rate: u32,
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) adaptive_window: bool,
    pub(crate) send_buffer: usize,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            protocol: Protocol::Any,
            host_rules: true,
            connection_limit: 10_000,
            handshake_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            age: Duration::MAX,
            age_grace: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            header_count: 100,
            header_size: 16 * 1024,
            stream_limit: 200,
            peer_reset_limit: 20,
            own_reset_limit: 1024,
            control_frame_limit: 1000,
            control_frame_rate: 100,
            stream_window: 1024 * 1024,
            connection_window: 1024 * 1024,
            adaptive_window: false,
            send_buffer: 64 * 1024,
            ping_interval: Duration::MAX,
            ping_timeout: Duration::from_secs(20),
        }
    }
}
