//! Which foreign programs there are.

use super::{How, Tool};

/// What the tests need, slowest build first. Versions are pinned: some newer ones are refused by
/// the module proxy or need a newer Go.
pub(crate) const FOR_TESTS: &[Tool] = &[
    Tool {
        name: "consul",
        variable: "PURLIN_CONSUL",
        how: How::GoPinned { folder: "xtask/go/consul", package: "github.com/hashicorp/consul" },
        probe: &["version"],
    },
    Tool {
        name: "jaeger",
        variable: "PURLIN_JAEGER",
        how: How::GoPinned {
            folder: "xtask/go/jaeger",
            package: "github.com/jaegertracing/jaeger/cmd/all-in-one",
        },
        probe: &["version"],
    },
    Tool {
        name: "otelcol",
        variable: "PURLIN_OTELCOL",
        how: How::GoFolder { folder: "xtask/go/otelcol" },
        probe: &["--version"],
    },
    Tool {
        name: "interop-client",
        variable: "PURLIN_INTEROP_CLIENT",
        how: How::Go { package: "google.golang.org/grpc/interop/client", version: "v1.85.0" },
        probe: &["-h"],
    },
    Tool {
        name: "interop-server",
        variable: "PURLIN_INTEROP_SERVER",
        how: How::GoFolder { folder: "xtask/go/interop-server" },
        probe: &["-h"],
    },
    Tool {
        name: "grpcurl",
        variable: "PURLIN_GRPCURL",
        how: How::Go { package: "github.com/fullstorydev/grpcurl/cmd/grpcurl", version: "v1.9.4" },
        probe: &["-version"],
    },
    Tool {
        name: "connectconformance",
        variable: "PURLIN_CONNECTCONFORMANCE",
        how: How::Go {
            package: "connectrpc.com/conformance/cmd/connectconformance",
            version: "v1.0.5",
        },
        probe: &["--version"],
    },
    Tool {
        name: "h2spec",
        variable: "PURLIN_H2SPEC",
        how: How::Go {
            package: "github.com/summerwind/h2spec/cmd/h2spec",
            version: "v2.2.1+incompatible",
        },
        probe: &["--version"],
    },
    Tool {
        name: "statsd",
        variable: "PURLIN_STATSD",
        how: How::Npm { folder: "xtask/npm/statsd" },
        // A configuration that ends it: it has no argument for that.
        probe: &["probe.js"],
    },
    Tool {
        name: "oidc-provider",
        variable: "PURLIN_OIDC_PROVIDER",
        how: How::Npm { folder: "xtask/npm/oidc-provider" },
        probe: &["--help"],
    },
    Tool {
        name: "zipkin",
        variable: "PURLIN_ZIPKIN",
        how: How::Maven {
            folder: "xtask/maven/zipkin",
            artifact: "io.zipkin:zipkin-server:3.5.1:jar:slim",
            sha256: "7956e7f2c64b7073e1362b81e697fceb5fe61e121ad3cb48d545461026964b0f",
        },
        probe: &["--probe"],
    },
    Tool {
        name: "moto",
        variable: "PURLIN_MOTO",
        how: How::Pip { folder: "xtask/pip/moto" },
        probe: &["--help"],
    },
    Tool {
        name: "curl",
        variable: "PURLIN_CURL",
        how: How::Apt { package: "curl" },
        probe: &["--version"],
    },
    Tool {
        name: "redis-server",
        variable: "PURLIN_REDIS_SERVER",
        how: How::Apt { package: "redis-server" },
        probe: &["--version"],
    },
    Tool {
        name: "etcd",
        variable: "PURLIN_ETCD",
        how: How::Apt { package: "etcd-server" },
        probe: &["--version"],
    },
    Tool {
        name: "prometheus",
        variable: "PURLIN_PROMETHEUS",
        how: How::Apt { package: "prometheus" },
        probe: &["--version"],
    },
    Tool {
        name: "influxd",
        variable: "PURLIN_INFLUXD",
        how: How::Apt { package: "influxdb" },
        probe: &["version"],
    },
    Tool {
        name: "carbon-cache",
        variable: "PURLIN_CARBON",
        how: How::Apt { package: "graphite-carbon" },
        probe: &["--help"],
    },
    Tool {
        name: "whisper-fetch",
        variable: "PURLIN_WHISPER_FETCH",
        how: How::Apt { package: "python3-whisper" },
        probe: &["--help"],
    },
    Tool {
        name: "openssl",
        variable: "PURLIN_OPENSSL",
        how: How::Apt { package: "openssl" },
        probe: &["version"],
    },
    Tool {
        name: "chromium",
        variable: "PURLIN_CHROMIUM",
        how: How::Apt { package: "chromium" },
        probe: &["--version"],
    },
    Tool {
        name: "chromedriver",
        variable: "PURLIN_CHROMEDRIVER",
        how: How::Apt { package: "chromium-driver" },
        probe: &["--version"],
    },
];

/// What only the long tests need, beside that.
pub(crate) const FOR_SOAK: &[Tool] = &[Tool {
    name: "keycloak",
    variable: "PURLIN_KEYCLOAK",
    how: How::Maven {
        folder: "xtask/maven/keycloak",
        artifact: "org.keycloak:keycloak-quarkus-dist:26.0.8:zip",
        sha256: "d82a52098db41f036bcfe8f2ebfd9251781c8af5959af8714e8aa9b311081786",
    },
    probe: &["--version"],
}];

/// What the benchmarks need: load generators.
pub(crate) const FOR_BENCH: &[Tool] = &[
    Tool {
        name: "wrk",
        variable: "PURLIN_WRK",
        how: How::Apt { package: "wrk" },
        // wrk ends with 1 whatever it is asked without an address.
        probe: &[],
    },
    Tool {
        name: "h2load",
        variable: "PURLIN_H2LOAD",
        how: How::Apt { package: "nghttp2-client" },
        probe: &["--version"],
    },
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn folders(wanted: fn(&How) -> Option<&'static str>) -> Vec<std::path::PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all = FOR_TESTS.iter().chain(FOR_SOAK).chain(FOR_BENCH);
        all.filter_map(|tool| wanted(&tool.how)).map(|folder| root.join(folder)).collect()
    }

    #[test]
    fn what_a_script_starts_has_one_that_can_be_executed() {
        let scripted = folders(|how| match how {
            How::Npm { folder } | How::Pip { folder } | How::Maven { folder, .. } => Some(folder),
            _ => None,
        });
        assert!(!scripted.is_empty());
        for folder in scripted {
            let script = folder.join("start.sh").metadata();
            let executable = script.is_ok_and(|meta| meta.permissions().mode() & 0o111 == 0o111);
            assert!(executable, "{}", folder.display());
        }
    }

    #[test]
    fn a_lock_names_no_registry() {
        let locked = folders(|how| if let How::Npm { folder } = how { Some(folder) } else { None });
        assert!(!locked.is_empty());
        for folder in locked {
            let lock = std::fs::read_to_string(folder.join("package-lock.json")).unwrap();
            assert!(lock.contains("integrity"), "{}", folder.display());
            assert!(!lock.contains("resolved"), "{}", folder.display());
        }
    }
}
