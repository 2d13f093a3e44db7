//! The operations of IAM, by what they are about.

pub(crate) mod access_keys;
pub(crate) mod account;
pub(crate) mod attachments;
pub(crate) mod boundaries;
pub(crate) mod details;
pub(crate) mod devices;
pub(crate) mod groups;
pub(crate) mod inline;
pub(crate) mod leftovers;
pub(crate) mod managed;
pub(crate) mod providers;
pub(crate) mod roles;
pub(crate) mod simulation;
pub(crate) mod tagging;
pub(crate) mod users;
