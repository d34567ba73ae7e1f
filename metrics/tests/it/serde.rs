use purlin_metrics::Buckets;

#[test]
fn buckets_are_a_list_of_bounds() {
    let buckets: Buckets = serde_json::from_str("[0.1, 1]").unwrap();
    assert_eq!(buckets, Buckets::new([0.1, 1.0]).unwrap());
    assert_eq!(serde_json::to_string(&buckets).unwrap(), "[0.1,1.0]");
    assert!(
        serde_json::from_str::<Buckets>("[1, 0.1]").unwrap_err().to_string().contains("ascend")
    );
}
