//! Where the object of a mask file of one object begins: one value for each pixel, and the value above which it is.
//!
//! A mask counts as it looks. What a viewer shows white is the object, whatever the file stores for it: 1, 255 or
//! 65535, a palette entry, a colour, the opacity, or the lowest value where the header says that it is white. So the
//! values of the whole file are looked at before any pixel is decided:
//!
//! - Colours are read by the channel that the object has. Two colours besides black are two objects, and refused.
//! - Values within a sixteenth of the range from its ends are background and object: JPEG leaves such noise. Without a
//!   threshold in the spec the limit is the middle between both, so that soft edges are cut where they look cut.
//! - A value in between is an edge where its pixels have darker and brighter ones within two pixels. Where it fills a
//!   field of 3 x 3 pixels, or where most of its pixels have only darker or only brighter ones around, it is an object
//!   of its own: refused where it would be lost, or where no threshold says on which side it is.
//! - Near the ends the same tells labels (1, 2, 3 next to 255) from noise, which is at both ends where it is at one.
//! - What lies in between and borders on neither end, more of it than of edges, is a picture.
//! - A threshold that no value exceeds was meant for another scale: 0 and white (1, 255, 65535) are still
//!   distinguished, with a note. All else is refused: an object does not vanish. Nor does one of infinite values.

use std::borrow::Cow;

use super::plane::{Axis, slice_size, slice_values};
use crate::image::{Image, Scaling};
use crate::mask::Mask;
use crate::mask::label_map::class_masks;
use crate::with_samples;

mod census;
mod channel;

use census::Value;
pub(super) use census::{Census, each_neighbourhood};
use channel::one_channel;
pub(super) use channel::{component, layers_problem};

/// Part of the range at either end that is noise of the end.
const NOISE: f64 = 1.0 / 16.0;
/// Whole numbers in a smaller range than this have no noise: each may be a label.
const LABELS: f64 = 128.0;
/// No more values than this are written by hand or by a program that numbers objects.
const FEW: usize = 16;
/// More values than this in between are levels of a soft mask, which a threshold of the spec may cut.
const LEVELS: usize = 64;

const PICTURE: &str =
    "most pixels are neither black nor white: this is an image, or a soft mask that needs a threshold (above = …)";

/// A mask file of one object, of which it is known what is inside.
pub(super) struct Silhouette<'a> {
    image: Cow<'a, Image>,
    shown: Shown,
    above: f64,
    inverted: bool,
    /// How the object was found, where that is not plain.
    pub(super) notes: Vec<String>,
}

impl<'a> Silhouette<'a> {
    /// Looks at all values of a file. `above` and `inverted` are the spec's.
    ///
    /// # Errors
    /// Values that do not say what is inside: the sentence names them, and what the spec can say.
    pub(super) fn new(image: &'a Image, axis: Axis, above: Option<f64>, inverted: bool) -> Result<Self, String> {
        let mut notes = Vec::new();
        let image = one_channel(image, axis, &mut notes)?;
        let census = Census::of(&image);
        let shown = Shown::new(&image, &census, above, &mut notes)?;
        let mut values: Vec<Value> = census.values(&shown);
        let ends = Ends::of(&values);
        let inner = if values.len() > 1 {
            census.look_around(&image, axis, &shown, [ends.dark, ends.bright], &mut values)
        } else {
            0
        };
        let with_values = |problem: String| format!("{problem}; the values are {}", listed(&values));
        if census.infinite > 0 || census.nan > 0 && values.len() < 2 && ends.high == 0.0 {
            let (infinite, nan) = (census.infinite, census.nan);
            return Err(with_values(format!(
                "{infinite} values are infinite and {nan} are NaN, so the object is ambiguous: write 0 and 1"
            )));
        }
        if census.nan > 0 {
            notes.push(format!("{} voxels of a mask are not finite and count as background", census.nan));
        }
        let most = 1u64.checked_shl(image.bits.into()).unwrap_or(0) as f64 - 1.0;
        let above = limit(&values, &ends, inner, above, inverted, most, &mut notes).map_err(with_values)?;
        Ok(Silhouette { image, shown, above, inverted, notes })
    }

    /// The values of one component above a threshold, as told: channels of a colour picture, layers of a volume.
    ///
    /// # Errors
    /// A component that is not there, or values of another scale than the threshold's.
    pub(super) fn of_channel(image: &'a Image, axis: Axis, channel: usize, above: f64) -> Result<Self, String> {
        let channels = if image.palette.is_some() { 3 } else { image.components };
        if channel >= channels {
            return Err(format!("the spec reads channel {channel}, but the file has {channels} component(s)"));
        }
        let brightest = match &image.palette {
            Some(palette) => Census::of(image)
                .stored()
                .filter_map(|(i, _)| palette.get(i as usize))
                .flat_map(|c| [c[0], c[1], c[2]])
                .max()
                .unwrap_or(0)
                .into(),
            None => Census::of(image).high,
        };
        let image = match &image.palette {
            Some(_) => Cow::Owned(component(&image.clone().expand_palette(), channel)),
            None if image.components == 1 => Cow::Borrowed(image),
            None => Cow::Owned(component(image, channel)),
        };
        let shown = Shown { sum: None, scaling: image.scaling };
        let census = Census::of(&image);
        let mut values = census.values(&shown);
        let (low, high) = values.first().zip(values.last()).map_or((0.0, 0.0), |(a, b)| (a.shown, b.shown));
        if census.infinite > 0 {
            return Err(format!("{} values of channel {channel} are infinite: write 0 and 1", census.infinite));
        }
        if high <= above && low < high {
            // Compression of colours leaves a quarter of the other channels at most.
            census.look_around(&image, axis, &shown, [low, high], &mut values);
            let noise = if brightest < LABELS { 0.0 } else { brightest / 4.0 };
            if high - low > noise || values.len() <= 3 && values[1..].iter().any(|v| v.fills) {
                return Err(format!(
                    "no value of channel {channel} exceeds the spec's threshold of {above} (set a lower above = …); \
                     the values are {}",
                    listed(&values)
                ));
            }
        }
        Ok(Silhouette { image, shown, above, inverted: false, notes: Vec::new() })
    }

    /// The object in one slice.
    pub(super) fn mask(&self, axis: Axis, slice: usize, frame: usize) -> Mask {
        let (height, width, _) = slice_size(&self.image, axis);
        with_samples!(&self.image.samples, values => {
            let plane = slice_values(&self.image, values, axis, slice, frame);
            let inside = |stored| {
                let value = self.shown.of(stored as f64);
                // What is not finite is on neither side of a threshold, and no object.
                (value.is_finite() && (value > self.above) != self.inverted).then_some(0)
            };
            class_masks(height as u32, width as u32, &plane, 1, inside).remove(0)
        })
    }
}

/// Stored values to those that are looked at.
struct Shown {
    /// Where the lowest value is white: the sum of a stored value and the one that it looks like.
    sum: Option<f64>,
    scaling: Scaling,
}

impl Shown {
    fn new(image: &Image, census: &Census, above: Option<f64>, notes: &mut Vec<String>) -> Result<Self, String> {
        let mut shown = Shown { sum: None, scaling: image.scaling };
        if image.meaning.low_is_white && image.palette.is_none() {
            let white = white_of(census.low, census.high, image.bits).ok_or_else(|| {
                format!(
                    "the lowest value is white, but values from {} to {} do not define black: convert the file to \
                     MinIsBlack",
                    census.low, census.high
                )
            })?;
            shown.sum = Some(white);
            notes.push(counts_as_it_looks(image, census.high));
        }
        // Rescaled as its image is (to Hounsfield units, say), a mask still stores 0 for background.
        let separates = above.is_some_and(|t| {
            (census.low..census.high).contains(&((t - shown.scaling.intercept) / shown.scaling.slope))
        });
        if shown.scaling.intercept != 0.0 && census.low == 0.0 && !separates {
            shown.scaling = Scaling::IDENTITY;
            notes.push(
                "the rescale of a mask is ignored, because it would map the background to a value other than \
                0"
                .into(),
            );
        }
        Ok(shown)
    }

    fn of(&self, stored: f64) -> f64 {
        let stored = self.sum.map_or(stored, |sum| sum - stored);
        stored * self.scaling.slope + self.scaling.intercept
    }
}

/// The value that stands for black where 0 is white: 1, 255, 65535 or the most that the bits can hold, whichever the
/// values reach.
pub(super) fn white_of(low: f64, high: f64, bits: u8) -> Option<f64> {
    let most = 1u64.checked_shl(bits.into()).map_or(f64::INFINITY, |n| n as f64 - 1.0);
    if high == 0.0 && low == 0.0 {
        return (bits <= 16).then_some(most);
    }
    let mut whites = [1.0, 255.0, 65535.0, most];
    whites.sort_by(f64::total_cmp);
    whites.into_iter().find(|&white| low >= 0.0 && high <= white && white.is_finite())
}

/// The note of a mask whose lowest value is white. Arrays of booleans come out so where a program means white by true.
pub(super) fn counts_as_it_looks(image: &Image, high: f64) -> String {
    let mut note = "the lowest value of a mask is displayed as white and counts as white".to_string();
    if high <= 1.0 && image.notes.iter().any(|note| note.starts_with("TIFF")) {
        note += " (tifffile writes boolean arrays this way: if True is the object, set inverted = true)";
    }
    note
}

/// The ends of the range of values, with what noise of compression adds to them.
struct Ends {
    low: f64,
    high: f64,
    noise: f64,
    /// Up to here it is the low end.
    dark: f64,
    /// From here on it is the high end.
    bright: f64,
}

impl Ends {
    fn of(values: &[Value]) -> Ends {
        let (low, high) = values.first().zip(values.last()).map_or((0.0, 0.0), |(a, b)| (a.shown, b.shown));
        let whole = values.iter().all(|v| v.shown.fract() == 0.0);
        let noise = if whole && high - low < LABELS { 0.0 } else { (high - low) * NOISE };
        Ends { low, high, noise, dark: low + noise, bright: high - noise }
    }
}

/// The value above which the object is. `inner` is the number of pixels in between that border on neither end, `most`
/// the greatest value that the bits can hold.
fn limit(
    values: &[Value],
    ends: &Ends,
    inner: u64,
    above: Option<f64>,
    inverted: bool,
    most: f64,
    notes: &mut Vec<String>,
) -> Result<f64, String> {
    if values.is_empty() {
        return Ok(f64::INFINITY);
    }
    let &Ends { low, high, noise, dark, bright } = ends;
    let is_white = |v: f64| v == most || [1.0, 255.0, 65535.0].contains(&v);
    if low == high || high >= LABELS && low >= high * (1.0 - NOISE) {
        // One value, or white with its noise.
        if low < high && values.len() <= FEW && values.iter().filter(|v| v.fills).count() > 1 {
            return above.filter(|t| (low..high).contains(t)).ok_or_else(|| {
                format!(
                    "all values are bright and several fill regions, so there is no background (set above = … between \
                     {low} and {high} if they are an object and its background)"
                )
            });
        }
        return match above {
            None if low == 0.0 => Ok(0.0),
            None if low > 0.0 => Ok(low / 2.0),
            Some(t) if low > t || high == 0.0 => Ok(t),
            Some(t) if high <= t && high == 1.0 && most == 1.0 => Ok(0.5),
            Some(t) => {
                Err(format!("with the spec's threshold of {t}, a file with a single value is ambiguous: full or empty"))
            }
            None => Err("a file with a single negative value is neither full nor empty".into()),
        };
    }
    let count = |of: &dyn Fn(f64) -> bool| values.iter().filter(|v| of(v.shown)).map(|v| v.count).sum::<u64>();
    let kinds = |of: &dyn Fn(f64) -> bool| values.iter().filter(|v| of(v.shown)).count();
    let middle: Vec<&Value> = values.iter().filter(|v| v.shown > dark && v.shown < bright).collect();
    let (in_dark, in_bright) = (count(&|v| v <= dark), count(&|v| v >= bright));
    let (dark_kinds, bright_kinds) = (kinds(&|v| v <= dark), kinds(&|v| v >= bright));

    let cut = match above {
        Some(t) if t < low => {
            return Err(format!("all values exceed the spec's threshold of {t} (set a higher above = …)"));
        }
        Some(t) if t >= high && low == 0.0 && is_white(high) && middle.is_empty() => {
            notes.push(format!("no value of a mask exceeds the threshold of {t}: {high} counts as the object"));
            (low + high) / 2.0
        }
        Some(t) if t >= high => {
            return Err(format!(
                "no value exceeds the spec's threshold of {t} (set above = … for a single object, or decode = {{ kind \
                 = \"values\" }} with a label for each)"
            ));
        }
        Some(t) => {
            let through = |from: f64, to: f64| kinds(&|v| v > from && v <= to) > 0;
            let noisy = dark_kinds > 1 && bright_kinds > 1;
            if noisy && (t < dark && through(t, dark) || t >= bright && through(bright - noise / 16.0, t)) {
                let half = ((low + high) / 2.0).floor();
                return Err(format!(
                    "the spec's threshold of {t} is within the compression noise around {low} and {high} (set above = \
                     {half})"
                ));
            }
            t
        }
        None if low < 0.0 || low > high * NOISE || low != 0.0 && noise == 0.0 => {
            return Err("no value is a background of 0 (set above = … if they are an object and its background)".into());
        }
        None => (low + high) / 2.0,
    };

    let between: u64 = middle.iter().map(|v| v.count).sum();
    let picture = above.is_none()
        && (between > in_dark.max(in_bright) || between > 8 * in_dark.min(in_bright) && inner * 4 > between);
    if picture && middle.len() > LEVELS {
        return Err(PICTURE.into());
    }
    let object = if inverted { count(&|v| v <= cut) } else { count(&|v| v > cut) };
    let clean = dark_kinds == 1 && bright_kinds == 1 && middle.len() <= FEW;
    // Compression leaves pixels apart, but not rows of them with one value.
    let own = |v: &Value| if clean { v.apart } else { v.even };
    let weighs = |n: u64| n * 10 > object || clean && n * 100 > object && n > 50;
    let soft = above.is_some() && middle.len() > LEVELS;
    let is_class = |v: &&&Value| {
        noise == 0.0 && values.len() <= FEW || !soft && (v.fills || own(v) * 2 > v.count && weighs(own(v)))
    };
    let mut classes: Vec<&Value> = middle.iter().filter(is_class).copied().collect();
    let lost = |v: &&Value| above.is_none() || (v.shown > cut) == inverted;
    // Many labels of a few pixels each.
    let even: u64 = middle.iter().filter(|v| lost(v)).map(|v| v.even).sum();
    let all: u64 = middle.iter().filter(|v| lost(v)).map(|v| v.count).sum();
    if classes.is_empty() && even * 2 > all && even * 10 > object {
        classes.extend(middle.iter().filter(|v| lost(v)).max_by_key(|v| v.even));
    }
    // What a threshold leaves out would be lost; what it takes in is the spec's own word.
    if let Some(value) = classes.into_iter().find(lost) {
        return Err(format!(
            "read as a single object, but {} is neither background nor edge. Write decode = {{ kind = \"values\" }} \
             with a label for each, or above = 0 if all values belong to the object",
            value.shown
        ));
    }
    for (beside, others) in [
        (values.iter().filter(|v| v.shown > low && v.shown <= dark).collect::<Vec<_>>(), bright_kinds),
        (values.iter().filter(|v| v.shown >= bright && v.shown < high).collect(), dark_kinds),
    ] {
        if noise == 0.0 || others > 1 {
            continue;
        }
        let count: u64 = beside.iter().map(|v| v.count).sum();
        let even: u64 = beside.iter().map(|v| v.even).sum();
        let fills = beside.iter().find(|v| v.fills);
        // Noise has many values, with scattered pixels.
        let labels = beside.len() > 1 && count > 50 && even * 10 > 7 * count;
        let drawn = fills.filter(|_| beside.len() <= 3);
        match (above, beside.first(), drawn) {
            // All of them are inside, which is what the spec says.
            (Some(t), Some(first), _) if (first.shown > t) != inverted => {}
            (_, Some(first), _) if labels => {
                return Err(format!(
                    "read as a single object, but {} and {} other value(s) near {} are not noise, because their pixels \
                     are adjacent. Write decode = {{ kind = \"values\" }} with a label for each, or other_labels = \
                     \"ignore\" for irrelevant values",
                    fills.unwrap_or(first).shown,
                    beside.len() - 1,
                    if first.shown <= dark { low } else { high }
                ));
            }
            (None, _, Some(value)) => {
                return Err(format!(
                    "read as a single object, but {} fills separate regions. Write decode = {{ kind = \"values\" }} \
                     with a label for each, or above = {} if it belongs to the closest value",
                    value.shown,
                    cut.floor()
                ));
            }
            (Some(_), _, Some(value)) => {
                notes.push(format!(
                    "{} pixels of a mask have the value {} and count as background",
                    value.count, value.shown
                ));
            }
            _ => {}
        }
    }
    if picture && middle.len() <= LEVELS {
        return Err(PICTURE.into());
    }
    Ok(cut)
}

/// Values and how many pixels have each, the most frequent first.
fn listed(values: &[Value]) -> String {
    let mut values = values.to_vec();
    values.sort_by(|a, b| b.count.cmp(&a.count).then(a.shown.total_cmp(&b.shown)));
    let words = values.iter().map(|v| format!("{} ({} px)", (v.shown * 1e6).round() / 1e6, v.count));
    first_of(words, values.len())
}

fn first_of(words: impl Iterator<Item = String>, all: usize) -> String {
    const SHOWN: usize = 8;
    let mut text = words.take(SHOWN).collect::<Vec<_>>().join(", ");
    if all > SHOWN {
        text += &format!(" and {} more", all - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Samples;

    const SIDE: usize = 24;

    /// Two squares off the centre that do not touch.
    fn square(i: usize, which: usize) -> bool {
        let (x, y) = (i % SIDE, i / SIDE);
        match which {
            0 => (12..20).contains(&x) && (3..11).contains(&y),
            _ => (2..9).contains(&x) && (14..20).contains(&y),
        }
    }

    /// A picture of a background, the first square, the second, value by value.
    fn drawn<T: Copy, const N: usize>(background: [T; N], first: [T; N], second: [T; N]) -> Image
    where
        Samples: From<Vec<T>>,
    {
        let pixel = |i| {
            if square(i, 0) {
                first
            } else if square(i, 1) {
                second
            } else {
                background
            }
        };
        let values: Vec<T> = (0..SIDE * SIDE).flat_map(pixel).collect();
        Image::picture(SIDE, SIDE, N, values.into())
    }

    fn read(image: &Image, above: Option<f64>, inverted: bool) -> Result<Vec<u8>, String> {
        Silhouette::new(image, Axis::Z, above, inverted).map(|s| s.mask(Axis::Z, 0, 0).to_bitmap())
    }

    #[track_caller]
    fn finds(image: &Image, thresholds: &[Option<f64>]) {
        for &above in thresholds {
            let expected: Vec<u8> = (0..SIDE * SIDE).map(|i| square(i, 0).into()).collect();
            assert_eq!(read(image, above, false).unwrap(), expected, "{above:?}");
        }
    }

    #[track_caller]
    fn refuses(image: &Image, above: Option<f64>, words: &[&str]) {
        let error = read(image, above, false).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }

    const EITHER: [Option<f64>; 2] = [None, Some(127.0)];

    #[test]
    fn one_object_in_whichever_numbers() {
        finds(&drawn([0u8], [1], [0]), &EITHER);
        finds(&drawn([0u8], [255], [0]), &EITHER);
        finds(&drawn([0u16], [65535], [0]), &EITHER);
        finds(&drawn([0u16], [1], [0]), &EITHER);
        finds(&drawn([0f32], [1.0], [0.0]), &[None, Some(0.5), Some(127.0)]);
        finds(&drawn([0i32], [7], [0]), &[None]);
        finds(&drawn([100u8], [200], [100]), &[Some(150.0)]);
    }

    #[test]
    fn one_object_in_whichever_channel() {
        for thing in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 128, 0], [250, 255, 252]] {
            finds(&drawn([0u8; 3], thing, [0; 3]), &EITHER);
        }
        finds(&drawn([0u8, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0]), &EITHER);
        finds(&drawn([255u8, 255, 255, 0], [255; 4], [255, 255, 255, 0]), &EITHER);
        finds(&drawn([0u8, 255], [255, 255], [0, 255]), &EITHER);
        finds(&drawn([0u8, 0], [0, 255], [0, 0]), &EITHER);
        finds(&drawn([0u8; 4], [255; 4], [0; 4]), &EITHER);
        finds(&drawn([0u16; 3], [0, 65535, 0], [0; 3]), &EITHER);
        refuses(&drawn([0u8, 0, 0, 255], [255, 255, 255, 0], [0, 0, 0, 255]), None, &["bright and fully transparent"]);
    }

    #[test]
    fn palettes_and_the_lowest_value_count_as_they_look() {
        let indexed = |palette: [[u8; 4]; 2], object: u8| {
            let image = drawn([1 - object], [object], [1 - object]);
            Image { palette: Some(palette.to_vec()), bits: 1, ..image }
        };
        let (black, white) = ([0, 0, 0, 255], [255; 4]);
        finds(&indexed([black, white], 1), &EITHER);
        finds(&indexed([white, black], 0), &EITHER);
        finds(&indexed([black, [0, 200, 0, 255]], 1), &EITHER);
        for (background, object, bits) in [(1u8, 0, 1), (255, 0, 8), (1, 0, 8)] {
            let mut image = Image { bits, ..drawn([background], [object], [background]) };
            image.meaning.low_is_white = true;
            finds(&image, &EITHER);
            let turned = read(&image, None, true).unwrap();
            assert!((0..SIDE * SIDE).all(|i| (turned[i] == 1) != square(i, 0)));
        }
    }

    #[test]
    fn two_objects_are_never_one() {
        for above in EITHER {
            refuses(
                &drawn([0u8], [127], [254]),
                above,
                &["127 is neither", "0 (470 px)", "127 (64 px)", "254 (42 px)"],
            );
            refuses(&drawn([0u8], [1], [2]), above, &["1 (64 px)", "2 (42 px)"]);
            refuses(
                &drawn([0u8; 3], [255, 0, 0], [0, 255, 0]),
                above,
                &["several colours", "#ff0000 (64 px)", "#00ff00"],
            );
            refuses(&drawn([0u8; 3], [255, 0, 0], [255, 100, 0]), above, &["several colours"]);
            refuses(&drawn([255u8; 3], [255, 0, 0], [255; 3]), above, &["neither of them black"]);
        }
        let both: Vec<u8> = (0..SIDE * SIDE).map(|i| (square(i, 0) || square(i, 1)).into()).collect();
        assert_eq!(read(&drawn([0u8], [1], [2]), Some(0.0), false).unwrap(), both);
        assert_eq!(read(&drawn([0u8], [127], [254]), Some(100.0), false).unwrap(), both);
        refuses(&drawn([0u8], [255], [1]), None, &["1 fills separate regions"]);
        let beside = Silhouette::new(&drawn([0u8], [255], [1]), Axis::Z, Some(127.0), false).unwrap().notes.join("");
        assert!(beside.contains("42 pixels of a mask have the value 1"), "{beside}");
    }

    /// Rows of squares of 4 x 4 pixels, each with its own value, and a large one.
    fn labels(values: &[u16], large: u16) -> Image {
        let pixel = |i: usize| {
            let (x, y) = (i % SIDE, i / SIDE);
            let n = x / 6 + 4 * (y / 6);
            match () {
                _ if y >= 13 => u16::from((2..20).contains(&x) && y < 22) * large,
                _ if x % 6 < 4 && y % 6 < 4 && n < values.len() => values[n],
                _ => 0,
            }
        };
        Image::picture(SIDE, SIDE, 1, (0..SIDE * SIDE).map(pixel).collect::<Vec<_>>().into())
    }

    #[test]
    fn labels_beside_a_bright_value_are_no_noise() {
        for above in EITHER {
            for large in [200, 255] {
                refuses(&labels(&[1, 2, 3, 4], large), above, &["1 and 3 other value(s)", "4 (16 px)"]);
                refuses(&labels(&[1, 2, 3, 4, 5, 6], large), above, &["6 (16 px)"]);
            }
        }
        refuses(&labels(&[251, 254, 253, 252], 255), None, &["pixels are adjacent"]);
        assert!(read(&labels(&[251, 254, 253, 252], 255), Some(127.0), false).is_ok());
        refuses(&labels(&[240], 240), Some(250.0), &["no value exceeds"]);
        refuses(&drawn([240u8], [255], [240]), None, &["there is no background"]);
        refuses(&drawn([240u8], [255], [240]), Some(127.0), &["there is no background"]);
        finds(&drawn([240u8], [255], [240]), &[Some(250.0)]);
    }

    #[test]
    fn thin_classes_are_no_edges() {
        // Lines of one pixel, and lines around squares.
        let lines =
            |i: usize| if i % SIDE > 1 { [0, 0, 0, 64, 0, 0, 128, 0, 0, 255, 0, 0][i / SIDE % 12] } else { 0u8 };
        let image = Image::picture(SIDE, SIDE, 1, (0..SIDE * SIDE).map(lines).collect::<Vec<_>>().into());
        for above in EITHER {
            refuses(&image, above, &["64 is neither background nor edge"]);
        }
        let rim = |i: usize| {
            let (x, y) = ((i % SIDE) as i32, (i / SIDE) as i32);
            [255, 255, 255, 255, 255, 255, 170, 85]
                .get((x - 11).abs().max((y - 12).abs()) as usize)
                .copied()
                .unwrap_or(0u8)
        };
        let image = Image::picture(SIDE, SIDE, 1, (0..SIDE * SIDE).map(rim).collect::<Vec<_>>().into());
        let expected: Vec<u8> = (0..SIDE * SIDE).map(|i| u8::from(rim(i) > 127)).collect();
        for above in EITHER {
            assert_eq!(read(&image, above, false).unwrap_or_else(|e| panic!("{e}")), expected);
        }
    }

    #[test]
    fn weak_colours_and_infinite_values_do_not_vanish() {
        for thing in [[0, 0, 1], [0, 1, 0], [0, 30, 0], [3, 4, 3]] {
            finds(&drawn([0u8; 3], thing, [0; 3]), &[None]);
        }
        for (a, b) in [([20, 0, 0], [0, 20, 0]), ([1, 0, 0], [0, 1, 0])] {
            refuses(&drawn([0u8; 3], a, b), None, &["several colours"]);
        }
        for (object, background) in [(f32::INFINITY, 0.0), (0.0, f32::NEG_INFINITY)] {
            refuses(&drawn([background], [object], [background]), None, &["infinite"]);
        }
        refuses(&drawn([0f32], [f32::NAN], [0.0]), None, &["64 are NaN"]);
        finds(&drawn([f32::NAN], [1.0], [f32::NAN]), &[None]);
        let mut hidden = drawn([1u8], [0], [1]);
        hidden.palette = Some(vec![[0, 0, 0, 255], [255, 255, 255, 0]]);
        refuses(&hidden, None, &["bright and fully transparent"]);
    }

    #[test]
    fn a_channel_that_its_threshold_misses_is_refused() {
        fn channel(image: &Image, channel: usize) -> Result<Mask, String> {
            Silhouette::of_channel(image, Axis::Z, channel, 127.0).map(|s| s.mask(Axis::Z, 0, 0))
        }
        let error = |image: &Image| channel(image, 1).unwrap_err();
        assert!(error(&drawn([0u8; 3], [0, 100, 0], [0; 3])).contains("100 (64 px)"));
        assert!(error(&drawn([0u8; 3], [200, 1, 0], [0; 3])).contains("no value of channel 1"));
        let mut indexed = drawn([0u8], [1], [0]);
        indexed.palette = Some(vec![[0, 0, 0, 255], [0, 255, 0, 255]]);
        assert_eq!(channel(&indexed, 1).unwrap().area(), 64);
        assert_eq!(channel(&indexed, 0).unwrap().area(), 0);
    }

    #[test]
    fn layers_are_no_colours() {
        let mut image = drawn([0u8; 2], [255, 0], [0, 255]);
        image.meaning.layers = true;
        refuses(&image, None, &["2 layers"]);
        let second = Silhouette::of_channel(&image, Axis::Z, 1, 0.0).unwrap().mask(Axis::Z, 0, 0);
        assert_eq!(second.area(), 42);
        assert!(Silhouette::of_channel(&image, Axis::Z, 2, 0.0).is_err());
        assert!(Silhouette::of_channel(&drawn([0u8; 3], [1; 3], [0; 3]), Axis::Z, 1, 127.0).is_err());
    }

    #[test]
    fn edges_and_noise_are_cut_in_the_middle() {
        // A square with soft edges, noise of compression around both ends, and strays.
        let soft = |i: usize| {
            let (x, y) = (i % SIDE, i / SIDE);
            let inset =
                |v: usize, from: usize, to: usize| (v + 1).saturating_sub(from).min((to + 1).saturating_sub(v)).min(4);
            [0, 50, 110, 190, 255][inset(x, 8, 18).min(inset(y, 4, 15))]
        };
        let values: Vec<u8> = (0..SIDE * SIDE).map(soft).collect();
        let image = Image::picture(SIDE, SIDE, 1, values.clone().into());
        let expected: Vec<u8> = values.iter().map(|&v| u8::from(v > 127)).collect();
        for above in EITHER {
            assert_eq!(read(&image, above, false).unwrap_or_else(|e| panic!("{e}")), expected);
        }
        let noisy = |i: usize| if square(i, 0) { 255 - (i * 7 % 6) as u8 } else { (i * 5 % 8) as u8 };
        let image = Image::picture(SIDE, SIDE, 1, (0..SIDE * SIDE).map(noisy).collect::<Vec<_>>().into());
        finds(&image, &EITHER);
        refuses(&image, Some(0.5), &["within the compression noise", "above = 127"]);
        let mut strays = drawn([0u8], [255], [0]);
        if let Samples::U8(v) = &mut strays.samples {
            v[0] = 1;
            v[30] = 1;
        }
        finds(&strays, &EITHER);
    }

    #[test]
    fn what_does_not_say_what_it_is_is_refused() {
        refuses(&drawn([0u8], [100], [0]), Some(127.0), &["no value exceeds", "100 (64 px)"]);
        refuses(&drawn([150u8], [210], [150]), Some(127.0), &["all values exceed"]);
        refuses(&drawn([100u8], [200], [100]), None, &["background of 0"]);
        refuses(&drawn([-1i16], [0], [-1]), None, &["background of 0"]);
        let picture: Vec<u8> = (0..SIDE * SIDE).map(|i| (i * 37 % 256) as u8).collect();
        refuses(&Image::picture(SIDE, SIDE, 1, picture.into()), None, &["this is an image"]);
        for (image, above) in [(drawn([0u8], [0], [0]), None), (drawn([0u8], [0], [0]), Some(127.0))] {
            assert_eq!(read(&image, above, false).unwrap(), [0; SIDE * SIDE]);
        }
        assert_eq!(read(&drawn([255u8], [255], [255]), Some(127.0), false).unwrap(), [1; SIDE * SIDE]);
    }
}
