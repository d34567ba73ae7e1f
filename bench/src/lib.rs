//! Side-by-side measurements.
//!
//! ```
//! use purlin_bench::stats::Spread;
//!
//! let spread = Spread::of(&[9.3, 8.4, 8.9]).ok_or("no samples")?;
//! assert_eq!(format!("{spread:.1}"), "8.9 (8.4–9.3)");
//! # Ok::<(), &str>(())
//! ```

pub mod gokit;
pub mod micro;
pub mod stats;
pub mod table;

use std::error::Error;

/// Whatever stops a measurement, said in one line.
pub type Failure = Box<dyn Error + Send + Sync>;
