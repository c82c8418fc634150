//! PNG filters: rows as differences from predicted values (PNG, section 9).

/// Filters that are tried for each row, with their numbers in the file. Paeth's is not among them: it takes longer than
/// the three together, and with a Huffman code of its own a picture of a body is as small without it.
const SUB: u8 = 1;
const UP: u8 = 2;
const AVERAGE: u8 = 3;

/// Writes into `out` each row of `row` bytes behind the number of its filter: the one that leaves the least sum of
/// absolute differences (section 12.7, the rule of libpng). `pixel` is the number of bytes to the value on the left.
pub(super) fn rows(pixels: &[u8], row: usize, pixel: usize, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(pixels.len() / row * (row + 1));
    // Beyond the edges everything is 0.
    let (mut above, mut here) = (vec![0; pixel + row], vec![0; pixel + row]);
    let mut tried = [vec![0; row], vec![0; row], vec![0; row]];
    for line in pixels.chunks_exact(row) {
        here[pixel..].copy_from_slice(line);
        let (values, left, up) = (&here[pixel..], &here[..row], &above[pixel..]);
        let [first, second, third] = &mut tried;
        let mut best = (differences(first, values, left, up, |_, up| up), UP, &*first);
        if best.0 > 0 {
            let sum = differences(second, values, left, up, |left, _| left);
            if sum < best.0 {
                best = (sum, SUB, second);
            }
            // The mean of two bytes, rounded down, in bytes.
            let sum = differences(third, values, left, up, |left, up| (left & up) + ((left ^ up) >> 1));
            if sum < best.0 {
                best = (sum, AVERAGE, third);
            }
        }
        out.push(best.1);
        out.extend_from_slice(best.2);
        std::mem::swap(&mut above, &mut here);
    }
}

/// Writes `values` less what is predicted of each, and gives the sum of the differences, as numbers with a sign,
/// without it. A function of its own, so that the compiler knows that its slices do not overlap.
#[inline(never)]
fn differences(out: &mut [u8], values: &[u8], left: &[u8], up: &[u8], predicted: impl Fn(u8, u8) -> u8) -> u64 {
    let known = values.iter().zip(left.iter().zip(up));
    out.iter_mut().zip(known).for_each(|(out, (value, (left, up)))| *out = value.wrapping_sub(predicted(*left, *up)));
    let absolute = |v: &u8| u64::from((*v).min(v.wrapping_neg()));
    // In pieces of this size, which the compiler adds up in two instructions.
    let (whole, rest) = out.as_chunks::<32>();
    whole.iter().map(|part| part.iter().map(absolute).sum::<u64>()).sum::<u64>()
        + rest.iter().map(absolute).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_is_chosen_where_it_fits_best() {
        let mut out = Vec::new();
        let alike = [[9, 80, 3, 200]; 2].concat();
        rows(&alike, 4, 1, &mut out);
        assert_eq!(out[5..], [UP, 0, 0, 0, 0]);
        rows(&[50, 52, 54, 56], 4, 1, &mut out);
        assert_eq!(out, [SUB, 50, 2, 2, 2]);
        rows(&[40, 41, 42, 0, 60, 60, 60, 30], 4, 1, &mut out);
        assert_eq!(out[5..], [AVERAGE, 40, 10, 9, 0]);
    }

    #[test]
    fn the_value_on_the_left_is_of_the_same_channel() {
        let mut out = Vec::new();
        rows(&[10, 100, 200, 11, 101, 201], 6, 3, &mut out);
        assert_eq!(out, [SUB, 10, 100, 200, 1, 1, 1]);
    }
}
