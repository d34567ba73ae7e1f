//! The errors that a newcomer meets first say what to do. The toolchain is pinned, so they are
//! compared to the letter.

#[test]
fn the_three_first_mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
