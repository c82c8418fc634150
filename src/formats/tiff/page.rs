//! One page: what its directory says, and its pixels.

use super::codec::{self, Compression};
use super::samples::{self, Predictor, SampleType};
use super::{Error, Result, malformed, truncated, unsupported};
use crate::formats::ifd::{self as tag, Directory, File};
use crate::formats::jpeg;
use crate::image::{Image, Meaning, Samples, palette_difference};
use crate::memory::Room;

/// No image is larger than this, in bytes: a header that says so is wrong.
pub(super) const MOST_BYTES: u64 = 16 << 30;

/// A page, checked against the size of the file, so that memory may be taken for it.
#[derive(Clone)]
pub(super) struct Page<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: usize,
    kind: SampleType,
    compression: Compression,
    predictor: Predictor,
    photometric: u64,
    /// Components stored one plane after the other.
    planar: bool,
    /// Bits of each byte run from the lowest.
    reversed: bool,
    grid: Grid,
    /// Position and size in the file of each strip or tile.
    segments: Vec<(u64, u64)>,
    jpeg_tables: &'a [u8],
    palette: Option<Vec<[u8; 4]>>,
    meaning: Meaning,
    /// Inks: cyan, magenta, yellow and black are the first four components.
    cmyk: bool,
    /// The ImageDescription tag, in which ImageJ and tifffile tell of pages without a directory.
    pub(super) description: &'a [u8],
    notes: Vec<String>,
}

/// How a page is cut: tiles, or strips as wide as the page.
#[derive(Clone, Copy)]
struct Grid {
    tiled: bool,
    width: usize,
    height: usize,
    across: usize,
    down: usize,
}

/// True for a thumbnail or a transparency mask of another page.
pub(super) fn is_auxiliary(directory: &Directory) -> Result<bool> {
    let flags = directory.number(tag::NEW_SUBFILE_TYPE)?.unwrap_or(0);
    Ok(flags & 0b101 != 0 || directory.number(tag::SUBFILE_TYPE)? == Some(2))
}

impl<'a> Page<'a> {
    /// Reads and checks a directory; what is read on the way takes memory of `room`.
    pub(super) fn parse(file: &File<'a>, directory: &Directory<'a>, room: &Room) -> Result<Self> {
        let width = directory.required(tag::IMAGE_WIDTH, "ImageWidth")?;
        let height = directory.required(tag::IMAGE_LENGTH, "ImageLength")?;
        let components = directory.number(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if !(1..=1 << 31).contains(&width) || !(1..=1 << 31).contains(&height) || !(1..=1 << 16).contains(&components) {
            return Err(malformed(format!("{width} x {height} pixels of {components} samples")));
        }
        let kind = SampleType::new(
            uniform(directory, tag::SAMPLE_FORMAT, "SampleFormat", components)?,
            uniform(directory, tag::BITS_PER_SAMPLE, "BitsPerSample", components)?,
        )?;
        let compression = Compression::from_tag(directory.number(tag::COMPRESSION)?.unwrap_or(1))?;
        let predictor = match directory.number(tag::PREDICTOR)?.unwrap_or(1) {
            _ if !compression.has_predictor() => Predictor::None,
            1 => Predictor::None,
            2 => Predictor::Horizontal,
            3 if kind.format == samples::Format::Float => Predictor::FloatingPoint,
            other => return Err(unsupported(format!("predictor {other} for {} samples", kind.format))),
        };
        let planar = directory.number(tag::PLANAR_CONFIGURATION)? == Some(2) && components > 1;
        let photometric = directory.number(tag::PHOTOMETRIC)?.unwrap_or(1);
        check_colours(photometric, compression, kind, planar, components)?;

        let cmyk = is_cmyk(directory, photometric, kind, components)?;

        let (width, height, components) = (width as usize, height as usize, components as usize);
        let grid = Grid::parse(directory, width, height)?;
        let planes = if planar { components } else { 1 };
        let (offsets, counts) = match grid.tiled {
            true => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS),
            false => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS),
        };
        let needed = (grid.across.checked_mul(grid.down)).and_then(|n| n.checked_mul(planes)).unwrap_or(usize::MAX);
        let temporary = room.part();
        // Position and size of 8 bytes each, read and then joined.
        temporary.take(32 * needed.min(file.bytes.len()) as u64)?;
        let offsets = directory.first_numbers(offsets, needed)?.unwrap_or_default();
        let counts = directory.first_numbers(counts, needed)?;
        if offsets.len() < needed || counts.as_ref().is_some_and(|c| c.len() < needed) {
            let found = counts.as_ref().map_or(offsets.len(), |c| c.len().min(offsets.len()));
            return Err(malformed(format!("expected {needed} strips or tiles, found {found}")));
        }
        let mut page = Page {
            width,
            height,
            components,
            kind,
            compression,
            predictor,
            photometric,
            planar,
            reversed: directory.number(tag::FILL_ORDER)? == Some(2),
            grid,
            segments: Vec::new(),
            jpeg_tables: directory.bytes(tag::JPEG_TABLES).unwrap_or_default(),
            palette: palette(directory, photometric, kind, components)?,
            meaning: meaning(directory, photometric, components)?,
            cmyk,
            description: directory.bytes(tag::IMAGE_DESCRIPTION).unwrap_or_default(),
            notes: notes(directory, photometric, cmyk)?,
        };
        let file_size = file.bytes.len() as u64;
        page.segments = match counts {
            Some(counts) => offsets.into_iter().zip(counts).take(needed).collect(),
            // Very old files leave the counts out.
            None => {
                let count = |i: usize, offset: u64| match compression {
                    Compression::None => page.segment_bytes(i).unwrap_or(u64::MAX),
                    _ => file_size.saturating_sub(offset),
                };
                offsets.into_iter().take(needed).enumerate().map(|(i, offset)| (offset, count(i, offset))).collect()
            }
        };
        page.check_size(file)?;
        Ok(page)
    }

    /// Whether the strips can give as many bytes as the header says.
    fn check_size(&self, file: &File) -> Result<()> {
        let mut total = 0u64;
        let mut most_per_byte = 1;
        for (i, &(offset, count)) in self.segments.iter().enumerate() {
            let need = self.segment_bytes(i).filter(|&n| n <= MOST_BYTES);
            let need = need.ok_or_else(|| malformed(format!("strip or tile {i} of more than {MOST_BYTES} bytes")))?;
            let data = file.slice("strip or tile", offset, count)?;
            most_per_byte = self.compression.most_bytes_per_byte(need / self.segment_rows(i) as u64);
            if need > most_per_byte.saturating_mul(data.len() as u64) {
                return Err(truncated(format!("strip or tile {i} (decompressed)"), need, data.len() as u64));
            }
            total = total.saturating_add(need);
        }
        let unpacked = self.image_bytes().unwrap_or(u64::MAX);
        if unpacked > MOST_BYTES || total > most_per_byte.saturating_mul(file.bytes.len() as u64) {
            let (w, h, n) = (self.width, self.height, self.components);
            return Err(malformed(format!("{w} x {h} x {n} values cannot be stored in {} bytes", file.bytes.len())));
        }
        Ok(())
    }

    /// Bytes that the page takes in memory without its pixels.
    pub(super) fn memory(&self) -> u64 {
        let palette = self.palette.as_ref().map_or(0, Vec::len) * size_of::<[u8; 4]>();
        (size_of::<Self>() + 256 + palette + self.segments.len() * size_of::<(u64, u64)>()) as u64
    }

    /// Bytes of the page's values once unpacked.
    pub(super) fn image_bytes(&self) -> Option<u64> {
        let values = (self.width as u64).checked_mul(self.height as u64)?.checked_mul(self.components as u64)?;
        values.checked_mul(self.kind.width() as u64)
    }

    /// Components in a strip or tile.
    fn interleaved(&self) -> usize {
        if self.planar { 1 } else { self.components }
    }

    /// Rows of a strip or tile as stored: the last strip is cut, the last tile is not.
    fn segment_rows(&self, index: usize) -> usize {
        let y = index / self.grid.across % self.grid.down * self.grid.height;
        if self.grid.tiled { self.grid.height } else { self.grid.height.min(self.height - y) }
    }

    /// Bytes of a strip or tile once decompressed.
    fn segment_bytes(&self, index: usize) -> Option<u64> {
        let row = self.kind.row_bytes((self.grid.width as u64).checked_mul(self.interleaved() as u64)?)?;
        row.checked_mul(self.segment_rows(index) as u64)
    }

    /// Number of bytes that the page takes in a file without compression or padding.
    pub(super) fn plain_bytes(&self) -> Option<u64> {
        self.kind.row_bytes(self.width as u64 * self.components as u64)?.checked_mul(self.height as u64)
    }

    /// True where the strips of the page lie one after the other without compression; gives the position of the first.
    pub(super) fn contiguous_start(&self) -> Option<u64> {
        if self.compression != Compression::None || self.grid.tiled || self.planar {
            return None;
        }
        let touching = self.segments.windows(2).all(|pair| pair[0].0.checked_add(pair[0].1) == Some(pair[1].0));
        self.segments.first().filter(|_| touching).map(|&(offset, _)| offset)
    }

    /// Makes this the page of one strip at another position, for files whose further pages have no directory.
    pub(super) fn move_to(&mut self, file: &File, offset: u64) -> Result<()> {
        self.grid = Grid { tiled: false, width: self.width, height: self.height, across: 1, down: 1 };
        self.segments = vec![(offset, self.plain_bytes().unwrap_or(u64::MAX))];
        self.check_size(file)
    }

    /// Appends the values, in native byte order, to those of the pages before. The stack has room for them; strips and
    /// tiles take memory of `room` one after the other.
    pub(super) fn decode(&self, file: &File, stack: &mut Vec<u8>, room: &Room) -> Result<()> {
        let value = self.kind.width();
        let start = stack.len();
        stack.resize(start + self.width * self.height * self.components * value, 0);
        let bytes = &mut stack[start..];
        let Grid { width: segment_width, height: segment_height, across, down, .. } = self.grid;
        let interleaved = self.interleaved();
        for index in 0..self.segments.len() {
            let temporary = room.part();
            let segment = self.segment(file, index, &temporary)?;
            let (plane, cell) = (index / (across * down), index % (across * down));
            let (x0, y0) = (cell % across * segment_width, cell / across * segment_height);
            let columns = segment_width.min(self.width - x0);
            let rows = segment_height.min(self.height - y0);
            let from = segment.chunks_exact(segment_width * interleaved * value).take(rows);
            for (row, from) in from.enumerate() {
                let pixel = (y0 + row) * self.width + x0;
                let from = &from[..columns * interleaved * value];
                let to = &mut bytes[pixel * self.components * value..][..columns * self.components * value];
                if self.planar {
                    for (from, to) in from.chunks_exact(value).zip(to.chunks_exact_mut(self.components * value)) {
                        to[plane * value..][..value].copy_from_slice(from);
                    }
                } else {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(())
    }

    /// The image of `count` decoded pages like this one.
    pub(super) fn image(&self, bytes: Vec<u8>, count: usize, room: &Room) -> Result<Image> {
        // Values of one byte stay where they are; half precision becomes single.
        let copied = if self.kind.width() == 1 { 0 } else { 2 * bytes.len() as u64 };
        let held = room.held();
        room.take(copied + if self.cmyk { bytes.len() as u64 } else { 0 })?;
        let mut samples = samples::typed(bytes, self.kind);
        let mut components = self.components;
        if self.cmyk {
            samples = rgb_of_inks(&samples, components);
            components -= 1;
        }
        room.back_to(held);
        Ok(Image {
            size: [self.width, self.height, count, 1],
            bits: self.kind.bits as u8,
            palette: self.palette.clone(),
            meaning: self.meaning,
            notes: self.notes.clone(),
            ..Image::picture(self.width, self.height * count, components, samples)
        })
    }

    /// The values of a strip or tile, row by row, in native byte order.
    fn segment(&self, file: &File, index: usize, room: &Room) -> Result<Vec<u8>> {
        let (offset, count) = self.segments[index];
        let data = file.slice("strip or tile", offset, count)?;
        let rows = self.segment_rows(index);
        if self.compression == Compression::Jpeg {
            return self.jpeg_segment(data, rows, room);
        }
        let need = self.segment_bytes(index).map_or(0, |n| n as usize);
        // The bytes as stored, turned around and decompressed, and what is unpacked of them.
        let values = (self.grid.width * self.interleaved() * rows * self.kind.width()) as u64;
        room.take(if self.reversed { data.len() as u64 } else { 0 } + need as u64 + values)?;
        let reversed: Vec<u8>;
        let data = if self.reversed {
            reversed = data.iter().map(|b| b.reverse_bits()).collect();
            &reversed
        } else {
            data
        };
        let bytes = codec::decompress(self.compression, data, need, need / rows, self.grid.width)?;
        let values = self.grid.width * self.interleaved();
        Ok(samples::unpack(bytes, self.kind, values, self.interleaved(), self.predictor, file.big_endian))
    }

    fn jpeg_segment(&self, data: &[u8], rows: usize, room: &Room) -> Result<Vec<u8>> {
        room.take((data.len() + self.jpeg_tables.len()) as u64)?;
        let stream = codec::jpeg_file(data, self.jpeg_tables, self.photometric);
        let header = jpeg::read_header(&stream)?;
        let expected = (self.grid.width, self.interleaved());
        if (header.width, header.components) != expected || header.height < rows {
            let (w, h, n) = (header.width, header.height, header.components);
            return Err(malformed(format!(
                "a strip or tile of {} x {rows} pixels of {} samples holds a JPEG of {w} x {h} of {n}",
                expected.0, expected.1
            )));
        }
        jpeg::decode(&stream, &header, room)
    }

    /// True where the pages can be layers of one image.
    pub(super) fn is_like(&self, other: &Page) -> bool {
        (self.width, self.height, self.components, self.kind)
            == (other.width, other.height, other.components, other.kind)
            && self.palette == other.palette
            && (self.cmyk, self.meaning.low_is_white, self.meaning.layers)
                == (other.cmyk, other.meaning.low_is_white, other.meaning.layers)
    }

    /// What keeps two pages from being layers of one image, as text.
    pub(super) fn difference(&self, other: &Page) -> String {
        match self.palette == other.palette || self.palette.is_none() || other.palette.is_none() {
            true if self.describe() == other.describe() && self.photometric != other.photometric => {
                format!("{} and {}", photometry(self.photometric), photometry(other.photometric))
            }
            true => format!("{} and {}", self.describe(), other.describe()),
            false => palette_difference(self.palette.as_deref(), other.palette.as_deref()),
        }
    }

    /// Size and type as text, for messages.
    pub(super) fn describe(&self) -> String {
        let (w, h, n) = (self.width, self.height, self.components);
        let palette = if self.palette.is_some() { ", with a palette" } else { "" };
        format!("{w} x {h} pixels of {n} x {} {} bits{palette}", self.kind.format, self.kind.bits)
    }
}

/// TIFF 6.0's name of a photometric interpretation.
fn photometry(photometric: u64) -> String {
    const NAMES: [&str; 7] =
        ["MinIsWhite", "MinIsBlack", "RGB", "a palette", "a transparency mask", "CMYK or other inks", "YCbCr"];
    NAMES.get(photometric as usize).map_or_else(|| format!("photometry {photometric}"), |name| name.to_string())
}

impl Grid {
    fn parse(directory: &Directory, width: usize, height: usize) -> Result<Self> {
        let size = |value: u64| match usize::try_from(value) {
            Ok(n @ 1..=0xffff_ffff) => Ok(n),
            _ => Err(malformed(format!("a strip or tile of {value} pixels"))),
        };
        let (tiled, w, h) = match directory.number(tag::TILE_WIDTH)? {
            Some(w) => (true, size(w)?, size(directory.required(tag::TILE_LENGTH, "TileLength")?)?),
            None => {
                let rows = directory.number(tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX);
                (false, width, size(rows.min(height as u64))?)
            }
        };
        Ok(Grid { tiled, width: w, height: h, across: width.div_ceil(w), down: height.div_ceil(h) })
    }
}

/// A tag with a value for each component, which must be the same; missing ones are 1.
fn uniform(directory: &Directory, tag: u16, name: &str, components: u64) -> Result<u64> {
    let values = directory.first_numbers(tag, components as usize)?.unwrap_or_default();
    let first = values.first().copied().unwrap_or(1);
    match values.iter().take(components as usize).all(|&v| v == first) {
        true => Ok(first),
        false => {
            let values: Vec<String> = values.iter().take(8).map(u64::to_string).collect();
            Err(unsupported(format!("components that differ in {name}: {}", values.join(", "))))
        }
    }
}

/// Refuses pixels that are not values of components.
fn check_colours(
    photometric: u64,
    compression: Compression,
    kind: SampleType,
    planar: bool,
    components: u64,
) -> Result<()> {
    match (photometric, compression) {
        (8..=10, _) => {
            let name = ["CIELab", "ICCLab", "ITULab"][photometric as usize - 8];
            return Err(unsupported(format!("{name} colours; convert the file to RGB")));
        }
        (32844 | 32845, _) => return Err(unsupported("LogL and LogLuv pixels".into())),
        (6, Compression::Jpeg) if !planar => {}
        (6, _) => return Err(unsupported("YCbCr pixels outside JPEG; convert the file to RGB".into())),
        _ => {}
    }
    if compression == Compression::Jpeg && (kind.bits != 8 || kind.format != samples::Format::Unsigned) {
        return Err(unsupported(format!("JPEG of {} bits", kind.bits)));
    }
    if compression == Compression::Group4 && (kind.bits != 1 || components != 1 && !planar) {
        return Err(unsupported("CCITT Group 4 with more than one bit per pixel".into()));
    }
    Ok(())
}

/// The ColorMap: all reds, all greens, all blues, of 16 bits.
fn palette(
    directory: &Directory,
    photometric: u64,
    kind: SampleType,
    components: usize,
) -> Result<Option<Vec<[u8; 4]>>> {
    if photometric != 3 || components != 1 || kind.bits > 16 {
        return Ok(None);
    }
    let Some(map) = directory.first_numbers(tag::COLOR_MAP, 3 << 16)? else { return Ok(None) };
    let colours = map.len() / 3;
    // Some writers store 8 bits without shifting them up.
    let shift = if map.iter().any(|&v| v > 255) { 8 } else { 0 };
    let channel = |c: usize, i: usize| (map[c * colours + i] >> shift) as u8;
    Ok(Some((0..colours).map(|i| [channel(0, i), channel(1, i), channel(2, i), 255]).collect()))
}

/// Whether the first four components are inks of Photoshop's kind. Other ink sets have names of their own.
fn is_cmyk(directory: &Directory, photometric: u64, kind: SampleType, components: u64) -> Result<bool> {
    if photometric != 5 || components < 4 || directory.number(tag::INK_SET)?.unwrap_or(1) != 1 {
        return Ok(false);
    }
    match (kind.format, kind.bits) {
        (samples::Format::Unsigned, 8 | 16) => Ok(true),
        (format, bits) => Err(unsupported(format!("CMYK of {format} {bits} bits; convert the file to RGB"))),
    }
}

/// Red, green, blue and what follows, of inks with 0 for none.
fn rgb_of_inks(samples: &Samples, components: usize) -> Samples {
    match samples {
        Samples::U8(v) => {
            let rgb = |ink: &[u8]| [&jpeg::rgb_of_ink([ink[0], ink[1], ink[2], ink[3]])[..], &ink[4..]].concat();
            Samples::U8(v.chunks_exact(components).flat_map(rgb).collect())
        }
        Samples::U16(v) => {
            let rgb = |ink: &[u16]| {
                let light = 0xffff - u64::from(ink[3]);
                let left = |ink: u16| (light - (u64::from(ink) * light + 0x7fff) / 0xffff) as u16;
                [&[left(ink[0]), left(ink[1]), left(ink[2])][..], &ink[4..]].concat()
            };
            Samples::U16(v.chunks_exact(components).flat_map(rgb).collect())
        }
        other => other.clone(),
    }
}

/// What the values mean to a viewer. A second component that is not called alpha is a layer.
fn meaning(directory: &Directory, photometric: u64, components: usize) -> Result<Meaning> {
    let alpha = directory.first_numbers(tag::EXTRA_SAMPLES, 1)?.is_some_and(|kinds| matches!(kinds[..], [1 | 2, ..]));
    Ok(Meaning {
        low_is_white: photometric == 0,
        layers: components == 2 && !alpha || components > 4 && photometric != 5,
        orientation: directory.orientation().ok().flatten(),
        ..Meaning::default()
    })
}

fn notes(directory: &Directory, photometric: u64, cmyk: bool) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if cmyk {
        notes.push("TIFF: stored as CMYK, converted to RGB without a colour profile".into());
    }
    if photometric == 0 {
        notes.push("TIFF: MinIsWhite: the smallest value is white; values are kept as stored".into());
    }
    match directory.number(tag::ORIENTATION) {
        Ok(None | Some(1)) => {}
        Ok(Some(n)) => notes.push(format!("TIFF: orientation {n} is not applied; viewers rotate or mirror the image")),
        Err(Error::Malformed { .. }) => {}
        Err(e) => return Err(e),
    }
    Ok(notes)
}
