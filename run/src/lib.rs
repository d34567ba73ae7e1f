//! Actors that start together and stop in order.
