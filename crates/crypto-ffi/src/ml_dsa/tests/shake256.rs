//! SHAKE256 (FIPS 202), plain and slow: only the caller of ML-DSA computes mu, so only tests need it here.

const RATE: usize = 136;

/// The permutation of FIPS 202 section 3, after the compact form of its designers: the round constants come from their
/// shift register, the rotations from the triangular numbers.
fn permute(lanes: &mut [[u64; 5]; 5]) {
    let mut register = 1_u8;
    for _ in 0..24 {
        let columns: [u64; 5] = std::array::from_fn(|x| lanes[x].iter().fold(0, |sum, lane| sum ^ lane));
        for x in 0..5 {
            let mixed = columns[(x + 4) % 5] ^ columns[(x + 1) % 5].rotate_left(1);
            lanes[x].iter_mut().for_each(|lane| *lane ^= mixed);
        }
        let (mut x, mut y, mut carried, mut rotation) = (1, 0, lanes[1][0], 0);
        for step in 1..=24 {
            rotation += step;
            (x, y) = (y, (2 * x + 3 * y) % 5);
            carried = std::mem::replace(&mut lanes[x][y], carried.rotate_left(rotation % 64));
        }
        let rows: [[u64; 5]; 5] = std::array::from_fn(|y| std::array::from_fn(|x| lanes[x][y]));
        for (y, row) in rows.iter().enumerate() {
            for x in 0..5 {
                lanes[x][y] = row[x] ^ (!row[(x + 1) % 5] & row[(x + 2) % 5]);
            }
        }
        for power in 0..7 {
            if register & 1 == 1 {
                lanes[0][0] ^= 1 << ((1_u32 << power) - 1);
            }
            register = (register << 1) ^ (if register & 0x80 == 0 { 0 } else { 0x71 });
        }
    }
}

pub(super) fn shake256<const BYTES: usize>(message: &[u8]) -> [u8; BYTES] {
    const { assert!(BYTES <= RATE) }
    let mut padded = [message, &[0x1f]].concat();
    padded.resize(padded.len().next_multiple_of(RATE), 0);
    if let Some(last) = padded.last_mut() {
        *last |= 0x80;
    }
    let mut lanes = [[0; 5]; 5];
    for block in padded.chunks_exact(RATE) {
        for (at, byte) in block.iter().enumerate() {
            lanes[at / 8 % 5][at / 40] ^= u64::from(*byte) << (8 * (at % 8));
        }
        permute(&mut lanes);
    }
    std::array::from_fn(|at| lanes[at / 8 % 5][at / 40].to_le_bytes()[at % 8])
}

/// The empty message of FIPS 202, and lengths around a block by Python's hashlib.
#[test]
fn known_answers() {
    let start = |message: &[u8]| hex::encode(shake256::<8>(message));
    assert_eq!(start(b""), "46b9dd2b0ba88d13");
    assert_eq!(start(&[b'a'; 135]), "55b991ece1e567b6");
    assert_eq!(start(&[b'a'; 136]), "8fcc5a08f0a1f682");
    assert_eq!(start(&[b'a'; 137]), "a44e1a438dad6273");
}
