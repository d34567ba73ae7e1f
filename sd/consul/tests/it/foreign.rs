//! A real agent, where there is one: `PURLIN_CONSUL` is the path of the program.

mod agent;
mod scenarios;
mod suite;
