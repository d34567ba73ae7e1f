//! The names of metrics and their labels: OpenTelemetry's semantic conventions, version 1.44.0
//! (August 2026), where those of RPC are a release candidate and those of HTTP stable.
//!
//! `metrics/semconv.txt` in the repository lists them as they are used; a test holds it. The
//! conventions have no metric for RPC calls in flight: the names used here are made after
//! `http.server.active_requests`.

/// Which version of the semantic conventions the names are from.
pub const VERSION: &str = "1.44.0";

/// Where the conventions of this version are to be found: `schema_url` in OTLP.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// How long a server took for a call, in seconds.
pub const RPC_SERVER_CALL_DURATION: &str = "rpc.server.call.duration";
/// How long a client waited for a call, in seconds.
pub const RPC_CLIENT_CALL_DURATION: &str = "rpc.client.call.duration";
/// How many calls a server works on. Not in the conventions.
pub const RPC_SERVER_ACTIVE_REQUESTS: &str = "rpc.server.active_requests";
/// How many calls a client waits for. Not in the conventions.
pub const RPC_CLIENT_ACTIVE_REQUESTS: &str = "rpc.client.active_requests";
/// How long a server took for an HTTP request, in seconds.
pub const HTTP_SERVER_REQUEST_DURATION: &str = "http.server.request.duration";
/// How many HTTP requests a server works on.
pub const HTTP_SERVER_ACTIVE_REQUESTS: &str = "http.server.active_requests";
/// How long a client waited for an HTTP request, in seconds.
pub const HTTP_CLIENT_REQUEST_DURATION: &str = "http.client.request.duration";
/// How many HTTP requests a client waits for.
pub const HTTP_CLIENT_ACTIVE_REQUESTS: &str = "http.client.active_requests";

/// By which RPC system a call came, as in `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// The method, as in `greeter.Greeter/Greeting`.
pub const RPC_METHOD: &str = "rpc.method";
/// The code of the outcome, as in `OK` or `INVALID_ARGUMENT`.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
/// Why a call failed; there if it did.
pub const ERROR_TYPE: &str = "error.type";
/// The method of an HTTP request, as in `GET`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The status of an HTTP response, as in `200`.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The template of the path, as in `/users/{id}`.
pub const HTTP_ROUTE: &str = "http.route";
/// The host that a client asks, as in `greeter.example`.
pub const SERVER_ADDRESS: &str = "server.address";
/// The port that a client asks.
pub const SERVER_PORT: &str = "server.port";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";

/// The value of a label for all that is not known beforehand.
pub const OTHER: &str = "_OTHER";
