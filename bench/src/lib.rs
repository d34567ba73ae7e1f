//! Side-by-side measurements.
//!
//! ```
//! use purlin_bench::stats::Spread;
//!
//! let spread = Spread::of(&[9.3, 8.4, 8.9]).ok_or("no samples")?;
//! assert_eq!(format!("{spread:.1}"), "8.9 (8.4–9.3)");
//! # Ok::<(), &str>(())
//! ```

pub mod micro;
pub mod stats;
pub mod table;
