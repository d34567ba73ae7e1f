//! House rules that a compiler does not know.

use std::path::Path;

use super::outcome;
use crate::process;
use crate::workspace::Workspace;

/// Words that promise something for later, in code or comment, and what to do about them.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!(", "write it, or leave it out"),
    ("unimplemented!(", "write it, or leave it out"),
    ("#[ignore", "a test runs or does not exist"),
    ("FIXME", "mend it, or say what is so and why"),
    ("TODO", "do it, or say what is so and why"),
];

/// What sleeps in real time.
const SLEEPS: &[&str] = &["thread::sleep", "time::sleep("];

/// The comment that excuses a sleep, on the line before it.
const SLEEPS_WHY: &str = "// sleeps: ";

/// What only the interception in `endpoint` is made of.
const POLLED: &[&str] = &["fn poll(", "pin_project", "Box::pin"];

/// Where else futures and bodies are polled by hand, and why.
const POLLED_BY_HAND: &[(&str, &str)] = &[
    ("endpoint/", "the interception: here it is written once for everybody"),
    ("serve/", "connections and their timers are polled below any endpoint"),
    ("http-client/", "a body is polled by hyper and has no async form"),
    ("transport-http/", "bodies with limits and idle timeouts are polled by hyper"),
    ("transport-grpc/", "gRPC frames are cut out of a body that is polled by hyper"),
    ("tls/", "a handshake is a future of any listener's, and is named in a trait"),
    ("bench/", "the counterparts of our code are measured in their own style"),
];

/// Documents that the repository has, and how long those may be that a newcomer reads whole.
const DOCUMENTS: &[(&str, usize)] = &[
    ("README.md", 150),
    ("ARCHITECTURE.md", 150),
    ("DESIGN.md", usize::MAX),
    ("CHANGELOG.md", usize::MAX),
    ("CONTRIBUTING.md", usize::MAX),
    ("LICENSE-MIT", usize::MAX),
    ("LICENSE-APACHE", usize::MAX),
];

/// Reads every source file that git knows or would add.
pub(super) fn check(workspace: &Workspace) -> Result<(), String> {
    let mut git = process::git(&workspace.root);
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs"]);
    let mut findings = Vec::new();
    for path in process::output(&mut git)?.lines() {
        // This file is made of the words it looks for.
        if path == "xtask/src/check/tidy.rs" {
            continue;
        }
        // A file that git knows and that is gone is somebody's removal in progress.
        let Ok(source) = std::fs::read_to_string(workspace.root.join(path)) else { continue };
        findings.extend(findings_in(path, &source));
    }
    for package in workspace.members.iter().filter(|package| package.publish) {
        let path = package.folder.join("src/lib.rs");
        let source = std::fs::read_to_string(workspace.root.join(&path)).unwrap_or_default();
        findings.extend(front_door(&source).map(|what| format!("{}:1: {what}", path.display())));
    }
    outcome(&findings)
}

/// Each document is there, says something, and is short enough.
pub(super) fn documents(workspace: &Workspace) -> Result<(), String> {
    let mut findings = Vec::new();
    for (name, most) in DOCUMENTS {
        let text = std::fs::read_to_string(workspace.root.join(name)).unwrap_or_default();
        match text.lines().count() {
            0 => findings.push(format!("{name} is missing or empty")),
            lines if lines > *most => {
                findings.push(format!("{name} has {lines} lines, {most} at most"));
            }
            _ => {}
        }
    }
    outcome(&findings)
}

/// What one source file does that the house does not.
fn findings_in(path: &str, source: &str) -> Vec<String> {
    let in_tests = is_test(path);
    let by_hand = POLLED_BY_HAND.iter().any(|(prefix, _)| path.starts_with(prefix));
    let mut findings = Vec::new();
    let mut in_unit_tests = false;
    let mut before = "";
    for (number, line) in source.lines().enumerate() {
        in_unit_tests |= line.trim() == "#[cfg(test)]";
        let code = if line.trim_start().starts_with("//") { "" } else { line };
        let mut find = |what: String| findings.push(format!("{path}:{}: {what}", number + 1));
        for (word, advice) in UNFINISHED {
            // Comments may speak of the macros; the two words stand in comments above all.
            let text = if word.contains(['(', '[']) { code } else { line };
            if text.contains(word) {
                find(format!("{word} stands for unfinished work: {advice}"));
            }
        }
        let excused = before.trim_start().starts_with(SLEEPS_WHY);
        if in_tests && !excused && SLEEPS.iter().any(|sleep| code.contains(sleep)) {
            find(format!("a test sleeps: pause time, or say why above it with `{SLEEPS_WHY}…`"));
        }
        let polled = POLLED.iter().find(|word| code.contains(*word));
        if let Some(word) = polled
            && !(by_hand || in_tests || in_unit_tests)
        {
            find(format!("{word} belongs in endpoint/, or needs a reason in xtask's list"));
        }
        before = line;
    }
    findings
}

/// Whether all of a file is test code.
fn is_test(path: &str) -> bool {
    let mut parts = Path::new(path).components().map(|part| part.as_os_str().to_string_lossy());
    parts.any(|part| part == "tests" || part == "tests.rs")
}

/// What a reader meets first in a crate: a noun phrase of at most eight words, and within the
/// five lines after it an example that asserts something and is run.
fn front_door(source: &str) -> Option<String> {
    let mut lines = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let first = lines.next().unwrap_or_default();
    let words = first.split_whitespace().count();
    if !(1..=8).contains(&words) {
        return Some(format!("the crate's first line has {words} words where one to eight belong"));
    }
    let Some(fence) = lines.by_ref().take(5).find_map(|line| line.strip_prefix("```")) else {
        return Some("no example starts within five lines of the crate's first".into());
    };
    if ["ignore", "no_run", "text", "compile_fail"].iter().any(|word| fence.contains(word)) {
        return Some("the crate's first example is not run".into());
    }
    let asserts = lines.take_while(|line| !line.starts_with("```")).any(|l| l.contains("assert"));
    (!asserts).then(|| "the crate's first example asserts nothing".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_where_it_stands() {
        let source = "fn a() {\n    todo!()\n}\n// FIXME: later\n#[ignore]\nfn b() {}\n";
        let findings = findings_in("log/src/lib.rs", source);
        assert_eq!(findings.len(), 3);
        assert!(findings[0].starts_with("log/src/lib.rs:2: todo!("), "{}", findings[0]);
    }

    #[test]
    fn a_comment_may_speak_of_a_macro() {
        assert!(findings_in("log/src/lib.rs", "// Unlike `todo!()`, this returns.\n").is_empty());
    }

    #[test]
    fn a_test_that_sleeps_says_why_on_the_line_before() {
        let sleep = "    tokio::time::sleep(d).await;\n";
        let excused = format!("    // sleeps: the kernel's own timer is under test.\n{sleep}");
        assert_eq!(findings_in("serve/tests/it/drain.rs", sleep).len(), 1);
        assert!(findings_in("serve/tests/it/drain.rs", &excused).is_empty());
        assert!(findings_in("serve/src/accept.rs", sleep).is_empty());
    }

    #[test]
    fn polling_by_hand_has_its_places() {
        let source = "let call = Box::pin(call);\n";
        assert_eq!(findings_in("timeout/src/lib.rs", source).len(), 1);
        assert!(findings_in("endpoint/src/intercept.rs", source).is_empty());
        assert!(findings_in("timeout/tests/it/main.rs", source).is_empty());
        let unit = format!("#[cfg(test)]\nmod tests {{\n{source}}}\n");
        assert!(findings_in("timeout/src/lib.rs", &unit).is_empty());
    }

    #[test]
    fn the_first_example_comes_soon_and_asserts() {
        let example = "//! ```\n//! assert_eq!(1 + 1, 2);\n//! ```\n";
        assert_eq!(front_door(&format!("//! Time limits for calls\n//!\n{example}")), None);
        let wrong = [
            String::new(),
            format!("//! One two three four five six seven eight nine\n//!\n{example}"),
            format!("//! Late\n//!\n//! a\n//! b\n//! c\n//! d\n{example}"),
            "//! Idle\n//!\n//! ```\n//! let a = 1;\n//! ```\n//! assert\n".into(),
            format!("//! Not run\n//!\n{}", example.replacen("```", "```no_run", 1)),
        ];
        for source in wrong {
            assert!(front_door(&source).is_some(), "{source}");
        }
    }
}
