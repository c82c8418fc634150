//! Filtered rows as a zlib stream (RFC 1950, RFC 1951): one block with a Huffman code of its own. Zeros, which stand
//! for what was predicted right, are joined to runs; other repetitions are not looked for.

use libdeflater::adler32;

use super::huffman::{Code, codes, lengths};

/// Literals, the end of the block, and lengths of matches.
const SYMBOLS: usize = 286;
const END: usize = 256;
/// Bits of the longest code word: four of them, and the seven bits that may wait, fit into a register.
const LONGEST: u32 = 14;
/// Of more bytes than this only every fourth row is counted to make the code: it is as good, and costs a quarter.
const COUNT_ALL: usize = 1 << 16;
const COUNTED: usize = 4;

/// Compresses rows of `row` bytes. The stream lies at the beginning of `memory`, which is used again.
pub(super) fn zlib<'a>(rows: &[u8], row: usize, memory: &'a mut Vec<u8>) -> &'a [u8] {
    let counts = counts(rows, row);
    let lengths = lengths(&counts, LONGEST);
    // No symbol has more than LONGEST bits, and no run more symbols than bytes; then the description of the code.
    let most = rows.len() * LONGEST as usize / 8 + 1024;
    if memory.len() < most {
        memory.resize(most, 0);
    }
    let mut bits = Bits { out: memory, at: 0, waiting: 0, count: 0 };
    bits.put(0x0178, 16); // deflate with a window of 32 KiB, made in a hurry
    bits.put(0b101, 3); // the last block, with a code of its own
    describe(&lengths, &mut bits);
    let mut encoder = Encoder { bits, codes: codes(&lengths) };
    tokens(rows, &mut encoder);
    encoder.symbol(END);
    let end = encoder.bits.finish();
    memory[end..end + 4].copy_from_slice(&adler32(rows).to_be_bytes());
    &memory[..end + 4]
}

/// What takes the parts of a stream.
trait Tokens {
    /// Bytes for themselves.
    fn literals(&mut self, bytes: &[u8]);
    /// Eight zeros or more.
    fn zeros(&mut self, count: usize);
}

/// Divides bytes into runs of zeros, which begin with eight of them in a row, and the rest.
fn tokens(bytes: &[u8], to: &mut impl Tokens) {
    let mut at = 0;
    while at < bytes.len() {
        let (words, _) = bytes[at..].as_chunks::<8>();
        let Some(before) = words.iter().position(|word| *word == [0; 8]) else { break };
        let start = at + 8 * before;
        let zero_words = words[before..].iter().take_while(|word| **word == [0; 8]).count();
        let after = start + 8 * zero_words;
        let end = after + bytes[after..].iter().take_while(|byte| **byte == 0).count();
        to.literals(&bytes[at..start]);
        to.zeros(end - start);
        at = end;
    }
    to.literals(&bytes[at..]);
}

/// Lengths of the matches, of 3 to 258 bytes, that repeat a zero `count` times; seven times at least.
fn matches(mut count: usize, mut each: impl FnMut(usize)) {
    while count > 260 {
        each(258);
        count -= 258;
    }
    if count > 258 {
        each(count - 3);
        count = 3;
    }
    each(count);
}

/// Symbol of a match's length, and the number and value of the bits behind it (RFC 1951, section 3.2.5).
fn length_symbol(length: usize) -> (usize, u32, u64) {
    match length - 3 {
        255 => (285, 0, 0),
        short @ 0..8 => (257 + short, 0, 0),
        long => {
            let extra = long.ilog2() - 2;
            (257 + 4 * (extra as usize + 1) + (long >> extra & 3), extra, (long & ((1 << extra) - 1)) as u64)
        }
    }
}

/// How often each symbol occurs.
fn counts(rows: &[u8], row: usize) -> [u32; SYMBOLS] {
    let mut counter = Counter { literals: [[0; 256]; 4], others: [0; SYMBOLS] };
    let some = rows.len() > COUNT_ALL;
    match some {
        true => rows.chunks(row).step_by(COUNTED).for_each(|row| tokens(row, &mut counter)),
        false => tokens(rows, &mut counter),
    }
    let mut counts = counter.others;
    for lane in &counter.literals {
        counts.iter_mut().zip(lane).for_each(|(count, lane)| *count += lane);
    }
    if some {
        counts.iter_mut().for_each(|count| *count += 1); // each may occur in a row that was not counted
    }
    counts[END] = 1;
    counts
}

struct Counter {
    /// In turns, so that equal neighbours do not wait for each other.
    literals: [[u32; 256]; 4],
    others: [u32; SYMBOLS],
}

impl Tokens for Counter {
    fn literals(&mut self, bytes: &[u8]) {
        let (fours, rest) = bytes.as_chunks::<4>();
        for four in fours {
            self.literals.iter_mut().zip(four).for_each(|(lane, byte)| lane[*byte as usize] += 1);
        }
        rest.iter().for_each(|byte| self.literals[0][*byte as usize] += 1);
    }

    fn zeros(&mut self, count: usize) {
        self.others[0] += 1;
        matches(count - 1, |length| self.others[length_symbol(length).0] += 1);
    }
}

/// Writes the code lengths (RFC 1951, section 3.2.7): of the symbols, and of the one distance, by which zeros repeat
/// zeros.
fn describe(lengths_of_symbols: &[u8; SYMBOLS], bits: &mut Bits) {
    let used = SYMBOLS - lengths_of_symbols.iter().rev().take_while(|length| **length == 0).count();
    let mut all = lengths_of_symbols[..used].to_vec();
    all.push(1);
    // Repeated lengths, with the number and value of bits behind the symbol that stands for them.
    let mut symbols: Vec<(u8, u32, u64)> = Vec::new();
    for same in all.chunk_by(|a, b| a == b) {
        let mut left = same.len();
        if same[0] > 0 {
            symbols.push((same[0], 0, 0));
            left -= 1;
        }
        while left >= 3 {
            let (symbol, extra, least, most) = match (same[0], left) {
                (0, 11..) => (18, 7, 11, 138),
                (0, _) => (17, 3, 3, 10),
                _ => (16, 2, 3, 6),
            };
            let taken = left.min(most);
            symbols.push((symbol, extra, (taken - least) as u64));
            left -= taken;
        }
        symbols.extend(vec![(same[0], 0, 0); left]);
    }
    let mut counts = [0; 19];
    symbols.iter().for_each(|(symbol, _, _)| counts[*symbol as usize] += 1);
    let lengths = lengths(&counts, 7);
    let codes = codes(&lengths);
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let listed = (ORDER.len() - ORDER.iter().rev().take_while(|symbol| lengths[**symbol] == 0).count()).max(4);
    bits.put((used - 257) as u64, 5);
    bits.put(0, 5);
    bits.put((listed - 4) as u64, 4);
    ORDER[..listed].iter().for_each(|symbol| bits.put(lengths[*symbol].into(), 3));
    for (symbol, extra, value) in symbols {
        bits.code(codes[symbol as usize]);
        bits.put(value, extra);
    }
}

struct Encoder<'a> {
    bits: Bits<'a>,
    codes: [Code; SYMBOLS],
}

impl Encoder<'_> {
    fn symbol(&mut self, symbol: usize) {
        self.bits.code(self.codes[symbol]);
    }
}

impl Tokens for Encoder<'_> {
    fn literals(&mut self, bytes: &[u8]) {
        // What is written to lives in registers meanwhile.
        let mut bits = Bits { out: self.bits.out, ..self.bits };
        let (fours, rest) = bytes.as_chunks::<4>();
        for four in fours {
            let join = |a: (u64, u32), b: (u64, u32)| (a.0 | b.0 << a.1, a.1 + b.1);
            let [a, b, c, d] = four.map(|byte| {
                let code = self.codes[byte as usize];
                (u64::from(code.bits), u32::from(code.length))
            });
            let (joined, count) = join(join(a, b), join(c, d));
            bits.put(joined, count);
        }
        rest.iter().for_each(|byte| bits.code(self.codes[*byte as usize]));
        let Bits { at, waiting, count, .. } = bits;
        (self.bits.at, self.bits.waiting, self.bits.count) = (at, waiting, count);
    }

    fn zeros(&mut self, count: usize) {
        self.symbol(0);
        matches(count - 1, |length| {
            let (symbol, extra, value) = length_symbol(length);
            self.symbol(symbol);
            self.bits.put(value, extra + 1); // with the one bit of the distance, 0
        });
    }
}

/// A stream of bits, the lowest bit of a byte first.
struct Bits<'a> {
    out: &'a mut [u8],
    at: usize,
    /// Fewer than eight bits that do not fill a byte yet.
    waiting: u64,
    count: u32,
}

impl Bits<'_> {
    /// Writes up to 57 bits.
    #[inline(always)]
    fn put(&mut self, bits: u64, count: u32) {
        self.waiting |= bits << self.count;
        self.count += count;
        self.out[self.at..self.at + 8].copy_from_slice(&self.waiting.to_le_bytes());
        self.at += (self.count / 8) as usize;
        self.waiting >>= self.count & 56;
        self.count %= 8;
    }

    #[inline(always)]
    fn code(&mut self, code: Code) {
        self.put(code.bits.into(), code.length.into());
    }

    /// Fills the last byte up, and gives the number of bytes.
    fn finish(self) -> usize {
        self.at + usize::from(self.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn inflated(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(stream).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn runs_of_every_length_come_back() {
        for zeros in (1..600).chain([777, 1030, 1034, 1035, 1036, 100_000]) {
            for lead in [0, 1, 5, 8] {
                let bytes = [vec![9; lead], vec![0; zeros], vec![3]].concat();
                assert!(inflated(zlib(&bytes, bytes.len(), &mut Vec::new())) == bytes, "{lead} bytes, {zeros} zeros");
            }
        }
    }

    #[test]
    fn lengths_have_the_symbols_of_the_standard() {
        let found = [3, 10, 11, 12, 13, 18, 19, 34, 35, 130, 131, 257, 258].map(length_symbol);
        let expected = [
            (257, 0, 0),
            (264, 0, 0),
            (265, 1, 0),
            (265, 1, 1),
            (266, 1, 0),
            (268, 1, 1),
            (269, 2, 0),
            (272, 2, 3),
            (273, 3, 0),
            (280, 4, 15),
            (281, 5, 0),
            (284, 5, 30),
            (285, 0, 0),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn symbols_in_rows_that_are_not_counted_have_codes() {
        let mut bytes = vec![1; 80_000];
        bytes[1000..1256].copy_from_slice(&(0..=255).collect::<Vec<u8>>());
        assert!(inflated(zlib(&bytes, 500, &mut Vec::new())) == bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0usize..700), 0..60), row in 1usize..900,
        ) {
            let bytes: Vec<u8> = parts.into_iter().flat_map(|(bytes, zeros)| [bytes, vec![0; zeros]].concat()).collect();
            prop_assert!(inflated(zlib(&bytes, row, &mut Vec::new())) == bytes);
        }
    }
}
