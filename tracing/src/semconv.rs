//! The names that stand on spans.
//!
//! Those without `purlin.` are OpenTelemetry's
//! [semantic conventions](https://opentelemetry.io/docs/specs/semconv/) of [`VERSION`].

/// The version of the conventions, as all of Purlin follows them.
pub const VERSION: &str = "1.44.0";
/// Where that version is described.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The service that makes the spans.
pub const SERVICE_NAME: &str = "service.name";
/// The method in full, as in `greeter.Greeter/Greeting`.
pub const RPC_METHOD: &str = "rpc.method";
/// What the call came to, as in `INVALID_ARGUMENT`.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
/// Which protocol carries the calls, as in `grpc`. A layer doesn't know it; its user may.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// The code of a call that failed, or `panic`.
pub const ERROR_TYPE: &str = "error.type";
/// The other side's IP address.
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
/// The other side's port.
pub const NETWORK_PEER_PORT: &str = "network.peer.port";
/// How many attempts at the same call came before this one, if any did.
///
/// The conventions know it for HTTP only, and no other name for the same.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";

/// The event of an error.
pub const EXCEPTION: &str = "exception";
/// The type of the error.
pub const EXCEPTION_TYPE: &str = "exception.type";
/// Its text, with its causes.
pub const EXCEPTION_MESSAGE: &str = "exception.message";

/// The call's id on every line and every hop.
pub const REQUEST_ID: &str = "purlin.request_id";
/// Set where a response was judged to be a failure of the business.
pub const BUSINESS_FAILURE: &str = "purlin.business_failure";
/// The number of the attempt that an event tells of: one for the first.
pub const ATTEMPT: &str = "purlin.attempt";
/// The event of a layer that says what it did.
pub const NOTE: &str = "purlin.note";
/// The layer that said it.
pub const NOTE_LAYER: &str = "purlin.note.layer";
/// What it said.
pub const NOTE_TEXT: &str = "purlin.note.text";

/// All names, as the golden file has them.
pub const ALL: &[&str] = &[
    SERVICE_NAME,
    RPC_METHOD,
    RPC_RESPONSE_STATUS_CODE,
    RPC_SYSTEM_NAME,
    ERROR_TYPE,
    NETWORK_PEER_ADDRESS,
    NETWORK_PEER_PORT,
    HTTP_REQUEST_RESEND_COUNT,
    EXCEPTION,
    EXCEPTION_TYPE,
    EXCEPTION_MESSAGE,
    REQUEST_ID,
    BUSINESS_FAILURE,
    ATTEMPT,
    NOTE,
    NOTE_LAYER,
    NOTE_TEXT,
];
