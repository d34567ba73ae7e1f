use std::process::{Child, Command, Stdio};

/// A server of a test's own. It is gone with this value.
pub(super) struct Process(Child);

impl Process {
    /// Starts the program that this variable names.
    pub(super) fn start(variable: &str, arguments: &[String]) -> Self {
        let program = std::env::var_os(variable)
            .unwrap_or_else(|| panic!("{variable} names no program; `cargo xtask test` sets it"));
        let child = Command::new(program)
            .args(arguments)
            // Jaeger would trace itself otherwise, and take ten seconds to stop.
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{variable} does not start: {error}")))
    }

    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
