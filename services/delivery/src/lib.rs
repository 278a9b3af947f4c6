//! Delivery.
pub mod text;
