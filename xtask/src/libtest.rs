//! Counting of what test binaries print.

/// What all test binaries of one `cargo test` said, line by line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed, were ignored, or whose binary ended without a result.
    pub(crate) failed: usize,
    /// A line for each failure that has a name.
    pub(crate) complaints: Vec<String>,
    /// The binary that announced its tests and has not given its result yet.
    running: Option<String>,
    /// The last binary that cargo announced.
    binary: String,
}

impl Tally {
    /// Takes the next line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(binary) =
            line.strip_prefix("Running ").or_else(|| line.strip_prefix("Doc-tests "))
        {
            self.close();
            binary.clone_into(&mut self.binary);
        } else if let Some(rest) = line.strip_prefix("running ") {
            if rest.ends_with(" tests") || rest.ends_with(" test") {
                self.close();
                self.running = Some(self.binary.clone());
            }
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
        } else if let Some(test) = line.strip_prefix("test ") {
            self.verdict(test);
        }
    }

    /// Ends the count: a binary without a result has crashed.
    pub(crate) fn close(&mut self) {
        if let Some(binary) = self.running.take() {
            self.fail(format!("{binary} ended without a result"));
        }
    }

    /// Counts one failure that no test binary has counted.
    pub(crate) fn fail(&mut self, complaint: String) {
        self.failed += 1;
        self.complaints.push(complaint);
    }

    /// `ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn result(&mut self, result: &str) {
        self.running = None;
        let counts = result.split_once(". ").map_or(result, |(_, counts)| counts);
        for count in counts.split(';') {
            let Some((number, what)) = count.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" | "ignored" => self.failed += number,
                _ => {}
            }
        }
    }

    /// `claims::a_limit_refuses ... ok`: only the names are of interest, results give the counts.
    fn verdict(&mut self, test: &str) {
        let Some((name, verdict)) = test.split_once(" ... ") else { return };
        if verdict.starts_with("FAILED") {
            self.complaints.push(format!("{name} failed"));
        } else if verdict.starts_with("ignored") {
            self.complaints.push(format!("{name} is ignored, which counts as failed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.line(line));
        tally.close();
        tally
    }

    #[test]
    fn results_of_all_binaries_and_doctests_are_summed() {
        let sum = tally(
            "     Running unittests src/lib.rs (target/debug/deps/a-1)\n\
             \n\
             running 2 tests\n\
             test a ... ok\n\
             test b ... ok\n\
             \n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
                Doc-tests a\n\
             \n\
             running 1 test\n\
             test src/lib.rs - (line 3) ... ok\n\
             \n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        assert_eq!((sum.passed, sum.failed), (3, 0));
        assert!(sum.complaints.is_empty());
    }

    #[test]
    fn failed_and_ignored_tests_are_named_and_both_count_as_failed() {
        let sum = tally(
            "running 4 tests\n\
             test good ... ok\n\
             test bad ... FAILED\n\
             test later ... ignored, too slow\n\
             test src/lib.rs - Foo (line 9) ... ignored\n\
             test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((sum.passed, sum.failed), (1, 3));
        assert_eq!(
            sum.complaints,
            [
                "bad failed",
                "later is ignored, which counts as failed",
                "src/lib.rs - Foo (line 9) is ignored, which counts as failed",
            ]
        );
    }

    #[test]
    fn a_binary_that_ends_without_a_result_has_failed() {
        let sum = tally(
            "     Running tests/it.rs (target/debug/deps/it-1)\n\
             running 2 tests\n\
             test a ... ok\n\
             error: test failed, to rerun pass `--test it`\n\
                  Running unittests src/main.rs (target/debug/deps/b-1)\n\
             running 1 test\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((sum.passed, sum.failed), (1, 1));
        assert_eq!(sum.complaints, ["tests/it.rs (target/debug/deps/it-1) ended without a result"]);
    }

    #[test]
    fn what_a_test_prints_is_not_counted() {
        let sum = tally(
            "running 1 test\n\
             running late, 3 passed\n\
             test tests/ui/shape.rs ... ok\n\
             145 tests, 144 passed, 0 skipped, 1 failed\n\
             test ui ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((sum.passed, sum.failed), (1, 0));
    }
}
