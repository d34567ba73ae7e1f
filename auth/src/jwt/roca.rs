//! RSA keys of a generator whose primes can be found:
//! [CVE-2017-15361](https://crocs.fi.muni.cz/public/papers/rsa_ccs17).
//!
//! Their primes are powers of 65537 modulo many small primes, and so is their product. For another
//! modulus this is as likely as 1 in 2^27.

const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

pub(crate) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| {
        let remainder =
            modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        is_power(remainder, prime)
    })
}

/// Whether a number is a power of 65537 modulo this prime.
fn is_power(number: u32, prime: u32) -> bool {
    let step = 65_537 % prime;
    let powers = std::iter::successors(Some(1), |power| Some(power * step % prime));
    powers.take(prime as usize).any(|power| power == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_repeat_before_they_have_been_looked_for_too_long() {
        // 65537 is 1 modulo 2^16, so 3 as a modulus has 65537 = 2: both 1 and 2 are powers.
        assert!(is_power(1, 3) && is_power(2, 3) && !is_power(0, 3));
        // Modulo 37 it generates few of the numbers, which is what tells these keys apart.
        let few = (1..37).filter(|number| is_power(*number, 37)).count();
        assert!(few < 36, "{few}");
    }
}
