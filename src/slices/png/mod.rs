//! Encodes slices as PNG: 8 bits, grey or RGB.
//!
//! Specification: PNG, third edition (W3C). After reading compressed volumes, encoding is the largest cost of a build,
//! so the encoder is specialised: three filters that compilers vectorise (`filter`), and one Huffman code per image
//! instead of a search for repetitions, which medical images rarely have outside their black background (`deflate`).
//! Against the `png` crate's fast setting (which has one Huffman code for all pictures) files are 2 to 10 % smaller,
//! and made in two thirds to three quarters of the time (`benches/limits.rs` measures both).

mod deflate;
mod filter;
mod huffman;

/// A chunk has fewer than 2^31 bytes (PNG, section 5.3).
const LARGEST_CHUNK: usize = 1 << 30;

/// Encodes a grey (1 channel) or RGB (3 channels) picture, row by row, channels interleaved.
///
/// # Panics
/// If there are not `width * height * channels` bytes, or a side is 0.
pub fn encode(pixels: &[u8], width: u32, height: u32, channels: u8) -> Vec<u8> {
    Encoder::default().encode(pixels, width, height, channels)
}

/// Encodes one picture after the other in the same memory.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Filtered rows.
    rows: Vec<u8>,
    /// The compressed stream, at its beginning.
    stream: Vec<u8>,
}

impl Encoder {
    /// As [`encode`].
    ///
    /// # Panics
    /// As [`encode`].
    pub fn encode(&mut self, pixels: &[u8], width: u32, height: u32, channels: u8) -> Vec<u8> {
        let row = width as usize * channels as usize;
        assert!(row > 0 && pixels.len() == row * height as usize, "{width} x {height} x {channels} bytes of pixels");
        let colour_type = if channels == 1 { 0 } else { 2 };
        filter::rows(pixels, row, channels as usize, &mut self.rows);
        let compressed = deflate::zlib(&self.rows, row + 1, &mut self.stream);
        let mut file = Vec::with_capacity(compressed.len() + 57);
        file.extend(b"\x89PNG\r\n\x1a\n");
        let [width, height] = [width, height].map(u32::to_be_bytes);
        chunk(&mut file, b"IHDR", &[&width[..], &height, &[8, colour_type, 0, 0, 0]].concat());
        compressed.chunks(LARGEST_CHUNK).for_each(|part| chunk(&mut file, b"IDAT", part));
        chunk(&mut file, b"IEND", &[]);
        file
    }
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    let mut crc = libdeflater::Crc::new();
    crc.update(kind);
    crc.update(data);
    file.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pixels of a file, as the `png` crate reads them.
    fn decoded(file: &[u8]) -> (u32, u32, u8, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let channels = if info.color_type == png::ColorType::Grayscale { 1 } else { 3 };
        (info.width, info.height, channels, pixels)
    }

    #[test]
    fn a_picture_of_one_pixel() {
        assert_eq!(decoded(&encode(&[7], 1, 1, 1)), (1, 1, 1, vec![7]));
        assert_eq!(decoded(&encode(&[0, 1, 2], 1, 1, 3)), (1, 1, 3, vec![0, 1, 2]));
    }

    #[test]
    fn a_black_picture_is_small_and_noise_hardly_grows() {
        assert!(encode(&[0; 512 * 512], 512, 512, 1).len() < 2500);
        let noise: Vec<u8> =
            (0..512 * 512u32).map(|i| (i.wrapping_mul(2_654_435_761).rotate_left(9) >> 7) as u8).collect();
        let file = encode(&noise, 512, 512, 1);
        assert!(file.len() < noise.len() * 101 / 100, "{} bytes", file.len());
        assert_eq!(decoded(&file).3, noise);
    }

    #[test]
    fn the_same_picture_gives_the_same_file_whatever_came_before() {
        let picture: Vec<u8> = (0..300 * 200).map(|i| (i % 300 / 3 + i / 1000) as u8).collect();
        let first = encode(&picture, 300, 200, 1);
        let mut encoder = Encoder::default();
        encoder.encode(&[200; 400 * 400], 400, 400, 1);
        assert_eq!(encoder.encode(&picture, 300, 200, 1), first);
    }

    proptest! {
        #[test]
        fn any_picture_comes_back(
            width in 1u32..400, height in 1u32..300, colour: bool, seed: u32, noise in 0u32..9, flat in 1u32..200,
        ) {
            let channels = if colour { 3 } else { 1 };
            // Ground of one value, a ramp, and noise of any strength over a part of it.
            let pixel = |i: u32| {
                let (x, y) = (i / channels % width, i / channels / width);
                let random = seed.wrapping_add(i).wrapping_mul(2_654_435_761).rotate_left(11) >> (32 - noise.max(1));
                if x < flat { (seed & 1) as u8 } else { (x / 2 + y + if noise > 0 { random } else { 0 }) as u8 }
            };
            let pixels: Vec<u8> = (0..width * height * channels).map(pixel).collect();
            let file = encode(&pixels, width, height, channels as u8);
            prop_assert_eq!(decoded(&file), (width, height, channels as u8, pixels));
        }
    }
}
