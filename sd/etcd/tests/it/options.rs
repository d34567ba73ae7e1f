//! What needs no etcd.

use purlin_endpoint::Code;
use purlin_sd::{Instance, Registrar, State};
use purlin_sd_etcd::Etcd;

#[test]
fn etcd_1_a_cluster_has_a_member_and_each_an_address() {
    let none: [&str; 0] = [];
    assert_eq!(Etcd::new(none).unwrap_err().why, "must name at least one");
    for wrong in ["", "127.0.0.1:2379", "https://127.0.0.1:2379", "http://", "http:///x"] {
        assert_eq!(Etcd::new([wrong]).unwrap_err().field, "endpoints", "{wrong}");
    }
    assert!(Etcd::new(["http://127.0.0.1:2379", "http://etcd.example:2379"]).is_ok());
}

#[test]
fn a_password_is_not_shown() {
    let etcd = Etcd::new(["http://127.0.0.1:2379"]).unwrap().user("root", "s3cret");
    let shown = format!("{etcd:?} {:?} {:?}", etcd.source("s"), etcd.registry("s"));
    assert!(shown.contains("root") && !shown.contains("s3cret"), "{shown}");
}

/// Go kit refuses an empty value too, which an instance never is.
#[tokio::test]
async fn etcd_2_an_instance_without_an_id_is_refused() {
    let etcd = Etcd::new(["http://127.0.0.1:1"]).unwrap();
    let registration = Registrar::new().start(etcd.registry("s"), Instance::new("")).unwrap();
    let mut states = registration.subscribe();
    states.changed().await.unwrap();
    let state = states.borrow().clone();
    assert!(matches!(state, State::Lost(why) if why.code() == Code::InvalidArgument));
}
