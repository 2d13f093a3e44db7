//! The operations, one file each or one file for those that share nearly everything.

pub(crate) mod aliases;
pub(crate) mod cipher;
pub(crate) mod create_grant;
pub(crate) mod create_key;
pub(crate) mod decrypt;
pub(crate) mod encrypt;
pub(crate) mod generate_data_key;
pub(crate) mod generate_data_key_pair;
pub(crate) mod generate_random;
pub(crate) mod import;
pub(crate) mod key_use;
pub(crate) mod keys;
pub(crate) mod last_usage;
pub(crate) mod lifecycle;
pub(crate) mod list_grants;
pub(crate) mod listing;
pub(crate) mod macs;
pub(crate) mod policies;
pub(crate) mod re_encrypt;
pub(crate) mod replicas;
pub(crate) mod retire_grant;
pub(crate) mod rotation;
pub(crate) mod shared_secrets;
pub(crate) mod signatures;
pub(crate) mod tags;
