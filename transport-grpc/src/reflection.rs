//! `grpc.reflection.v1` and `v1alpha`: what tools such as grpcurl ask.

use crate::server::{Names, Server};
use bytes::Bytes;
use futures_core::Stream;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use purlin_endpoint::{Code, Context, Error, Invalid, Method, Streaming, endpoint_fn};
use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

static V1: Method =
    Method::bidirectional("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo");
static V1ALPHA: Method =
    Method::bidirectional("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo");

/// The files of the services in this crate: `proto/`, compiled. A test keeps it so.
static OWN_FILES: &[u8] = include_bytes!("own_files.bin");

/// A set of files, each left as it is: what is not known here must not get lost.
#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct ReflectionRequest {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Question", tags = "3, 4, 5, 6, 7")]
    question: Option<Question>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Question {
    #[prost(string, tag = "3")]
    File(String),
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(message, tag = "5")]
    Extension(ExtensionRequest),
    #[prost(string, tag = "6")]
    ExtensionNumbers(String),
    #[prost(string, tag = "7")]
    Services(String),
}

#[derive(Clone, PartialEq, Message)]
struct ExtensionRequest {
    #[prost(string, tag = "1")]
    containing_type: String,
    #[prost(int32, tag = "2")]
    number: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ReflectionResponse {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<ReflectionRequest>,
    #[prost(oneof = "Reply", tags = "4, 5, 6, 7")]
    reply: Option<Reply>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Reply {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "5")]
    ExtensionNumbers(ExtensionNumbers),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(ErrorReply),
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct ExtensionNumbers {
    #[prost(string, tag = "1")]
    base_type: String,
    #[prost(int32, repeated, tag = "2")]
    numbers: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<ServiceName>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceName {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorReply {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Where to find what.
#[derive(Default)]
struct Index {
    names: Names,
    files: HashMap<String, Bytes>,
    symbols: HashMap<String, Bytes>,
    extensions: HashMap<String, BTreeMap<i32, Bytes>>,
}

impl Index {
    fn add_set(&mut self, set: &[u8]) -> Result<(), prost::DecodeError> {
        for raw in FileSet::decode(set)?.files {
            let file = FileDescriptorProto::decode(&*raw)?;
            self.files.insert(file.name().to_owned(), raw.clone());
            self.add_file(&file, &raw);
        }
        Ok(())
    }

    fn add_file(&mut self, file: &FileDescriptorProto, raw: &Bytes) {
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message, raw);
        }
        for one in &file.enum_type {
            self.add_enum(package, one, raw);
        }
        for extension in &file.extension {
            self.add_extension(package, extension, raw);
        }
        for service in &file.service {
            let name = self.add_symbol(package, service.name(), raw);
            for method in &service.method {
                self.add_symbol(&name, method.name(), raw);
            }
        }
    }

    fn add_symbol(&mut self, scope: &str, name: &str, raw: &Bytes) -> String {
        let name = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.insert(name.clone(), raw.clone());
        name
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, raw: &Bytes) {
        let name = self.add_symbol(scope, message.name(), raw);
        for field in &message.field {
            self.add_symbol(&name, field.name(), raw);
        }
        for oneof in &message.oneof_decl {
            self.add_symbol(&name, oneof.name(), raw);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested, raw);
        }
        for one in &message.enum_type {
            self.add_enum(&name, one, raw);
        }
        for extension in &message.extension {
            self.add_extension(&name, extension, raw);
        }
    }

    fn add_enum(&mut self, scope: &str, one: &EnumDescriptorProto, raw: &Bytes) {
        self.add_symbol(scope, one.name(), raw);
        // The values of an enum stand beside it, not inside.
        for value in &one.value {
            self.add_symbol(scope, value.name(), raw);
        }
    }

    fn add_extension(&mut self, scope: &str, field: &FieldDescriptorProto, raw: &Bytes) {
        self.add_symbol(scope, field.name(), raw);
        let extended = field.extendee().trim_start_matches('.').to_owned();
        self.extensions.entry(extended).or_default().insert(field.number(), raw.clone());
    }

    fn answer(&self, question: &Question) -> Option<Reply> {
        let file = |raw: Option<&Bytes>| Some(Reply::Files(Files { files: vec![raw?.clone()] }));
        match question {
            Question::File(name) => file(self.files.get(name)),
            Question::Symbol(name) => file(self.symbols.get(name)),
            Question::Extension(ExtensionRequest { containing_type, number }) => {
                file(self.extensions.get(containing_type)?.get(number))
            }
            Question::ExtensionNumbers(name) => {
                self.symbols.get(name)?;
                let known = self.extensions.get(name).into_iter();
                let numbers = known.flat_map(BTreeMap::keys).copied().collect();
                let base_type = name.clone();
                Some(Reply::ExtensionNumbers(ExtensionNumbers { base_type, numbers }))
            }
            Question::Services(_) => {
                let names = self.names.all().into_iter();
                let services = names.map(|name| ServiceName { name: name.to_owned() }).collect();
                Some(Reply::Services(Services { services }))
            }
        }
    }

    fn respond(&self, request: ReflectionRequest) -> ReflectionResponse {
        let error = |code: Code, message: &str| {
            Reply::Error(ErrorReply { code: code.number().into(), message: message.to_owned() })
        };
        let reply = match &request.question {
            None => error(Code::InvalidArgument, "the request asks nothing"),
            Some(question) => self
                .answer(question)
                .unwrap_or_else(|| error(Code::NotFound, "there is nothing of that name here")),
        };
        let valid_host = request.host.clone();
        ReflectionResponse { valid_host, original_request: Some(request), reply: Some(reply) }
    }
}

impl<F> Server<F> {
    /// Serves `grpc.reflection.v1` and `v1alpha` for the services that are mounted, from an encoded
    /// `FileDescriptorSet` with all its imports.
    ///
    /// # Errors
    ///
    /// If the bytes are no such set.
    pub fn reflection(self, file_descriptor_set: &[u8]) -> Result<Self, Invalid> {
        let mut index = Index { names: self.names.clone(), ..Index::default() };
        let why = "must be an encoded FileDescriptorSet";
        let read = index.add_set(OWN_FILES).and_then(|()| index.add_set(file_descriptor_set));
        read.map_err(|_| Invalid { field: "file_descriptor_set", why })?;
        let index = Arc::new(index);
        let reflect = endpoint_fn(move |_: Context, requests| {
            let answers = Answers { index: index.clone(), requests };
            std::future::ready(Ok::<_, Error>(Streaming::new(answers)))
        });
        Ok(self
            .bidirectional(&V1, reflect.clone(), Ok, Ok)
            .bidirectional(&V1ALPHA, reflect, Ok, Ok))
    }
}

/// One answer to each request.
struct Answers {
    index: Arc<Index>,
    requests: Streaming<ReflectionRequest>,
}

impl Stream for Answers {
    type Item = Result<ReflectionResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.requests).poll_next(task);
        polled.map(|next| Some(next?.map(|request| self.index.respond(request))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, the files in `proto/` have changed: write what it has compiled into
    /// `src/own_files.bin`.
    #[test]
    fn our_own_files_are_the_compiled_ones() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let files =
            ["health/v1/health", "reflection/v1/reflection", "reflection/v1alpha/reflection"]
                .map(|name| format!("{root}/grpc/{name}.proto"));
        let mut compiler = protox::Compiler::new([root]).unwrap();
        compiler.include_source_info(false).open_files(files).unwrap();
        let compiled = compiler.encode_file_descriptor_set();
        assert!(compiled == OWN_FILES, "compiled: {}", crate::encode_binary(&compiled));
    }

    fn index() -> Index {
        let mut index = Index::default();
        index.add_set(OWN_FILES).unwrap();
        index
    }

    fn file_of(reply: Option<Reply>) -> Option<String> {
        match reply? {
            Reply::Files(files) => {
                let file = FileDescriptorProto::decode(&*files.files[0]).unwrap();
                Some(file.name().to_owned())
            }
            _ => None,
        }
    }

    #[test]
    fn every_kind_of_symbol_leads_to_its_file() {
        let index = index();
        for name in [
            "grpc.health.v1.Health",
            "grpc.health.v1.Health.Check",
            "grpc.health.v1.HealthCheckResponse",
            "grpc.health.v1.HealthCheckResponse.status",
            "grpc.health.v1.HealthCheckResponse.ServingStatus",
            "grpc.health.v1.HealthCheckResponse.SERVING",
        ] {
            let reply = index.answer(&Question::Symbol(name.to_owned()));
            assert_eq!(file_of(reply).as_deref(), Some("grpc/health/v1/health.proto"), "{name}");
        }
        assert!(index.answer(&Question::Symbol("grpc.health".to_owned())).is_none());
        let file = Question::File("grpc/reflection/v1/reflection.proto".to_owned());
        assert!(file_of(index.answer(&file)).is_some());
    }

    #[test]
    fn extensions_are_found_by_type_and_number() {
        let file = FileDescriptorProto {
            name: Some("a.proto".to_owned()),
            extension: vec![FieldDescriptorProto {
                name: Some("extra".to_owned()),
                number: Some(7),
                extendee: Some(".grpc.health.v1.HealthListRequest".to_owned()),
                ..FieldDescriptorProto::default()
            }],
            ..FileDescriptorProto::default()
        };
        let mut index = index();
        let set = FileSet { files: vec![file.encode_to_vec().into()] };
        index.add_set(&set.encode_to_vec()).unwrap();
        let containing_type = "grpc.health.v1.HealthListRequest".to_owned();
        let numbers = index.answer(&Question::ExtensionNumbers(containing_type.clone()));
        let Some(Reply::ExtensionNumbers(numbers)) = numbers else { panic!("{numbers:?}") };
        assert_eq!(numbers.numbers, [7]);
        let asked = |number| {
            let containing_type = containing_type.clone();
            index.answer(&Question::Extension(ExtensionRequest { containing_type, number }))
        };
        assert_eq!(file_of(asked(7)).as_deref(), Some("a.proto"));
        assert!(asked(8).is_none());
    }
}
