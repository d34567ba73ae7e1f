//! What goes wrong is said in one clear line.

use crate::process::{Greeter, client, command, output};
use std::net::TcpListener;

#[test]
fn a_taken_port_and_a_bad_address_are_named_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (flag, address) in [
        ("--http-addr", &*taken),
        ("--grpc-addr", &taken),
        ("--debug-addr", &taken),
        ("--http-addr", "nonsense"),
        ("--grpc-addr", "127.0.0.1:99999"),
    ] {
        let any = "127.0.0.1:0";
        let mut greeter = command();
        for other in ["--http-addr", "--grpc-addr", "--debug-addr"] {
            greeter.args([other, if other == flag { address } else { any }]);
        }
        let run = greeter.output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("greeter: {flag} {address}: ")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(run.stdout, b"", "nothing is announced that doesn't listen");
    }
}

#[test]
fn an_unreachable_server_is_named_in_one_line() {
    for transport in ["http", "grpc"] {
        let mut unreachable = client();
        unreachable.args(["--transport", transport]);
        unreachable.args(["--http-addr", "127.0.0.1:1", "--grpc-addr", "127.0.0.1:1"]);
        let run = unreachable.output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains("could not connect to 127.0.0.1:1"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn the_client_prints_the_greeting_of_either_transport() {
    let greeter = Greeter::start(&[]);
    let (http, grpc) = (greeter.http.to_string(), greeter.grpc.to_string());
    let ask = |arguments: &[&str]| {
        output(client().args(["--http-addr", &http, "--grpc-addr", &grpc]).args(arguments))
    };
    for transport in ["http", "grpc"] {
        let told = ask(&["--transport", transport, "Ann"]);
        assert_eq!(told, (true, "Hello, Ann!\n".to_owned(), String::new()));
        let (ok, out, said) = ask(&["--transport", transport, "A\nB"]);
        let expected = "greeter-client: name contains a control character\n";
        assert_eq!((ok, &*out, &*said), (false, "", expected));
    }
    let (ok, out, _) = ask(&["Ann", "Bo", "--languages", "en,fr"]);
    let expected = "Hello, Ann!\nBonjour, Ann!\nHello, Bo!\nBonjour, Bo!\n";
    assert_eq!((ok, &*out), (true, expected));
    let lines = greeter.stop();
    assert_eq!(lines.matches("msg=call").count(), 5, "one line for each call: {lines}");
}

#[test]
fn help_names_every_flag_and_its_variable() {
    let (ok, help, _) = output(command().arg("--help"));
    assert!(ok);
    for flag in ["http-addr", "grpc-addr", "debug-addr", "log-format", "log-level", "drain"] {
        let variable = flag.to_uppercase().replace('-', "_");
        assert!(help.contains(&format!("--{flag}")), "{help}");
        assert!(help.contains(&format!("GREETER_{variable}")), "{help}");
    }
}
