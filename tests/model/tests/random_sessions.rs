//! The model of the fuzz target `session`, on inputs that need no fuzzer.

/// Bytes with nothing visible in common, the same in each run.
fn bytes(mut seed: u64, count: usize) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed.to_le_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn whatever_two_programs_do_the_model_knows_it() {
    for seed in 0..60 {
        for language in 0..3 {
            let mut input = bytes(seed, 300);
            input[0] = language;
            // Half of the runs are honest: none of their steps is an attack.
            if seed % 2 == 0 {
                for byte in &mut input[1..] {
                    if (*byte >> 1) % 24 == 23 {
                        *byte = 36;
                    }
                }
            }
            capnode_model::run(&input);
        }
    }
}
