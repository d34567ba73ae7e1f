//! A composable toolkit for microservices.
