//! A registry that is a file.

use purlin_sd::{Discovery, EmptyAnswer, File, Instance};

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_and_its_name_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    for (text, expected) in [
        ("{", "EOF while parsing"),
        (r#"{"greeter": [{"adress": "a"}]}"#, "unknown field `adress`"),
        (r#"{"greeter": [{"weight": 1}]}"#, "missing field `address`"),
    ] {
        std::fs::write(&path, text).unwrap();
        let mut instancer = Discovery::new().start(File::new(&path).source("greeter")).unwrap();
        let mut snapshot = instancer.changed().await;
        while snapshot.error().is_none() {
            snapshot = instancer.changed().await;
        }
        let said = snapshot.error().unwrap().to_string();
        assert!(said.contains("r.json") && said.contains(expected), "{said}");
        assert!(!snapshot.is_known());
    }
}

#[tokio::test]
async fn a_file_names_services_and_only_an_address_must_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    std::fs::write(
        &path,
        r#"{"greeter": [{"address": "b:2", "weight": 2}, {"address": "a:1"},
                        {"address": "c:3", "expires_at_ms": 1}],
            "other": [{"address": "d:4"}]}"#,
    )
    .unwrap();
    let discovery = Discovery::new().empty(EmptyAnswer::Believe);
    let mut instancer = discovery.start(File::new(&path).source("greeter")).unwrap();
    let snapshot = instancer.known().await;
    let found: Vec<Instance> = snapshot.instances().iter().map(|it| (**it).clone()).collect();
    assert_eq!(found, [Instance::new("a:1"), Instance { weight: 2, ..Instance::new("b:2") }]);
}
