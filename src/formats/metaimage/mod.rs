//! MetaImage: `.mha` (header and voxels in one file) and `.mhd` with `.raw`, `.zraw` or one file per slice.
//!
//! Specification: the MetaIO documentation of Kitware; where it is silent, the behaviour of ITK (through SimpleITK 2.5)
//! on the same bytes. A text header of `Key = value` lines whose last is `ElementDataFile`, then the voxels with x
//! fastest, raw or as one zlib stream.
//!
//! In the wild:
//! - Keys in other cases, `:` for `=`, blanks and CRLF, lines that are no field: all tolerated (MetaIO minds the case).
//! - `TransformMatrix`, `Rotation` and `Orientation` are one field under three names, and so are `Offset`, `Position`
//!   and `Origin`. The matrix is written axis by axis: its first row is the direction of x. World coordinates are LPS+.
//! - `AnatomicalOrientation` contradicts the matrix as often as not; like ITK, this reader leaves it alone.
//! - `CompressedDataSize` is missing or wrong. ITK 5.4 then returns garbage without an error; here the stream is
//!   inflated to its own end, and one that ends early is an error.
//! - `ElementSize` stands for `ElementSpacing` in old files; if both are present, the spacing is used.
//! - `ElementToIntensityFunctionSlope` and `…Offset`: ITK ignores them, and so does this reader, with a note.

#[cfg(test)]
mod tests;

use super::format::Format;
use super::voxels::{
    Block, DataFiles, Dtype, Encoding, Endian, Header, MOST_LINES, Scratch, Skip, four_axes, named_data,
};
use super::{Companion, Error, Result, listed};
use crate::image::{Geometry, Image, Scaling};
use crate::memory::Room;

const FORMAT: &str = "MetaImage";

/// MetaImage, with its data or the header alone.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["mhd", "mha"],
    companions: &[("mhd", &["raw", "zraw", "RAW", "raw.gz"])],
    named_data: Some(|header| named_data(header, &["elementdatafile"])),
    read: |file, companion, scratch| read_into(file.bytes, companion, (scratch, file.room())),
    ..Format::PLAIN
};

/// Reads an image from the bytes of its `.mha` or `.mhd`. The data file is named in the header; `name`, the header's
/// own, is not needed.
///
/// Axes beyond the fourth are joined into t, in the order of storage. Channels are components.
///
/// # Errors
/// [`Error::MissingCompanion`] where a data file is not there, [`Error::Truncated`] where it is too short,
/// [`Error::Malformed`] for a header that lacks a field or contradicts itself, and for a compressed stream that is
/// damaged.
pub fn read(_name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_into(bytes, companion, (&mut Scratch::default(), &Room::default()))
}

fn read_into(bytes: &[u8], companion: &Companion, (scratch, room): (&mut Scratch, &Room)) -> Result<Image> {
    let parsed = parse(bytes)?;
    let header = parsed.header;
    let mut skip = parsed.skip;
    if parsed.files == DataFiles::Local
        && let Skip::Bytes(from_start) = &mut skip
    {
        // In a single file the bytes to skip are counted from its start, and 0 means after the header.
        *from_start = from_start.saturating_sub(bytes.len() - parsed.rest.len());
    }
    let mut files = parsed.files.fetch(FORMAT, parsed.rest, companion)?;
    if let (Encoding::Deflate, Some(size), [file]) = (parsed.encoding, parsed.compressed_size, &mut files[..])
        && file.len() < size
    {
        let (what, expected, found) = ("compressed voxel data".into(), size as u64, file.len() as u64);
        return Err(Error::Truncated { format: FORMAT, what, expected, found });
    }
    if let (Some(expected), found) = (parsed.number_of_files, files.len())
        && expected != found
    {
        return Err(malformed(format!("expected {expected} data files for the axes of DimSize, found {found} named")));
    }
    let (dtype, endian, encoding) = (header.dtype, parsed.endian, parsed.encoding);
    let block = Block { format: FORMAT, dtype, endian, count: header.count(FORMAT)?, encoding, skip };
    let samples = block.decode(files, scratch, room)?;
    Ok(header.with(samples))
}

/// Reads the header alone, from a `.mhd`, or the start of a `.mha`.
///
/// # Errors
/// As [`read`], without those of the data.
pub fn header(_name: &str, bytes: &[u8]) -> Result<Header> {
    Ok(parse(bytes)?.header)
}

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

struct Parsed<'a> {
    header: Header,
    endian: Endian,
    encoding: Encoding,
    compressed_size: Option<usize>,
    skip: Skip,
    files: DataFiles,
    /// How many files there must be, where there may be several.
    number_of_files: Option<usize>,
    /// What follows the header in its file.
    rest: &'a [u8],
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>> {
    let (fields, rest) = Fields::split(bytes)?;
    if let Some(kind) = fields.text(&["ObjectType"])
        && !kind.eq_ignore_ascii_case("image")
    {
        return Err(malformed(format!("ObjectType is {kind}, expected Image")));
    }
    let ndims: usize = fields.one("NDims")?.ok_or_else(|| missing("NDims"))?;
    if !(1..=10).contains(&ndims) {
        return Err(malformed(format!("NDims is {ndims}, expected 1 to 10")));
    }
    let sizes: Vec<usize> = fields.list(&["DimSize"], ndims)?.ok_or_else(|| missing("DimSize"))?;
    if sizes.contains(&0) {
        return Err(malformed(format!("DimSize is {}; an axis cannot be empty", listed(&sizes))));
    }
    let size = four_axes(&sizes)
        .ok_or_else(|| malformed(format!("the product of DimSize {} is too large", listed(&sizes))))?;
    let components = fields.one("ElementNumberOfChannels")?.unwrap_or(1);
    if components == 0 {
        return Err(malformed("ElementNumberOfChannels is 0".into()));
    }
    let dtype = dtype(fields.text(&["ElementType"]).ok_or_else(|| missing("ElementType"))?)?;

    // Colours are three or four bytes; the format has no word for them.
    let layers = components > 1 && (dtype != Dtype::U8 || !matches!(components, 3 | 4));

    let mut notes = Vec::new();
    let geometry = Some(geometry(&fields, ndims, &mut notes)?);
    if fields.has("ElementToIntensityFunctionSlope") || fields.has("ElementToIntensityFunctionOffset") {
        notes.push(
            "The map from stored to intensity values (ElementToIntensityFunction) was ignored, as ITK does.".into(),
        );
    }

    let files = DataFiles::parse(FORMAT, fields.text(&["ElementDataFile"]).unwrap_or_default(), rest)?;
    let number_of_files = match files {
        DataFiles::Local | DataFiles::One(_) => None,
        _ => {
            let per_file = files.dimension().unwrap_or(ndims - 1);
            Some(sizes.iter().skip(per_file).product())
        }
    };
    let big = fields.flag(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])?.unwrap_or(false);
    let encoding = match (fields.flag(&["BinaryData"])?, fields.flag(&["CompressedData"])?) {
        (Some(false), _) => Encoding::Text,
        (_, Some(true)) => Encoding::Deflate,
        _ => Encoding::Raw,
    };
    let skip = match fields.one::<i64>("HeaderSize")?.unwrap_or(0) {
        -1 => Skip::ToEnd,
        n => Skip::Bytes(usize::try_from(n).map_err(|_| malformed(format!("HeaderSize is {n}")))?),
    };
    Ok(Parsed {
        header: Header { size, components, layers, dtype, scaling: Scaling::IDENTITY, geometry, notes },
        endian: if big { Endian::Big } else { Endian::Little },
        encoding,
        compressed_size: fields.one("CompressedDataSize")?,
        // The header of a compressed file is what zlib makes of it.
        skip: if encoding == Encoding::Deflate { Skip::Bytes(0) } else { skip },
        files,
        number_of_files,
        rest,
    })
}

fn missing(key: &str) -> Error {
    malformed(format!("the header has no {key}"))
}

fn geometry(fields: &Fields, ndims: usize, notes: &mut Vec<String>) -> Result<Geometry> {
    let spacing = match fields.list::<f64>(&["ElementSpacing"], ndims)? {
        Some(spacing) => Some(spacing),
        None => fields.list(&["ElementSize"], ndims)?,
    };
    let offset = fields.list::<f64>(&["Offset", "Position", "Origin"], ndims)?;
    let matrix = fields.list::<f64>(&["TransformMatrix", "Rotation", "Orientation"], ndims * ndims)?;

    let (mut steps, mut origin, mut directions) =
        ([1.0; 3], [0.0; 3], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    for axis in 0..ndims.min(3) {
        let step = spacing.as_ref().map_or(1.0, |s| s[axis]);
        steps[axis] = step.abs();
        if step == 0.0 || !step.is_finite() {
            notes.push(format!("The spacing of axis {axis} is {step}; a spacing of 1 is used."));
            steps[axis] = 1.0;
        }
        origin[axis] = offset.as_ref().map_or(0.0, |o| o[axis]);
        if let Some(matrix) = &matrix {
            directions[axis] = [0.0; 3];
            directions[axis][..ndims.min(3)].copy_from_slice(&matrix[axis * ndims..][..ndims.min(3)]);
        }
        if step < 0.0 {
            notes.push(format!("The spacing of axis {axis} is {step}; the axis was reversed, as ITK does."));
            directions[axis] = directions[axis].map(|d| -d);
        }
    }
    if !origin.iter().chain(directions.iter().flatten()).all(|v| v.is_finite()) {
        return Err(malformed("the position or the matrix holds values that are not finite".into()));
    }
    Ok(Geometry::from_lps(origin, directions, steps))
}

/// Type of an element; with channels it is written with `_ARRAY`. `MET_LONG` has 32 bits in MetaIO whatever the
/// machine.
fn dtype(name: &str) -> Result<Dtype> {
    let upper = name.to_ascii_uppercase();
    Ok(match upper.strip_suffix("_ARRAY").unwrap_or(&upper) {
        "MET_CHAR" | "MET_ASCII_CHAR" => Dtype::I8,
        "MET_UCHAR" => Dtype::U8,
        "MET_SHORT" => Dtype::I16,
        "MET_USHORT" => Dtype::U16,
        "MET_INT" | "MET_LONG" => Dtype::I32,
        "MET_UINT" | "MET_ULONG" => Dtype::U32,
        "MET_LONG_LONG" => Dtype::I64,
        "MET_ULONG_LONG" => Dtype::U64,
        "MET_FLOAT" => Dtype::F32,
        "MET_DOUBLE" => Dtype::F64,
        _ => return Err(malformed(format!("ElementType {name} is not a type of MetaImage"))),
    })
}

/// The lines of the header, in order.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads lines up to and with `ElementDataFile`, and gives the rest of the bytes.
    fn split(bytes: &[u8]) -> Result<(Fields, &[u8])> {
        let (mut fields, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let end = rest.iter().position(|&b| b == b'\n' || b == 0).unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            if after.first() == Some(&0) {
                return Err(malformed(format!("byte {} is 0, within the text header", bytes.len() - after.len())));
            }
            rest = after.get(1..).unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            let Some((key, value)) = line.split_once(['=', ':']) else { continue };
            let (key, value) = (key.trim().to_string(), value.trim().to_string());
            let is_last = key.eq_ignore_ascii_case("ElementDataFile");
            if fields.len() == MOST_LINES {
                return Err(malformed(format!("a header of more than {MOST_LINES} lines")));
            }
            fields.push((key, value));
            if is_last {
                return Ok((Fields(fields), rest));
            }
        }
        Err(malformed("the header has no ElementDataFile, which must be its last line".into()))
    }

    fn text(&self, keys: &[&str]) -> Option<&str> {
        let is_key = |key: &str| keys.iter().any(|k| k.eq_ignore_ascii_case(key));
        self.0.iter().find(|(key, value)| is_key(key) && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn has(&self, key: &str) -> bool {
        self.text(&[key]).is_some()
    }

    fn one<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>> {
        Ok(self.list(&[key], 1)?.and_then(|mut values: Vec<T>| values.pop()))
    }

    /// The first `length` numbers of a field, under any of its names.
    fn list<T: std::str::FromStr>(&self, keys: &[&str], length: usize) -> Result<Option<Vec<T>>> {
        let Some(text) = self.text(keys) else { return Ok(None) };
        let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty());
        let values: Vec<T> = words.take(length).map_while(|word| word.parse().ok()).collect();
        if values.len() < length {
            return Err(malformed(format!("{} is {text:?}, expected {length} numbers", keys[0])));
        }
        Ok(Some(values))
    }

    fn flag(&self, keys: &[&str]) -> Result<Option<bool>> {
        match self.text(keys).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => Ok(None),
            Some("true" | "t" | "1" | "yes") => Ok(Some(true)),
            Some("false" | "f" | "0" | "no") => Ok(Some(false)),
            Some(other) => Err(malformed(format!("{} is {other:?}, expected True or False", keys[0]))),
        }
    }
}
