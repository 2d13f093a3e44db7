//! What keeps key material inside the process: no core dump, no debugger, no swap where the platform allows.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use claviger_secret::event;

/// Hardens this process. What cannot be had is logged, not fatal: a container may forbid locking memory.
pub(crate) fn process() {
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        event!(warn, "the process could not be made undumpable");
    }
    if setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_err() {
        event!(warn, "the core limit could not be set to zero");
    }
    // Every connection takes a descriptor; the soft limit is often far below what the system allows.
    let descriptors = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: descriptors.maximum, ..descriptors }).is_err() {
        event!(warn, "the limit of open files could not be raised");
    }
    // With a bounded limit, locking what is allocated later would make allocations fail.
    let unbounded = getrlimit(Resource::Memlock).current.is_none();
    let root = rustix::process::geteuid().is_root();
    let everything = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if !(unbounded || root) || mlockall(everything).is_err() {
        event!(warn, "memory could not be locked: key material may reach swap; raise the memlock limit");
    }
}
