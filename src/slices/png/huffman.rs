//! Prefix codes of a limited length (RFC 1951, section 3.2.2).

/// Code lengths of each symbol, of at most `longest` bits, that make a text in which symbol `i` occurs `counts[i]`
/// times as short as can be; 0 for symbols that do not occur, 1 for a single one. By merging packages (Larmore and
/// Hirschberg, 1990).
///
/// # Panics
/// If more than `2^longest` symbols occur.
pub(super) fn lengths<const N: usize>(counts: &[u32; N], longest: u32) -> [u8; N] {
    let occurring = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut leaves: Vec<(u64, usize)> = occurring.map(|(symbol, &count)| (count.into(), symbol)).collect();
    assert!(leaves.len() <= 1 << longest, "{} symbols in {longest} bits", leaves.len());
    leaves.sort_unstable();
    let mut lengths = [0; N];
    if let [(_, symbol)] = leaves[..] {
        lengths[symbol] = 1;
        return lengths;
    }
    // For each length a list of the symbols and of pairs from the list before, by weight. What matters of it later is
    // which of its items are symbols.
    let mut lists: Vec<Vec<bool>> = Vec::new();
    let mut weights: Vec<u64> = Vec::new();
    for _ in 0..longest {
        let pairs: Vec<u64> = weights.as_chunks::<2>().0.iter().map(|[a, b]| a + b).collect();
        weights.clear();
        let mut list = Vec::with_capacity(leaves.len() + pairs.len());
        let (mut symbols, mut pairs) = (leaves.iter().peekable(), pairs.iter().peekable());
        loop {
            let symbol = match (symbols.peek(), pairs.peek()) {
                (Some((symbol, _)), Some(pair)) => symbol <= pair,
                (symbol, None) if symbol.is_none() => break,
                (symbol, _) => symbol.is_some(),
            };
            let next = if symbol { symbols.next().map(|leaf| &leaf.0) } else { pairs.next() };
            weights.extend(next);
            list.push(symbol);
        }
        lists.push(list);
    }
    // The lightest 2 n - 2 items of the last list, and what their pairs are made of: a symbol's length is how often it
    // is among them.
    let mut taken = (2 * leaves.len()).saturating_sub(2);
    for list in lists.iter().rev() {
        let symbols = list[..taken].iter().filter(|symbol| **symbol).count();
        leaves[..symbols].iter().for_each(|(_, symbol)| lengths[*symbol] += 1);
        taken = 2 * (taken - symbols);
    }
    lengths
}

/// A code word: bits, of which the first to be written is the lowest, and their number. No bits for what does not
/// occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u16,
}

/// The code words of code lengths: shorter ones first, and those of a length in the order of the symbols.
pub(super) fn codes<const N: usize>(lengths: &[u8; N]) -> [Code; N] {
    let mut codes = [Code::default(); N];
    let mut next = 0u16;
    for length in 1..=15 {
        for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
            codes[symbol] = Code { bits: next.reverse_bits() >> (16 - length), length: length.into() };
            next += 1;
        }
        next <<= 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bits of a text in which symbols occur so often, and of its longest code word, by Huffman's own algorithm, which
    /// knows no limit.
    fn unlimited(counts: &[u32]) -> (u64, u32) {
        let mut trees: Vec<(u64, u32)> = counts.iter().filter(|c| **c > 0).map(|c| (u64::from(*c), 0)).collect();
        let mut total = 0;
        while trees.len() > 1 {
            trees.sort_unstable_by(|a, b| b.cmp(a));
            let (a, b) = (trees.pop().unwrap(), trees.pop().unwrap());
            trees.push((a.0 + b.0, a.1.max(b.1) + 1));
            total += a.0 + b.0;
        }
        (total, trees[0].1)
    }

    #[test]
    fn the_example_of_the_standard() {
        // RFC 1951, section 3.2.2: A to H of lengths 3, 3, 3, 3, 3, 2, 4, 4 are 010, 011, 100, 101, 110, 00, 1110,
        // 1111.
        let words = codes(&[3, 3, 3, 3, 3, 2, 4, 4]);
        let bits = ["010", "011", "100", "101", "110", "00", "1110", "1111"];
        for (code, expected) in words.iter().zip(bits) {
            let written: String = (0..code.length).map(|i| if code.bits >> i & 1 == 1 { '1' } else { '0' }).collect();
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn rare_symbols_are_kept_within_the_limit() {
        // Fibonacci's numbers make the deepest trees.
        let counts = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55];
        let lengths = super::lengths(&counts, 5);
        assert!(lengths.iter().all(|l| (1..=5).contains(l)), "{lengths:?}");
        assert_eq!(super::lengths(&counts, 15), [9, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(super::lengths(&[0, 7, 0], 15), [0, 1, 0]);
        assert_eq!(super::lengths(&[0, 7, 1], 15), [0, 1, 1]);
        assert_eq!(super::lengths(&[1; 32], 5), [5; 32]);
    }

    proptest! {
        #[test]
        fn codes_are_complete_and_as_short_as_can_be(counts in prop::collection::vec(0u32..100_000, 64), power in 0u32..4) {
            let counts: [u32; 64] = std::array::from_fn(|i| counts[i] / 100u32.pow(power));
            for longest in [6, 9, 15] {
                let lengths = super::lengths(&counts, longest);
                prop_assert!(lengths.iter().zip(&counts).all(|(l, c)| (*l > 0) == (*c > 0) && u32::from(*l) <= longest));
                let used = lengths.iter().filter(|l| **l > 0);
                if used.clone().count() > 1 {
                    prop_assert_eq!(used.map(|l| 1u64 << (15 - l)).sum::<u64>(), 1 << 15);
                    let bits: u64 = lengths.iter().zip(&counts).map(|(l, c)| u64::from(*l) * u64::from(*c)).sum();
                    let (least, deepest) = unlimited(&counts);
                    prop_assert_eq!(bits == least, deepest <= longest);
                    prop_assert!(bits >= least);
                }
            }
        }
    }
}
