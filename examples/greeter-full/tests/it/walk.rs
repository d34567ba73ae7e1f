use crate::world::{Process, ours};
use std::{env, process::Command};

const README: &str = include_str!("../../README.md");

#[test]
fn foreign_clients_see_the_breaker_open_as_the_readme_shows() {
    let curl = env::var("PURLIN_CURL").expect("`cargo xtask test` sets PURLIN_CURL");
    // The README's own ports, which the tests of the greeter use at another time.
    let (mut back, mut front) = (None, None);
    let mut runs = 0;
    for block in README.split("```console\n").skip(1) {
        for run in block.split("```").next().unwrap().split("$ ").skip(1) {
            let (line, expected) = run.split_once('\n').unwrap();
            runs += 1;
            match line {
                "cargo run -p greeter" => back = Some(Process::start(&ours("greeter"), 3, [""; 0])),
                "cargo run -p greeter-full" => {
                    front = Some(Process::start(&ours("greeter-full"), 3, [""; 0]));
                }
                "pkill -x greeter" => drop(back.take().expect("the greeter runs")),
                line => {
                    let line = line.replace("curl ", &format!("{curl} --silent "));
                    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
                    let said = String::from_utf8(output.stdout).unwrap();
                    assert_eq!(said.trim_end(), expected.trim_end(), "{line}");
                }
            }
        }
    }
    assert_eq!(runs, 12, "every line of the README ran");
    drop(front);
}
