//! The targets under bolero: random bytes, and random edits of the stored inputs.
//!
//! `cargo test` runs a short random round; `cargo bolero test -p claviger-fuzz <name>` searches guided by coverage.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_fuzz::{TARGETS, Target};

const ROUNDS: usize = 2000;

/// Edits of one input: position (as a share of the length), what to do, and a byte.
type Edits = Vec<(u16, u8, u8)>;

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
}

fn edited(input: &[u8], edits: &Edits) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for (position, change, byte) in edits.iter().take(8) {
        let position = usize::from(*position) % (bytes.len() + 1);
        match (change % 4, bytes.get_mut(position)) {
            (0, Some(old)) => *old = *byte,
            (1, Some(_)) => {
                bytes.remove(position);
            }
            (2, Some(_)) => {
                let tail: Vec<u8> = bytes.drain(position..).collect();
                let from = usize::from(*byte) % (position + 1);
                bytes.extend_from_within(from..position);
                bytes.extend(tail);
            }
            _ => bytes.insert(position, *byte),
        }
    }
    bytes
}

fn random_edits(name: &str, rounds: usize) {
    let target = target(name);
    let corpus = target.corpus().unwrap();
    bolero::check!().with_iterations(rounds).with_type::<(u8, Edits)>().for_each(|(choice, edits)| {
        let (_, input) = corpus.get(usize::from(*choice) % corpus.len()).unwrap();
        (target.run)(&edited(input, edits));
    });
}

macro_rules! targets {
    ($($name:ident $edits:ident $rounds:expr;)+) => { $(
        #[test]
        fn $name() {
            let target = target(stringify!($name));
            bolero::check!().with_iterations($rounds).for_each(|input: &[u8]| (target.run)(input));
        }

        #[test]
        fn $edits() {
            random_edits(stringify!($name), $rounds);
        }
    )+ };
}

targets! {
    attestation attestation_edited ROUNDS / 4;
    audit audit_edited ROUNDS / 4;
    blob blob_edited ROUNDS;
    json json_edited ROUNDS;
    operator operator_edited ROUNDS;
    policy policy_edited ROUNDS;
    query query_edited ROUNDS;
    sigv4 sigv4_edited ROUNDS;
    token token_edited ROUNDS / 4;
}
