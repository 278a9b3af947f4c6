//! The broker crate on real servers: a vhost per test, and servers of their own for those that
//! break them.

mod consuming;
mod dead_letters;
mod events;
mod faults;
mod holding;
mod publishing;
mod replies;
mod support;
