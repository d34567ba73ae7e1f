//! The greeter as its users meet it: as a process, over sockets, with clients that are not ours.

mod consul;
mod drain;
mod etcd;
mod faults;
mod foreign;
mod process;
mod readme;
mod registries;
mod rolling;
mod transcript;
